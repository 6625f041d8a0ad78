// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops: the tracepoint skb:kfree_skb(skb, location[, reason]) fires when the last reference to an skb is given up
 * and nobody consumed the packet. Reported is the packet of the open pass, and a clone of it, which shares its data
 * (skb->head): IP works on a clone as soon as a tap shares the packet with it, and a bridge forwards one. What a tap
 * frees is not reported (it is the tap's own copy), and neither is what this host sends meanwhile, perhaps in an skb at
 * the address of one that was delivered: no device has received it.
 */

/* Has a device received this packet, or does this host send it? Here and below, typed: the verifier knows the type of
 * skb. */
static __always_inline u8 was_received(u8 typed, u64 skb)
{
	return FIELD(typed, u32, skb, SK_BUFF__SKB_IIF) != 0;
}

/* Does this skb share its data with the packet of the frame's open pass? */
static __always_inline u8 is_clone(struct cpu_state *cpu, struct frame *frame, u8 typed, u64 skb)
{
	u64 head = ADDRESS(typed, &cpu->place, skb, SK_BUFF__HEAD);

#ifdef COUNT_ONLY /* its record is not filled */
	return READ(u64, frame->skb, SK_BUFF__HEAD) == head;
#else
	return record_of(frame)->head == (u32)(head >> 4);
#endif
}

#define NETNS_INUM_MIN 0xEFFFFFF0U /* PROC_DYNAMIC_FIRST; newer kernels number their first namespaces just below */

/* The inode of the namespace of skb->dev, or 0 where that is no device any more: sockets keep other things in its
 * place. */
static __always_inline u32 netns_of(u8 typed, u64 dev)
{
	u64 net = dev ? FIELD(typed, u64, dev, NET_DEVICE__NET) : 0;
	u32 netns = net ? FIELD(typed, u32, net, NET__INUM) : 0;

	return netns >= NETNS_INUM_MIN ? netns : 0;
}

/* The step of a drop. skb->dev may be another device than that of the pass's last step (a VRF, the one to which it was
 * routed), where the packet then ended; that is no round of the receive path. */
static __always_inline void fill_drop(struct cpu_state *cpu, struct frame *frame, u8 typed, u64 skb, u64 location,
				      u32 reason, u8 whose)
{
	u64 dev = FIELD(typed, u64, skb, SK_BUFF__DEV);
	u32 ifindex = frame->ifindex, netns = record_of(frame)->netns;

	if (dev != frame->dev && netns_of(typed, dev))
		step_aside(frame, dev, 0);
#ifdef COUNT_ONLY
	count_step(frame, frame->ifindex, STEP_DROP, 0, FUNC_NONE, location, reason);
#else
	ADD_STEP(frame, STEP_DROP, cpu->dropped_by, whose, /* netfilter.c, tc.c, socket.c */
		 cpu->dropped_by ? cpu->dropped_chain : record_of(frame)->ifindex, reason, location);
#endif
	step_back(frame, ifindex, netns);
}

/* A record of its own for a drop, without the step; 0 where it is not to be told. That is:
 * - in a list, after __netif_receive_skb_core was called for all its packets;
 * - within an open pass, whose skb it is not: a copy whose data was copied as well (NAT writes to it), or another
 *   packet that was waiting. Its bytes tell which (analysis/late.py); counted it cannot be;
 * - outside every pass, likewise: a packet that was kept for later. */
static __always_inline struct frame *late_drop(struct cpu_state *cpu, struct frame *open, u64 skb)
{
	u8 in_list = open && open->kind == FRAME_RX_LIST, in_other = open && !in_list;
	u64 dev = in_other ? open->dev : READ(u64, skb, SK_BUFF__DEV);
	struct frame *frame = 0;
	u8 told;

	if (in_list)
		told = !passed_over(open, skb) && was_wanted(cpu, skb);
#ifdef COUNT_ONLY
	else
		told = 0;
#else
	else if (in_other)
		told = open->state == PASS_OPEN;
	else
		told = was_wanted(cpu, skb) && netns_of(0, dev);
#endif
	if (told)
		frame = open_late(cpu, skb, dev);
	if (frame && in_other)
		record_of(frame)->parent = record_of(open)->seq;
	return OR_NULL(frame);
}

/* Outside every pass only a drop with a reason is one: others are the ends of packets that whoever sent or kept them
 * gives up (pktgen, for one, frees each of its own so). Before 5.17 none has a reason. */
#ifdef SKB_DROP_REASON_NOT_SPECIFIED
#define IS_VAGUE(reason) ((reason) == SKB_DROP_REASON_NOT_SPECIFIED)
#else
#define IS_VAGUE(reason) 1
#endif

static __always_inline int dropped(void *ctx, u8 typed, u64 skb, u64 location, u32 reason)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet || in_tap(cpu))
		return 0;
	struct frame *frame = top(cpu);
	if (!frame && IS_VAGUE(reason))
		return 0;
	cpu->dropped_by = FUNC_NONE;
	note_dropper(cpu, frame, ctx, skb, location, reason);
	note_filter(cpu, frame, skb);
#ifdef PROBE_SOCKETS
	if (!cpu->dropped_by && was_given(cpu, frame, skb)) {
		cpu->dropped_by = FUNC_SOCKET;
		cpu->dropped_chain = cpu->given_to;
	}
#endif
	if ((frame && frame->kind == FRAME_TX) || !was_received(typed, skb))
		return 0;
	u8 is_open = frame && frame->state == PASS_OPEN;
	u8 whose = is_open && frame->skb != skb && is_clone(cpu, frame, typed, skb) ? DROPPED_CLONE : DROPPED_SKB;
	u8 is_late = !is_open || (frame->skb != skb && whose == DROPPED_SKB);
	if (is_late)
		frame = late_drop(cpu, frame, skb);
	if (!frame)
		return 0;
	if (is_late)
		describe_late(cpu, frame, skb);
	fill_drop(cpu, frame, typed, skb, location, reason, whose);
	if (is_late)
		send_single(frame);
	return 0;
}

#ifdef SKB_DROP_REASONS
PROBE(drop) { return dropped(ctx, TYPED_drop, ((u64 *)ctx)[0], ((u64 *)ctx)[1], ((u64 *)ctx)[2]); }
#else /* before 5.17 (c504e5c2f964) the kernel gives no reason */
PROBE(drop) { return dropped(ctx, TYPED_drop, ((u64 *)ctx)[0], ((u64 *)ctx)[1], 0); }
#endif
