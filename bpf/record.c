// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A record: the steps of a pass are added to it, and it is sent to the ring, once.
 */

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

static __always_inline u32 since(struct record *record)
{
	u64 elapsed = bpf_ktime_get_ns() - record->time_ns;
	return elapsed > 0xffffffffULL ? 0xffffffffU : elapsed;
}

/* Write a record into the ring itself, for which its size must be known here; of its last slot so many bytes that
 * hold steps. */
static __always_inline u8 send_in_place(struct record *record, const u32 size, const u32 used)
{
	u64 *room = events.ringbuf_reserve(size);

	if (!room)
		return 0;
	__builtin_memcpy(room, record, used);
	events.ringbuf_submit(room, BPF_RB_NO_WAKEUP);
	return 1;
}

/* A record of any size. */
static __always_inline u8 send_copy(struct frame *frame)
{
	u64 size = ((frame->pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1)) - 8;

	return !events.ringbuf_output(record_of(frame), BOUNDED(size, BUFFER_BYTES - 1), BPF_RB_NO_WAKEUP);
}

/* Nearly all have one slot, and most of the others are one or two steps longer. */
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

/* A record outside of passes: of a hook, or a late step. */
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
