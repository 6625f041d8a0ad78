// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops: the tracepoint skb:kfree_skb(skb, location[, reason]) fires when the last reference to an skb is given up
 * and nobody consumed the packet. Only the packet of the open pass is reported. What a tap frees is not (it is the
 * tap's own copy), and neither is what this host sends meanwhile, perhaps in an skb at the address of one that was
 * delivered: no device has received it.
 */

/* Has a device received this packet, or does this host send it? */
static __always_inline u8 was_received(u64 skb)
{
	return READ(u32, skb, SK_BUFF__SKB_IIF) != 0;
}

static __always_inline void fill_drop(struct frame *frame, u64 skb, u64 location, u32 reason)
{
#ifdef COUNT_ONLY
	count_step(frame, frame->ifindex, STEP_DROP, 0, FUNC_NONE, location, reason);
	return;
#endif
	ADD_STEP(frame, STEP_DROP, FUNC_NONE, 0, record_of(frame)->ifindex, reason, location);
}

static __always_inline int dropped(u64 skb, u64 location, u32 reason)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet || cpu->tap.open)
		return 0;
	struct frame *frame = top(cpu);
	if (!frame || frame->kind == FRAME_TX)
		return 0;
	if (frame->state == PASS_OPEN && frame->skb == skb) {
		if (was_received(skb))
			fill_drop(frame, skb, location, reason);
		return 0;
	}
	if (frame->kind != FRAME_RX_LIST || passed_over(frame, skb) || !was_received(skb))
		return 0;
	/* in a list, after __netif_receive_skb_core was called for all its packets */
	frame = open_late_packet(cpu, skb, READ(u64, skb, SK_BUFF__DEV));
	if (!frame)
		return 0;
	fill_drop(frame, skb, location, reason);
	send_single(frame);
	return 0;
}

#ifdef SKB_DROP_REASONS
PROBE(drop) { return dropped(((u64 *)ctx)[0], ((u64 *)ctx)[1], ((u64 *)ctx)[2]); }
#else /* before 5.17 (c504e5c2f964) the kernel gives no reason */
PROBE(drop) { return dropped(((u64 *)ctx)[0], ((u64 *)ctx)[1], 0); }
#endif
