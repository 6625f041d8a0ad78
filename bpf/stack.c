// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The stack of frames: one is pushed as a bracket begins, and popped as it ends.
 */

/* A begin whose end was missed (a kretprobe out of instances) would leave the stack too high for
 * ever. No pass lasts a second, so a stack that stays full for so long is thrown away, and counted. */
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

/* Is this the innermost frame of a packet that is not to be told? In a list the next packet may be. */
static __always_inline u8 is_quiet(struct frame *frame)
{
	return frame && frame->state != PASS_OPEN && frame->kind != FRAME_RX_LIST;
}

static __always_inline struct frame *push(struct cpu_state *cpu, u8 kind)
{
	if (kind == FRAME_RX_LIST && cpu->depth) { /* no list is received inside of another receive: an end was missed */
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
		frame->number = ++cpu->frame_number;
		cpu->quiet = is_quiet(frame); /* until a pass is opened */
	} else {
		cpu->quiet = 0;
		count(COUNT_TOO_DEEP);
	}
	return OR_NULL(frame);
}

static __always_inline void pop(struct cpu_state *cpu)
{
	if (!cpu->depth)
		return; /* attached while the call was under way */
	struct frame *frame = frame_at(cpu, --cpu->depth);
	if (frame && frame->state == PASS_OPEN)
		send_pass(frame);
	cpu->quiet = is_quiet(top(cpu));
}
