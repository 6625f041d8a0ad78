// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taps: the receive functions of packet sockets, and what became of the packet in each.
 *
 * The outcome is read off the functions that the receive function calls, not off the socket's
 * counters, which race with other CPUs:
 *
 *   tpacket_rcv   __packet_rcv_has_room is called once the socket's filter has accepted, and tells
 *                 whether there is room. Where it says so and no slot is found even so, the skb is
 *                 given up as packet_rcv does it: full. Otherwise: captured. Not called: filtered
 *                 (or ignored: see ignored()).
 *   packet_rcv    sk->sk_data_ready (sock_def_readable) is called once it is queued: captured.
 *                 Otherwise the skb is freed: by consume_skb when the filter said no, by
 *                 kfree_skb (since 5.17 kfree_skb_reason) when the receive buffer was full; since
 *                 6.12 (ba8de796baf4) by sk_skb_reason_drop with a reason in both cases. Of the first
 *                 two only the latter is watched: the former is called for every packet of every tap.
 *   packet_rcv_spkt  queued: captured. Otherwise a filter or the receive buffer refused it in
 *                 sock_queue_rcv_skb, and which of them cannot be told: unknown.
 *
 * Taps do not nest, but for a fanout group's function, which calls its member's.
 */

#define UNDECIDED 255
#define PACKET_OUTGOING 4
#define PACKET_LOOPBACK 5

/* Both refuse before the socket's filter runs: a copy of what the loopback device sent, and a
 * packet of another namespace than the socket's. Asked only where nothing else tells the outcome. */
static __always_inline u8 ignored(struct tap_call *tap)
{
	if (tap->pkt_type == PACKET_LOOPBACK)
		return 1;
	return READ(u64, tap->dev, NET_DEVICE__NET) != READ(u64, tap->sk, SOCK__SKC_NET);
}

/* The pass knows it of its own skb; a transmit tap's is another. */
static __always_inline u8 tap_packet_type(struct frame *frame, u64 skb)
{
	if (frame && frame->state == PASS_OPEN && frame->skb == skb && frame->kind != FRAME_TX)
		return record_of(frame)->pkt_type;
	return READ(u8, skb, SK_BUFF__PKT_TYPE) & SK_BUFF__PKT_TYPE_MASK;
}

static __always_inline void fill_tap(struct frame *frame, u64 skb, u64 dev, u64 orig_dev, u32 inode,
				     u8 func, u8 outcome)
{
	struct step *step;

#ifdef COUNT_ONLY
	if (frame->dev != dev)
		now_on(frame, dev);
	count_step(frame, frame->ifindex, func == FUNC_PACKET_RCV_FANOUT ? STEP_FANOUT : STEP_TAP, outcome, func, inode, 0);
	return;
#endif
	follow_device(frame, dev);
	step = next_step(frame);
	if (!step)
		return;
	step->t_ns = since(record_of(frame));
	step->ifindex = frame->ifindex;
	step->orig_ifindex = orig_ifindex(frame, orig_dev);
	step->arg = inode;
	step->kind = func == FUNC_PACKET_RCV_FANOUT ? STEP_FANOUT : STEP_TAP;
	step->round = frame->round;
	step->result = outcome;
	step->func = func;
	step->skb_low = skb;
}

static __always_inline void tap_step(struct cpu_state *cpu, u64 skb, u64 dev, u64 orig_dev, u32 inode,
				     u8 func, u8 outcome)
{
	struct frame *frame = top(cpu);

	if (passed_over(frame, skb))
		return;
	if (!frame || frame->state != PASS_OPEN || !holds(frame, skb)) {
		frame = open_late_packet(cpu, skb, dev);
		if (!frame)
			return;
		fill_tap(frame, skb, dev, orig_dev, inode, func, outcome);
		send_single(frame);
		return;
	}
	fill_tap(frame, skb, dev, orig_dev, inode, func, outcome);
}

/* A tap's socket and its inode are found by its hook and kept, which saves three calls a tap and packet. Sockets come
 * and go at the same address, but before one is offered a packet its hook goes through dev_add_pack, after which nothing
 * that was kept counts (hook.c). While the hooks are not watched this is 0, and nothing is kept. */
BPF_ARRAY(hook_changes, u64, 1);

/* tpacket_rcv gives a packet up without a word where this many bytes are to be left free in front of it: its offset
 * would not fit 16 bits (since 5.9, acf69c946233). */
#define RESERVE_MAX 65000

static __always_inline void find_socket(struct cpu_state *cpu, struct tap_call *tap, u64 pt)
{
	u32 zero = 0;
	u64 *changes = hook_changes.lookup(&zero);
	u64 now = changes ? *changes : 0;

	tap->unsure = 0; /* one that is not kept */
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
		return 0; /* sent while the transmit stage is not attached: not of the pass that is open */
	tap->func = func;
	tap->skb = skb;
	tap->dev = dev;
	tap->orig_dev = orig_dev;
	find_socket(cpu, tap, pt);
	tap->outcome = UNDECIDED;
	tap->open = 1;
	return 0;
}

static __always_inline u8 outcome_of(struct tap_call *tap)
{
	if (tap->outcome != UNDECIDED)
		return tap->outcome;
	if (ignored(tap))
		return OUTCOME_IGNORED;
	if (tap->func == FUNC_PACKET_RCV_SPKT)
		return OUTCOME_UNKNOWN;
	/* What has no filter refuses nothing: a program that would have told was skipped. */
	return READ(u64, tap->sk, SOCK__SK_FILTER) ? OUTCOME_FILTERED : OUTCOME_UNKNOWN;
}

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

static __always_inline int tap_fanout(u64 skb, u64 dev, u64 orig_dev)
{
	struct cpu_state *cpu = this_cpu();
	if (cpu && !cpu->quiet)
		tap_step(cpu, skb, dev, orig_dev, 0, FUNC_PACKET_RCV_FANOUT, OUTCOME_UNKNOWN);
	return 0;
}

/* The running tap: a call of its socket (sk) or skb tells of it. */
static __always_inline struct tap_call *running_tap(void)
{
	struct cpu_state *cpu = this_cpu();
	return OR_NULL(cpu && cpu->tap.open ? &cpu->tap : 0);
}

#define ROOM_NONE 0

/* poll() and fanout groups ask for a socket's room, too; where the socket is known (0: it is not), it is compared. */
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

static __always_inline int tap_queued(u64 sk)
{
	struct tap_call *tap = running_tap();
	/* A full ring wakes its reader too. */
	if (tap && tap->sk == sk && tap->func != FUNC_TPACKET_RCV)
		tap->outcome = OUTCOME_CAPTURED;
	return 0;
}

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
