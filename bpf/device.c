// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device that a packet is on, as skb->dev changes. An ifindex means a device only together with a namespace, and
 * whatever changes skb->dev (an rx_handler, a VLAN device, tc's bpf_redirect_peer, a VRF) may lead into another one: a
 * record says so by a STEP_NETNS before the step.
 */

/* The packet is on this device from now on. Here and below, typed: the verifier knows the type of dev. */
static __always_inline void now_on(struct frame *frame, u8 typed, u64 dev)
{
	frame->dev = dev;
	frame->enslaved = 0;
	frame->ifindex = FIELD(typed, u32, dev, NET_DEVICE__IFINDEX);
}

#ifndef COUNT_ONLY
/* Add the step which says in which namespace the device of the steps after it is, or of the next one only. */
static __always_inline void add_namespace(struct frame *frame, u32 netns, u8 scope)
{
	ADD_STEP(frame, STEP_NETNS, FUNC_NONE, scope, record_of(frame)->ifindex, netns, frame->skb);
}
#endif

/* The packet is on this device now: note its namespace where that is another one. */
static __always_inline void follow_namespace(struct frame *frame, u8 typed, u64 dev)
{
	u64 net = FIELD(typed, u64, dev, NET_DEVICE__NET);

	if (net == frame->net)
		return;
	frame->net = net;
#ifdef COUNT_ONLY
	record_of(frame)->netns = FIELD(typed, u32, net, NET__INUM); /* what is counted from here on */
#else
	add_namespace(frame, FIELD(typed, u32, net, NET__INUM), NETNS_FROM_HERE);
#endif
}

/* The round of a step follows from its device: within a pass skb->dev changes only where a new round begins (an
 * rx_handler's ANOTHER, a VLAN device, tc ingress). */
static __always_inline void follow_device(struct frame *frame, u8 typed, u64 dev)
{
	if (frame->dev != dev) {
		now_on(frame, typed, dev);
		frame->round++;
		follow_namespace(frame, typed, dev);
	}
}

/* The next step is on this device, but the packet does not move there: step_back() follows the step. `elsewhere`: its
 * namespace is to be named even where the frame's is the same. */
static __always_inline void step_aside(struct frame *frame, u64 dev, u8 elsewhere)
{
	u64 net = READ(u64, dev, NET_DEVICE__NET);

	if (elsewhere || net != frame->net) {
		u32 netns = READ(u32, net, NET__INUM);
#ifdef COUNT_ONLY
		record_of(frame)->netns = netns;
#else
		add_namespace(frame, netns, NETNS_NEXT_STEP);
#endif
	}
	frame->ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);
}

/* The steps are on the frame's own device again: on what ifindex, and record.netns, were before step_aside(). */
static __always_inline void step_back(struct frame *frame, u32 ifindex, u32 netns)
{
	frame->ifindex = ifindex;
#ifdef COUNT_ONLY
	record_of(frame)->netns = netns;
#endif
}
