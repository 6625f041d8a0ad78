// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whose state a program works with: that of the CPU.
 *
 * BY_TASK (PREEMPT_RT): packets are received by tasks, and since Linux 6.18 (3253cb49cbad) one that has softirqs disabled
 * may be preempted by another one that receives on the same CPU. So inside brackets each task has a state of its own, one
 * of LANES: the outermost begin takes it, and that bracket's end gives it back. Outside of brackets there is no packet
 * under way, and the CPU's state will do.
 *
 * A kernel that lets tasks take turns inside brackets does so inside programs attached by fentry, too. It then skips a
 * program that the other task is inside of, and counts that (misses); different programs run in turns. So what is shared
 * is taken, counted and given back by single operations of the kernel's maps.
 */

#ifdef BY_TASK
#define LANES 128
#define TRIES 8
#define LANE_NONE (~0U)
#define HELD_NS_MAX 10000000000ULL

BPF_HASH(tasks, u32, u32, LANES);  /* a task inside a bracket: its lane */
BPF_HASH(owners, u32, u32, LANES); /* a lane that is taken: its task */
BPF_ARRAY(lanes, struct cpu_state, LANES);

/* The number of the running task. Those that idle have none: there is one on each CPU. */
static __always_inline u32 this_task(void)
{
	u32 task = bpf_get_current_pid_tgid();

	return task ? task : 1U << 31 | bpf_get_smp_processor_id();
}

static __always_inline struct cpu_state *outside(void)
{
	u32 zero = 0;
	struct cpu_state *state = cpus.lookup(&zero);

	return OR_NULL(state);
}

static __always_inline struct cpu_state *this_cpu(void)
{
	u32 task = this_task();
	u32 *lane = tasks.lookup(&task);
	struct cpu_state *state = lane ? lanes.lookup(lane) : 0;

	return OR_NULL(state ? state : outside());
}

/* Take a lane for this task, or none where those that it may take are taken. Of these one that has been for very long is
 * of a task whose last end was missed. */
static __always_inline u32 take_lane(u32 task)
{
	u32 lane = LANE_NONE;

#pragma unroll
	for (u32 nth = 0; nth < TRIES; nth++) {
		u32 next = (task + nth * (LANES / TRIES)) & (LANES - 1);

		if (lane != LANE_NONE)
			break;
		struct cpu_state *state = lanes.lookup(&next);
		u32 *owner = owners.lookup(&next);
		if (owner && state && bpf_ktime_get_ns() - state->taken_ns > HELD_NS_MAX) {
			u32 old = *owner;
			if (!owners.delete(&next)) { /* one task alone succeeds in this */
				tasks.delete(&old);
				count(COUNT_UNBALANCED);
			}
		}
		if (!owners.insert(&next, &task))
			lane = next;
	}
	return lane;
}

/* Brackets that began further down on the task's stack than the one that begins, or at the same place, have ended, and
 * that was missed: the kernel skips the program where another task is inside of it. */
static __always_inline void leave_ended(struct cpu_state *state)
{
#pragma unroll
	for (int nth = 0; nth < MAX_DEPTH; nth++) {
		struct frame *frame = top(state);

		if (state->depth && frame && frame->begun_at <= state->begun_at) {
			state->depth--;
			count(COUNT_UNBALANCED);
		}
	}
}

/* The state for a bracket that begins: the outermost of its task takes a lane. */
static __always_inline struct cpu_state *begin_bracket(void *ctx)
{
	u32 task = this_task();
	u32 *held = tasks.lookup(&task);
	u32 lane = held ? *held : take_lane(task);
	struct cpu_state *state = 0;

	if (lane != LANE_NONE && (held || !tasks.update(&task, &lane)))
		state = lanes.lookup(&lane);
	if (state)
		state->begun_at = NUMBER_OF(&state->place, ctx);
	else
		count(COUNT_TOO_DEEP);
	if (state && held) {
		leave_ended(state);
	} else if (state) {
		state->taken_ns = bpf_ktime_get_ns();
		state->depth = 0;
		state->quiet = 0;
		state->tap.open = 0;
		state->asked.skb = 0;
		state->last_seq = 0;
		state->handled_skb = 0;
		state->given_skb = 0;
	}
	return OR_NULL(state);
}

/* A bracket has ended: that of the outermost gives the lane back. */
static __always_inline void end_bracket(struct cpu_state *state)
{
	u32 task = this_task();
	u32 *held = tasks.lookup(&task);
	struct cpu_state *after = outside();

	if (!held || state->depth)
		return;
	u32 lane = *held;
	if (after) { /* for a tap that is called later (rx.c) */
		after->last_seq = state->last_seq;
		after->last_skb = state->last_skb;
	}
	tasks.delete(&task);
	owners.delete(&lane);
}

/* Numbers of passes and brackets are different on a CPU: so is the time, as a task is not preempted, and another one runs,
 * within a moment. They begin anew after some minutes. */
#define NUMBER_SHIFT 6

static __always_inline u32 number_after(u32 last)
{
	u32 number = bpf_ktime_get_ns() >> NUMBER_SHIFT;

	number += number == last;
	return number ? number : 1;
}
#else
static __always_inline struct cpu_state *this_cpu(void)
{
	u32 zero = 0;
	return cpus.lookup(&zero);
}

static __always_inline struct cpu_state *begin_bracket(void *ctx)
{
	return OR_NULL(this_cpu());
}

static __always_inline void end_bracket(struct cpu_state *state)
{
}

static __always_inline u32 number_after(u32 last)
{
	return last + 1;
}
#endif
