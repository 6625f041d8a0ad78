// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Protocol handlers: (skb, dev, pt, orig_dev), or for a list of packets (head, pt, orig_dev). A
 * list reaches its handler after the core calls of all its packets, so its steps are late ones.
 */

#define LIST_MAX 64

static __always_inline void fill_protocol(struct frame *frame, u64 skb, u64 dev, u64 orig_dev, u8 func)
{
	struct step *step;

	follow_device(frame, dev);
	step = next_step(frame);
	if (!step)
		return;
	step->t_ns = since(record_of(frame));
	step->ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);
	step->orig_ifindex = READ(u32, orig_dev, NET_DEVICE__IFINDEX);
	step->arg = 0;
	step->kind = STEP_PROTOCOL;
	step->round = frame->round;
	step->result = 0;
	step->func = func;
	step->skb_low = skb;
}

static __always_inline int protocol_one(u64 skb, u64 dev, u64 orig_dev, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct frame *frame = top(cpu);
	if (frame && frame->kind != FRAME_RX_LIST && !frame->active)
		return 0;
	if (!frame || !frame->active || !holds(frame, skb)) {
		frame = open_late(cpu, skb, dev);
		if (!frame)
			return 0;
		fill_protocol(frame, skb, dev, orig_dev, func);
		send(cpu, frame);
		return 0;
	}
	fill_protocol(frame, skb, dev, orig_dev, func);
	return 0;
}

static __always_inline int protocol_list(u64 head, u64 orig_dev, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	u64 skb = READ(u64, head, 0);
	u64 dev = READ(u64, skb - SK_BUFF__LIST, SK_BUFF__DEV);
	struct frame *frame = open_late(cpu, skb - SK_BUFF__LIST, dev);
	if (!frame)
		return 0;
	for (int i = 0; i < LIST_MAX && skb != head; i++) {
		fill_protocol(frame, skb - SK_BUFF__LIST, dev, orig_dev, func);
		skb = READ(u64, skb, 0);
	}
	send(cpu, frame);
	return 0;
}

#define PROTOCOL(name, func) \
	PROBE(name) { return protocol_one(ARG(name, 0), ARG(name, 1), ARG(name, 3), func); }
#define PROTOCOL_LIST(name, func) \
	PROBE(name) { return protocol_list(ARG(name, 0), ARG(name, 2), func); }

PROTOCOL(ip_rcv, FUNC_IP_RCV)
PROTOCOL(ipv6_rcv, FUNC_IPV6_RCV)
PROTOCOL(arp_rcv, FUNC_ARP_RCV)
PROTOCOL_LIST(ip_list_rcv, FUNC_IP_LIST_RCV)
PROTOCOL_LIST(ipv6_list_rcv, FUNC_IPV6_LIST_RCV)
