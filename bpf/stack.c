// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The stack of frames: one is pushed when a bracket begins, and popped when it ends, which sends its pass.
 */

#define STALE_NS 1000000000ULL

/* A begin whose end was missed (a kretprobe out of instances) leaves a frame on the stack for ever. No pass lasts a
 * second, so a stack that stays full for longer is emptied, and that is counted. */
static __always_inline void drop_stale(struct cpu_state *cpu)
{
	u64 now = bpf_ktime_get_ns();

	if (!cpu->full_since_ns) {
		cpu->full_since_ns = now;
	} else if (now - cpu->full_since_ns > STALE_NS) {
		cpu->full_since_ns = 0;
		cpu->depth = 0;
		count(COUNT_UNBALANCED);
	}
}

/* Is no step to be reported where this is the innermost frame? In a list steps of earlier packets may come, or the next
 * packet. */
static __always_inline u8 is_quiet(struct frame *frame)
{
	return frame && frame->state != PASS_OPEN && frame->kind != FRAME_RX_LIST;
}

/* A bracket begins: its frame, or 0 where the stack has no room for it. */
static __always_inline struct frame *push(struct cpu_state *cpu, u8 kind)
{
	if (kind == FRAME_RX_LIST && cpu->depth) { /* no list is received inside another receive: an end was missed */
		cpu->depth = 0;
		count(COUNT_UNBALANCED);
	}
	if (cpu->depth >= MAX_DEPTH)
		drop_stale(cpu);
	else
		cpu->full_since_ns = 0;
	struct frame *frame = frame_at(cpu, cpu->depth++);
	if (frame) {
		frame->state = PASS_NONE;
		frame->kind = kind;
#ifdef BY_TASK
		frame->begun_at = cpu->begun_at;
#endif
		frame->number = cpu->frame_number = number_after(cpu->frame_number);
		cpu->quiet = is_quiet(frame); /* until a pass is opened */
	} else {
		cpu->quiet = 0;
		count(COUNT_TOO_DEEP);
	}
	return OR_NULL(frame);
}

/* The innermost bracket ends: its pass is sent. */
static __always_inline void pop(struct cpu_state *cpu)
{
	if (!cpu->depth)
		return; /* its begin came before the programs were attached */
	struct frame *frame = frame_at(cpu, --cpu->depth);
	if (frame && frame->state == PASS_OPEN)
		send_pass(frame);
	cpu->quiet = is_quiet(top(cpu));
	end_bracket(cpu);
}
