// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Protocol handlers: (skb, dev, pt, orig_dev), or for a list of packets (head, pt, orig_dev). A list reaches its
 * handler after __netif_receive_skb_core was called for all its packets, so its steps are late ones.
 */

#define LIST_MAX 64

/* The step of a protocol handler that is given this packet, in this frame's record. typed: the verifier knows the type
 * of dev. */
static __always_inline void fill_protocol(struct frame *frame, u8 typed, u64 skb, u64 dev, u64 orig_dev, u8 func)
{
	follow_device(frame, typed, dev);
#ifdef COUNT_ONLY
	count_step(frame, frame->ifindex, STEP_PROTOCOL, 0, func, 0, 0);
	return;
#endif
	ADD_STEP(frame, STEP_PROTOCOL, func, 0, orig_ifindex(frame, orig_dev), 0, skb);
}

static __always_inline int protocol_one(u8 typed, u64 skb, u64 dev, u64 orig_dev, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	struct frame *frame = top(cpu);
	if (passed_over(frame, skb))
		return 0;
#ifdef PROBE_SOCKETS
	if (func == FUNC_ARP_RCV)
		note_handled(cpu, skb, dev);
#endif
	if (!holds(frame, skb)) {
		frame = open_late_packet(cpu, skb, dev);
		if (!frame)
			return 0;
		fill_protocol(frame, typed, skb, dev, orig_dev, func);
		send_single(frame);
		return 0;
	}
	if (frame->kind == FRAME_RX)
		frame->skb = skb; /* VLAN untagging may have replaced it */
	fill_protocol(frame, typed, skb, dev, orig_dev, func);
	return 0;
}

static __always_inline int protocol_list(u64 head, u64 orig_dev, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct frame *frame = open_late(cpu, head, orig_dev);
	u64 item = READ(u64, head, 0);
	if (!frame)
		return 0; /* orig_dev is where the passes began: none of them is traced */
	for (int i = 0; i < LIST_MAX && item != head; i++) {
		u64 skb = item - SK_BUFF__LIST; /* a list shares orig_dev, not skb->dev */
		item = READ(u64, item, 0);
		if (!was_wanted(cpu, skb))
			continue;
		u64 dev = READ(u64, skb, SK_BUFF__DEV);
		if (dev != frame->dev) { /* not a new round: Python takes that from the pass */
			now_on(frame, 0, dev);
			follow_namespace(frame, 0, dev);
		}
		fill_protocol(frame, 0, skb, dev, orig_dev, func);
	}
	if (item != head) {
		record_of(frame)->steps_lost++;
		count(COUNT_STEPS_LOST);
	}
	send_single(frame);
	return 0;
}

#define PROTOCOL(name, func) \
	PROBE(name) { return protocol_one(TYPED_##name, ARG(name, 0), ARG(name, 1), ARG(name, 3), func); }
#define PROTOCOL_LIST(name, func) \
	PROBE(name) { return protocol_list(ARG(name, 0), ARG(name, 2), func); }

PROTOCOL(ip_rcv, FUNC_IP_RCV)
PROTOCOL(ipv6_rcv, FUNC_IPV6_RCV)
PROTOCOL(arp_rcv, FUNC_ARP_RCV)
PROTOCOL_LIST(ip_list_rcv, FUNC_IP_LIST_RCV)
PROTOCOL_LIST(ipv6_list_rcv, FUNC_IPV6_LIST_RCV)
