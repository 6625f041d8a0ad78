// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taps: the receive functions of packet sockets, and what became of the packet in each.
 *
 * The outcome follows from the functions that the receive function calls; the socket's counters would race with other
 * CPUs.
 *
 *   tpacket_rcv      calls __packet_rcv_has_room after the socket's filter has accepted. Not called: filtered (or
 *                    ignored, see ignored()). It returned ROOM_NONE: full. It returned that there is room: captured,
 *                    unless no slot is found even so, and the skb is given up in the way of packet_rcv: full.
 *   packet_rcv       calls sk->sk_data_ready (sock_def_readable) after it has queued the packet: captured. Otherwise
 *                    it frees the skb: by consume_skb where the filter refused it, by kfree_skb (since 5.17
 *                    kfree_skb_reason) where the receive buffer was full; since 6.12 (ba8de796baf4) in both cases by
 *                    sk_skb_reason_drop, with a reason. consume_skb is not probed: it is called for every packet of
 *                    every tap.
 *   packet_rcv_spkt  the same where it has queued the packet: captured. Otherwise the filter or the receive buffer
 *                    refused it in sock_queue_rcv_skb, and no probe can see which: unknown.
 *
 * Taps do not nest, except that a fanout group's function calls that of its member.
 */

#define UNDECIDED 255
#define PACKET_OUTGOING 4
#define PACKET_LOOPBACK 5

/* Did the tap refuse the packet before its filter ran? It does so for a copy of what the loopback device sent, and for
 * a packet of another namespace than the socket's. Asked only where no call has shown the outcome. */
static __always_inline u8 ignored(struct tap_call *tap)
{
	if (tap->pkt_type == PACKET_LOOPBACK)
		return 1;
	return READ(u64, tap->dev, NET_DEVICE__NET) != READ(u64, tap->sk, SOCK__SKC_NET);
}

/* skb->pkt_type of a tap's packet. The pass has it of its own skb, which a transmit tap's is not. */
static __always_inline u8 tap_packet_type(struct frame *frame, u64 skb)
{
	if (frame && frame->state == PASS_OPEN && frame->skb == skb && frame->kind != FRAME_TX)
		return record_of(frame)->pkt_type;
	return READ(u8, skb, SK_BUFF__PKT_TYPE) & SK_BUFF__PKT_TYPE_MASK;
}

static __always_inline u8 kind_of(u8 func)
{
	return func == FUNC_PACKET_RCV_FANOUT ? STEP_FANOUT : STEP_TAP;
}

/* The step of a tap that was offered this packet, in this frame's record. */
static __always_inline void fill_tap(struct frame *frame, u64 skb, u64 dev, u64 orig_dev, u32 inode,
				     u8 func, u8 outcome)
{
	follow_device(frame, dev);
#ifdef COUNT_ONLY
	count_step(frame, frame->ifindex, kind_of(func), outcome, func, inode, 0);
	return;
#endif
	ADD_STEP(frame, kind_of(func), func, outcome, orig_ifindex(frame, orig_dev), inode, skb);
}

/* The same, in the record where it belongs: that of the open pass, or a late one. */
static __always_inline void tap_step(struct cpu_state *cpu, u64 skb, u64 dev, u64 orig_dev, u32 inode,
				     u8 func, u8 outcome)
{
	struct frame *frame = top(cpu);

	if (passed_over(frame, skb))
		return;
	if (!holds(frame, skb)) {
		frame = open_late_packet(cpu, skb, dev);
		if (!frame)
			return;
		fill_tap(frame, skb, dev, orig_dev, inode, func, outcome);
		send_single(frame);
		return;
	}
	fill_tap(frame, skb, dev, orig_dev, inode, func, outcome);
}

/* The number of changes of hooks (hook.c), 0 where hooks are not watched. A tap's socket and its inode are found by its
 * hook and kept until this number changes, which saves three calls per tap and packet: another socket may get the same
 * address, but before it is offered a packet its hook goes through dev_add_pack. Where this is 0 nothing is kept. */
BPF_ARRAY(hook_changes, u64, 1);

/* tpacket_rcv gives up a packet, and no probe can see it, where so many bytes are to be left free in front of it that
 * its offset would not fit 16 bits (since 5.9, acf69c946233). */
#define RESERVE_MAX 65000

/* Find the socket and the inode of the tap with this hook (struct packet_type). */
static __always_inline void find_socket(struct cpu_state *cpu, struct tap_call *tap, u64 pt)
{
	u32 zero = 0;
	u64 *changes = hook_changes.lookup(&zero);
	u64 now = changes ? *changes : 0;

	tap->unsure = 0; /* one that is unsure is never kept */
	u64 hook = NUMBER_OF(&tap->hook, pt);
	struct known_tap *known = &cpu->known[BOUNDED(hook >> 6 ^ hook >> 10 ^ hook >> 14, KNOWN_TAPS - 1)];

	if (known->hook == hook && known->hook_changes == now && now) {
		tap->sk = known->sk;
		tap->inode = known->inode;
		return;
	}
	tap->sk = READ(u64, pt, PACKET_TYPE__AF_PACKET_PRIV);
	tap->inode = socket_inode(tap->sk);
#ifdef PACKET_SOCK__TP_RESERVE
	tap->unsure = READ(u32, tap->sk, PACKET_SOCK__TP_RESERVE) > RESERVE_MAX;
#endif
	known->hook = tap->inode && !tap->unsure ? hook : 0;
	known->sk = tap->sk;
	known->inode = tap->inode;
	known->hook_changes = now;
}

/* A tap's receive function is called. */
static __always_inline int tap_begin(u64 skb, u64 dev, u64 pt, u64 orig_dev, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct tap_call *tap = &cpu->tap;

	tap->open = 0;
	if (cpu->quiet)
		return 0;
	struct frame *frame = top(cpu);
	if (passed_over(frame, skb))
		return 0;
	tap->pkt_type = tap_packet_type(frame, skb);
	if ((tap->pkt_type == PACKET_OUTGOING) != (frame && frame->kind == FRAME_TX))
		return 0; /* sent, but the transmit stage is not attached: it is not of the open pass */
	tap->func = func;
	tap->skb = skb;
	tap->dev = dev;
	tap->orig_dev = orig_dev;
	find_socket(cpu, tap, pt);
	tap->outcome = UNDECIDED;
	tap->open = 1;
	return 0;
}

/* The outcome, now that the receive function returns. */
static __always_inline u8 outcome_of(struct tap_call *tap)
{
	if (tap->outcome != UNDECIDED)
		return tap->outcome;
	if (ignored(tap))
		return OUTCOME_IGNORED;
	if (tap->func == FUNC_PACKET_RCV_SPKT)
		return OUTCOME_UNKNOWN;
	/* Without a filter nothing is filtered: the kernel has skipped the program that would have seen the outcome. */
	return READ(u64, tap->sk, SOCK__SK_FILTER) ? OUTCOME_FILTERED : OUTCOME_UNKNOWN;
}

/* The receive function returns: its step is added. */
static __always_inline int tap_end(void)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct tap_call *tap = &cpu->tap;
	if (!tap->open)
		return 0;
	tap->open = 0;
	tap_step(cpu, tap->skb, tap->dev, tap->orig_dev, tap->inode, tap->func, outcome_of(tap));
	return 0;
}

/* A packet is offered to a fanout group, which calls the function of a member. */
static __always_inline int tap_fanout(u64 skb, u64 dev, u64 orig_dev)
{
	struct cpu_state *cpu = this_cpu();
	if (cpu && !cpu->quiet)
		tap_step(cpu, skb, dev, orig_dev, 0, FUNC_PACKET_RCV_FANOUT, OUTCOME_UNKNOWN);
	return 0;
}

/* The tap whose receive function is running, or 0: calls with its socket (sk) or its skb show its outcome. */
static __always_inline struct tap_call *running_tap(void)
{
	struct cpu_state *cpu = this_cpu();
	return OR_NULL(cpu && cpu->tap.open ? &cpu->tap : 0);
}

#define ROOM_NONE 0

/* __packet_rcv_has_room returns. poll() and fanout groups call it, too, so sk is compared where it is known (not 0). */
static __always_inline int tap_room(u64 sk, u32 room)
{
	struct tap_call *tap = running_tap();
	if (!tap || tap->func != FUNC_TPACKET_RCV || (sk && tap->sk != sk))
		return 0;
	if (room == ROOM_NONE)
		tap->outcome = OUTCOME_FULL;
	else
		tap->outcome = tap->unsure ? OUTCOME_UNKNOWN : OUTCOME_CAPTURED;
	return 0;
}

/* sock_def_readable is called. */
static __always_inline int tap_queued(u64 sk)
{
	struct tap_call *tap = running_tap();
	/* A full ring wakes its reader, too. */
	if (tap && tap->sk == sk && tap->func != FUNC_TPACKET_RCV)
		tap->outcome = OUTCOME_CAPTURED;
	return 0;
}

/* The skb is freed as a drop. */
static __always_inline int refused_by_tap(u64 skb)
{
	struct tap_call *tap = running_tap();
	if (tap && tap->skb == skb && tap->func != FUNC_PACKET_RCV_SPKT)
		tap->outcome = OUTCOME_FULL;
	return 0;
}

PROBE(tap_ring_enter)
{
	return tap_begin(ARG(tap_ring_enter, 0), ARG(tap_ring_enter, 1), ARG(tap_ring_enter, 2),
			 ARG(tap_ring_enter, 3), FUNC_TPACKET_RCV);
}
PROBE(tap_ring_room)
{
	return tap_room(TYPED_tap_ring_room ? ARG(tap_ring_room, 0) : 0, RETURNED(tap_ring_room, 2));
}

PROBE(tap_queue_enter)
{
	return tap_begin(ARG(tap_queue_enter, 0), ARG(tap_queue_enter, 1), ARG(tap_queue_enter, 2),
			 ARG(tap_queue_enter, 3), FUNC_PACKET_RCV);
}

PROBE(tap_spkt_enter)
{
	return tap_begin(ARG(tap_spkt_enter, 0), ARG(tap_spkt_enter, 1), ARG(tap_spkt_enter, 2),
			 ARG(tap_spkt_enter, 3), FUNC_PACKET_RCV_SPKT);
}
PROBE(tap_exit) { return tap_end(); } /* of all three */
PROBE(tap_queued) { return tap_queued(ARG(tap_queued, 0)); }

#ifdef TAP_REFUSED_HAS_REASON /* sk_skb_reason_drop(sk, skb, reason) */
PROBE(tap_refused)
{
	return (u32)ARG(tap_refused, 2) == SKB_CONSUMED ? 0 : refused_by_tap(ARG(tap_refused, 1));
}
#else /* kfree_skb(skb), kfree_skb_reason(skb, reason) */
PROBE(tap_refused) { return refused_by_tap(ARG(tap_refused, 0)); }
#endif

PROBE(tap_fanout_enter)
{
	return tap_fanout(ARG(tap_fanout_enter, 0), ARG(tap_fanout_enter, 1), ARG(tap_fanout_enter, 3));
}
