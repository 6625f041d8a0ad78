/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the verifier must see whole, whatever the compiler makes of it.
 *
 * bcc compiles on the user's machine, so the same source is another program for every LLVM, and every
 * kernel's verifier remembers something else about it. A program passes everywhere only if what it
 * relies on stands in one register at the moment of use, not in what a compiler may conclude or a
 * verifier may remember. Three rules keep that so, and everything in bpf/ goes through them
 * (tests/capture/kernel/test_source.py):
 *
 * 1. A pointer that may be 0 leaves the function that made it through OR_NULL. Otherwise the compiler
 *    may test again what the pointer was made from (an index against its bound) in place of the
 *    pointer, and a verifier that has lost the index's range walks a path on which the pointer is a
 *    number (LLVM 19 and 21 with Linux 7.3).
 * 2. A number that is added to a pointer, or is a size, goes through BOUNDED there and then. A mask in C is
 *    not enough: where the compiler knows it to be redundant it leaves it out, and then makes `offset | 1`
 *    of `offset + 1`, at which a verifier may lose the bound that the compiler knew (LLVM 14 with
 *    Linux 6.12).
 *
 * 3. A pointer that is computed with (an offset, a length, a shift) goes through NUMBER_OF first. Since 6.17 what a
 *    typed load of `unsigned char *` gives is memory that may be read, and so is every difference and every
 *    mask of it, which no helper takes for a size (LLVM 14 with Linux 6.18).
 *
 * LOAD, for fields of structures whose types the verifier knows, is assembly for the same reason.
 */

/* This pointer, tested for 0 as it is. */
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

/* The number that a pointer is: by way of a place in a map, which keeps no types. */
#define NUMBER_OF(place, pointer)                              \
	({                                                     \
		*(volatile u64 *)(place) = (u64)(pointer);     \
		*(volatile u64 *)(place);                      \
	})

/* A field of a structure whose type the verifier knows: a plain load, checked against the type, where READ is a call.
 * The compiler must not widen it or split it. */
#define LOAD(type, base, offset)                                                                                \
	({                                                                                                      \
		u64 loaded_;                                                                                    \
		asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(loaded_) : "r"((u64)(base)), "i"(offset));   \
		(type)loaded_;                                                                                  \
	})
