// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Inner packets: gro_cells_receive(struct gro_cells *, skb) is how a tunnel (VXLAN, Geneve, GRE, IP in IP), macsec and
 * IPsec in tunnel mode hand on what was inside a packet. It is called within the pass of the outer packet; the same skb
 * is received on skb->dev later in the same CPU's softirq (with RPS on another CPU), and the queue holds it until then,
 * so that its address means no other packet. The outer packet's pass may have begun with another skb: IP works on a
 * clone where a tap shares the packet.
 */

#ifndef COUNT_ONLY
/* The step of a packet that is handed on by this device, which is not where the outer packet's pass goes on. */
static __always_inline void fill_queued(struct frame *frame, u64 skb, u64 dev, u8 elsewhere)
{
	u32 ifindex = frame->ifindex, netns = record_of(frame)->netns;

	step_aside(frame, dev, elsewhere);
	ADD_STEP(frame, STEP_QUEUED, FUNC_GRO_CELLS, 0, record_of(frame)->ifindex, 0, skb);
	step_back(frame, ifindex, netns);
}

static __always_inline int queued(u64 skb)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	struct frame *frame = top(cpu);
	if (passed_over(frame, skb))
		return 0;
	u64 dev = READ(u64, skb, SK_BUFF__DEV);
	if (holds(frame, skb)) {
		fill_queued(frame, skb, dev, 0);
		return 0;
	}
	frame = open_late_packet(cpu, skb, dev);
	if (!frame)
		return 0;
	fill_queued(frame, skb, dev, 1); /* the pass that it belongs to may be of another namespace */
	send_single(frame);
	return 0;
}

PROBE(queued) { return queued(ARG(queued, 1)); }
#else /* a handing on is not counted: the inner packet's pass is */
PROBE(queued) { return 0; }
#endif
