// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A record: room for its steps, and how it is sent to the ring.
 *
 * It is built in a frame's `buf`, in slots as wire.h has them, and is sent once, when it is complete: when its pass
 * ends, or, for a record of a hook or of late steps, at once.
 */

#define FURTHER_STEPS 3 /* at most so many in the second slot of a record that is written in place */

/* Where the next step of a frame's record goes in its buffer, or 0 when the record is full. */
static __always_inline u32 next_position(struct frame *frame)
{
	u32 pos = frame->pos;

	if (((pos - 1) & (SLOT_BYTES - 1)) <= SLOT_BYTES - 1 - sizeof(struct step))
		return pos;
	pos = (pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1);
	if (pos >= BUFFER_BYTES)
		return 0;
	*(u64 *)(frame->buf + BOUNDED(pos, BUFFER_BYTES - 1)) = SLOT_CONTINUES;
	return pos + 8;
}

/* Room for the next step of a frame's record, or 0 when the record is full. */
static __always_inline struct step *next_step(struct frame *frame)
{
	struct record *record = record_of(frame);
	u32 pos = next_position(frame);
	struct step *step = 0;

	if (pos) {
		record->steps++;
		frame->pos = pos + sizeof(struct step);
		step = (struct step *)(frame->buf + BOUNDED(pos, BUFFER_BYTES - 1));
	} else {
		record->steps_lost++;
		count(COUNT_STEPS_LOST);
	}
	return OR_NULL(step);
}

/* The time of a record's last step, which ends at this place; 0, that of the record, where it has none. */
static __always_inline u32 last_time(struct record *record, u8 *buf, u32 pos)
{
	struct step *last = (struct step *)(buf + BOUNDED(pos - sizeof(struct step), BUFFER_BYTES - 1));

	return record->steps ? last->t_ns : 0;
}

/* The time since the record's time_ns; the largest number where that is more than 4 s. */
static __always_inline u32 since(struct record *record)
{
	u64 elapsed = bpf_ktime_get_ns() - record->time_ns;
	return elapsed > 0xffffffffULL ? 0xffffffffU : elapsed;
}

/* Add a step to a frame's record, with the current time and the frame's device and round. 1, or 0 where the record is
 * full, which is counted. Every step of a packet is filled here. This is a macro, because a function's arguments would
 * be evaluated before: their values would have to be kept across the calls in here (up to 8 instructions more), and
 * what they read would be read even where the record is full. */
#define ADD_STEP(frame, kind, func, result, orig_ifindex, arg, skb_low) \
	ADD_STEP_AT(since(record_of(frame)), frame, kind, func, result, orig_ifindex, arg, skb_low)
#define ADD_STEP_AT(t_ns_, frame, kind_, func_, result_, orig_ifindex_, arg_, skb_low_) \
	({                                                                    \
		struct step *step_ = next_step(frame);                        \
		if (step_) {                                                  \
			step_->t_ns = t_ns_;                                  \
			step_->ifindex = (frame)->ifindex;                    \
			step_->orig_ifindex = orig_ifindex_;                  \
			step_->arg = arg_;                                    \
			step_->kind = kind_;                                  \
			step_->round = (frame)->round;                        \
			step_->result = result_;                              \
			step_->func = func_;                                  \
			step_->skb_low = skb_low_;                            \
		}                                                             \
		step_ != 0;                                                   \
	})

/* Build a record's slots in the ring itself, for which their size must be a constant. Only the bytes in use are
 * copied: the last slot is not full of steps. */
static __always_inline u8 send_in_place(struct record *record, const u32 size, const u32 used)
{
	u64 *room = events.ringbuf_reserve(size);

	if (!room)
		return 0;
	__builtin_memcpy(room, record, used);
	events.ringbuf_submit(room, BPF_RB_NO_WAKEUP);
	return 1;
}

/* Let the kernel copy a record, which may then have any size. */
static __always_inline u8 send_copy(struct frame *frame)
{
	u64 size = ((frame->pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1)) - 8;

	return !events.ringbuf_output(record_of(frame), BOUNDED(size, BUFFER_BYTES - 1), BPF_RB_NO_WAKEUP);
}

/* Send the record of a frame's pass (COUNT_ONLY: nothing). Nearly all have one slot, and most of the others are one or
 * two steps longer. */
static __always_inline void send_pass(struct frame *frame)
{
#ifndef COUNT_ONLY
	struct record *record = record_of(frame);
	u8 sent;

	record->duration_ns = bpf_ktime_get_ns() - record->time_ns;
	record->last_skb = frame->skb;
	if (record->steps <= FIRST_STEPS)
		sent = send_in_place(record, SLOT_BYTES - 8, SLOT_BYTES - 8);
	else if (record->steps <= FIRST_STEPS + FURTHER_STEPS)
		sent = send_in_place(record, 2 * SLOT_BYTES - 8, SLOT_BYTES + FURTHER_STEPS * sizeof(struct step));
	else
		sent = send_copy(frame);
	count(sent ? COUNT_SENT : COUNT_LOST);
#endif
}

/* Send a record that is of no pass: of a hook, or of late steps (COUNT_ONLY: of a hook only). */
static __always_inline void send_single(struct frame *frame)
{
#ifdef COUNT_ONLY
	if (record_of(frame)->kind != RECORD_HOOK)
		return;
#endif
	record_of(frame)->duration_ns = 0;
	record_of(frame)->last_skb = frame->skb;
	count(send_copy(frame) ? COUNT_SENT : COUNT_LOST);
}
