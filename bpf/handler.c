// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rx_handlers: rx_handler_result_t handler(struct sk_buff **pskb). The step is placed at entry, so
 * that it stands before the passes that the handler itself causes (a bridge), and is completed at
 * return with the verdict and the device that the packet has then.
 *
 * After CONSUMED the skb may be freed, so *pskb is not followed.
 */

#define RX_HANDLER_CONSUMED 0
#define RX_HANDLER_ANOTHER 1

static __always_inline int handler_begin(u64 pskb, u8 place)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct frame *frame = top(cpu);
	if (!frame || !frame->active || frame->kind == FRAME_TX)
		return 0;
	u64 skb = READ(u64, pskb, 0);
	u64 dev = READ(u64, skb, SK_BUFF__DEV);

	frame->skb = skb;
	frame->handler_pos = 0;
	follow_device(frame, dev);
	struct step *step = next_step(frame);
	if (!step)
		return 0;
	step->t_ns = since(record_of(frame));
	step->ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);
	step->orig_ifindex = record_of(frame)->ifindex;
	step->arg = 0;
	step->kind = STEP_HANDLER;
	step->round = frame->round;
	step->result = VERDICT_PENDING;
	step->func = FUNC_HANDLER + place;
	step->skb_low = skb;
	frame->handler_pskb = pskb;
	frame->handler_pos = frame->pos - sizeof(struct step);
	return 0;
}

static __always_inline int handler_end(u32 verdict)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct frame *frame = top(cpu);
	if (!frame || !frame->active || !frame->handler_pos)
		return 0;
	struct step *step = (struct step *)(frame->buf + (frame->handler_pos & (BUFFER_BYTES - 1)));

	frame->handler_pos = 0;
	step->result = verdict;
	if (verdict == RX_HANDLER_CONSUMED)
		return 0;
	u64 skb = READ(u64, frame->handler_pskb, 0);
	u64 dev = READ(u64, skb, SK_BUFF__DEV);

	frame->skb = skb; /* skb_share_check may have replaced it */
	step->arg = READ(u32, dev, NET_DEVICE__IFINDEX);
	if (verdict == RX_HANDLER_ANOTHER) {
		frame->dev = dev;
		frame->round++;
	}
	return 0;
}

/* The loader adds a line of each for every rx_handler of the probe plan. */
#define RX_HANDLER_ENTER(place) \
	PROBE(handler_enter_##place) { return handler_begin(ARG(handler_enter_##place, 0), place); }
#define RX_HANDLER_EXIT(place) \
	PROBE(handler_exit_##place) { return handler_end(RETURNED(handler_exit_##place, 1)); }
