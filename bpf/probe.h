/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How a program is named and how it finds its arguments, whatever mechanism it is attached by. For every program NAME
 * bondtrace/capture/kernel/source.py defines PROG_NAME (its function name), TYPED_NAME (1 for fentry, fexit and typed
 * tracepoints, of whose arguments the verifier knows the types; 0 for kprobe, kretprobe and raw tracepoints) and
 * LINKAGE_NAME (nothing, or what makes the compiler leave the program out).
 *
 * A line holds one PROBE: bcc marks functions by their place in the file.
 */
#define PROBE(name) LINKAGE_##name int PROBE_(PROG_##name)(void *ctx)
#define PROBE_(program) program

#define ARG(name, n) \
	(TYPED_##name ? ((u64 *)ctx)[n] : *(u64 *)((char *)ctx + PT_REGS__ARG##n))
/* An argument that points to a pointer: many kernels' verifiers (that of 6.1, for one) refuse a plain load of it. */
#define POINTER_ARG(name, n) \
	(TYPED_##name ? typed_argument(ctx, n) : *(u64 *)((char *)ctx + PT_REGS__ARG##n))
/* The result of the probed function, which takes this number of arguments. */
#define RETURNED(name, arguments) \
	(TYPED_##name ? ((u64 *)ctx)[arguments] : *(u64 *)((char *)ctx + PT_REGS__RESULT))
