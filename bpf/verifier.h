/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What must reach the verifier as it stands in the source, whatever the compiler makes of the rest.
 *
 * bcc compiles on the user's machine, so the same source becomes a different program with every LLVM, and every
 * kernel's verifier keeps track of different facts about it. A program passes everywhere only if what it relies on is
 * in one register where it is used; it must not depend on what a compiler concludes or what a verifier keeps track of.
 * Everything in bpf/ follows three rules, and tests/capture/kernel/test_source.py finds what does not:
 *
 * 1. A function returns a pointer that may be 0 through OR_NULL. Otherwise the compiler may test what the pointer was
 *    made from (an index against its bound) a second time, in place of the pointer, and a verifier that has lost the
 *    index's range follows a path on which the pointer is a number (LLVM 19 and 21 with Linux 7.3).
 * 2. A number that is added to a pointer, or is a size, goes through BOUNDED where it is used. A mask in C is not
 *    enough: a compiler that knows it to be redundant leaves it out, and then turns `offset + 1` into `offset | 1`, at
 *    which a verifier may lose the bound that the compiler knew (LLVM 14 with Linux 6.12).
 * 3. A pointer from which something is computed (an offset, a length, a shift) goes through NUMBER_OF first. Since 6.17
 *    a typed load of an `unsigned char *` gives a pointer to memory that may be read, and so does every difference and
 *    every mask of it, which no helper accepts as a size (LLVM 14 with Linux 6.18).
 *
 * LOAD, for fields of structures whose types the verifier knows, is assembly for the same reason.
 */

/* This pointer, which is tested for 0 itself. */
#define OR_NULL(pointer)                              \
	({                                            \
		typeof(pointer) whole_ = (pointer);   \
		asm volatile("" : "+r"(whole_));      \
		whole_;                               \
	})

/* This number with a mask (a constant, all its bits set) that the compiler cannot leave out. */
#define BOUNDED(value, mask)                                                  \
	({                                                                    \
		u64 bounded_ = (value);                                       \
		asm volatile("%0 &= %1" : "+r"(bounded_) : "i"(mask));        \
		bounded_;                                                     \
	})

/* This pointer as a number: written to a place in a map, which keeps no types, and read from there. */
#define NUMBER_OF(place, pointer)                              \
	({                                                     \
		*(volatile u64 *)(place) = (u64)(pointer);     \
		*(volatile u64 *)(place);                      \
	})

/* A field of a structure whose type the verifier knows: a plain load, which is checked against the type, where READ is
 * a call. The compiler must neither widen nor split it. */
#define LOAD(type, base, offset)                                                                                \
	({                                                                                                      \
		u64 loaded_;                                                                                    \
		asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(loaded_) : "r"((u64)(base)), "i"(offset));   \
		(type)loaded_;                                                                                  \
	})

/* A pointer, or a number, to which the verifier gives the type of this number: fields are loaded from it, as far as
 * that goes without a fault. It is a call of one of the kernel's own functions, bpf_rdonly_cast (since 6.2), which has
 * the number RDONLY_CAST; the kernel makes a copied register of it. No compiler that bcc may have knows such calls, so
 * bondtrace/capture/kernel/bpf.py makes one of the call of a helper with KERNEL_CALL in its number. */
#define KERNEL_CALL 0x40000000
#ifdef RDONLY_CAST
#define CAST(type_id, pointer) (((u64 (*)(u64, u64))(KERNEL_CALL | RDONLY_CAST))((u64)(pointer), type_id))
#endif
