// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taps: the receive functions of packet sockets, and what became of the packet in each.
 *
 * The outcome follows from the functions that the receive function calls:
 *
 *   tpacket_rcv      calls __packet_rcv_has_room after the socket's filter has accepted. Not called: filtered (or
 *                    ignored, see ignored()). It returned ROOM_NONE: full. It returned that there is room: captured,
 *                    unless no slot is found even so; which of the two, ring_outcome() has to find out.
 *   packet_rcv       calls sk->sk_data_ready (sock_def_readable) after it has queued the packet: captured. Otherwise
 *                    it frees the skb: by consume_skb where the filter refused it, by kfree_skb (since 5.17
 *                    kfree_skb_reason) where the receive buffer was full; since 6.12 (ba8de796baf4) in both cases by
 *                    sk_skb_reason_drop, with a reason. consume_skb is not probed: it is called for every packet of
 *                    every tap.
 *   packet_rcv_spkt  the same where it has queued the packet: captured. Otherwise the filter or the receive buffer
 *                    refused it in sock_queue_rcv_skb, and no probe can see which: unknown.
 *
 * sock_def_readable and what frees an skb are called for much that is no tap's business. So they are probed only while
 * there is a tap that needs them, and `watched` says since when: without them such an outcome is unknown.
 *
 * A ring's tap has one program, where fexit gives it the arguments: ring_end(). By kprobes they are kept from the
 * begin: tap_begin() and tap_end(), as of the other two.
 *
 * Taps do not nest, except that a fanout group's function calls that of its member.
 */

#define UNDECIDED 255
#define PACKET_OUTGOING 4
#define PACKET_LOOPBACK 5

/* Which probes are attached that only some taps need: a number for each, which is another one each time they are; 0
 * while they are not. The user side sets it after it has attached them, and to 0 before it detaches them. */
enum watched { WATCHED_QUEUES = 0, WATCHED_REFUSALS = 1, WATCHED_PLACES = 2 };
BPF_ARRAY(watched, u64, WATCHED_PLACES);

static __always_inline u64 watched_now(u32 place)
{
	u64 *number = watched.lookup(&place);

	return number ? *number : 0;
}

/* Did the tap refuse the packet before its filter ran? It does so for a copy of what the loopback device sent, and for
 * a packet of another namespace than the socket's. Asked only where no call has shown the outcome. */
static __always_inline u8 ignored(struct tap_call *tap)
{
	if (tap->pkt_type == PACKET_LOOPBACK)
		return 1;
	return READ(u64, tap->dev, NET_DEVICE__NET) != READ(u64, tap->sk, SOCK__SKC_NET);
}

/* Is this the skb that a pass was opened with? Its record has the skb's pkt_type. */
static __always_inline u8 is_received(struct frame *frame, u64 skb)
{
	return frame && frame->state == PASS_OPEN && frame->skb == skb && frame->kind != FRAME_TX;
}

/* skb->pkt_type of a tap's packet. */
static __always_inline u8 tap_packet_type(struct frame *frame, u64 skb)
{
	if (is_received(frame, skb))
		return record_of(frame)->pkt_type;
	return READ(u8, skb, SK_BUFF__PKT_TYPE) & SK_BUFF__PKT_TYPE_MASK;
}

/* The same once the tap's function returns. The skb may be gone by then, so it is read only where it has to be told
 * whether the packet is of the pass; where not, no copy of the loopback device's comes (they are queued one by one). */
static __always_inline u8 tap_packet_type_after(struct frame *frame, u64 skb)
{
	if (frame && frame->kind != FRAME_RX && !is_received(frame, skb))
		return frame->kind == FRAME_TX ? PACKET_OUTGOING : 0;
	return tap_packet_type(frame, skb);
}

static __always_inline u8 kind_of(u8 func)
{
	return func == FUNC_PACKET_RCV_FANOUT ? STEP_FANOUT : STEP_TAP;
}

/* The step of a tap that was offered this packet, in this frame's record. typed: the verifier knows the type of dev. */
static __always_inline void fill_tap(struct frame *frame, u8 typed, u64 skb, u64 dev, u64 orig_dev, u32 inode,
				     u8 func, u8 outcome)
{
	follow_device(frame, typed, dev);
#ifdef COUNT_ONLY
	count_step(frame, frame->ifindex, kind_of(func), outcome, func, inode, 0);
	return;
#endif
	ADD_STEP(frame, kind_of(func), func, outcome, orig_ifindex(frame, orig_dev), inode, skb);
}

/* The same, in the record where it belongs: that of the open pass, or a late one. `frame` is the innermost, or 0. */
static __always_inline void tap_step(struct cpu_state *cpu, struct frame *frame, u8 typed, u64 skb, u64 dev,
				     u64 orig_dev, u32 inode, u8 func, u8 outcome)
{
	if (passed_over(frame, skb))
		return;
	if (!holds(frame, skb)) {
		frame = open_late_packet(cpu, skb, dev);
		if (!frame)
			return;
		fill_tap(frame, typed, skb, dev, orig_dev, inode, func, outcome);
		send_single(frame);
		return;
	}
	fill_tap(frame, typed, skb, dev, orig_dev, inode, func, outcome);
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

/* May this frame have the step of a packet of this pkt_type? What is sent is not of the open pass where the transmit
 * stage is not attached. */
static __always_inline u8 is_of_frame(struct frame *frame, u8 pkt_type)
{
	return (pkt_type == PACKET_OUTGOING) == (frame && frame->kind == FRAME_TX);
}

/* Nothing is known any more of a ring that was asked for room. */
static __always_inline void forget_asked(struct cpu_state *cpu)
{
	cpu->asked.skb = 0;
	cpu->asked.by_group = 0;
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
	forget_asked(cpu);
	struct frame *frame = top(cpu);
	if (passed_over(frame, skb))
		return 0;
	tap->pkt_type = tap_packet_type(frame, skb);
	if (!is_of_frame(frame, tap->pkt_type))
		return 0;
	tap->func = func;
	tap->skb = skb;
	tap->dev = dev;
	tap->orig_dev = orig_dev;
	find_socket(cpu, tap, pt);
	tap->watched = watched_now(WATCHED_QUEUES);
	tap->outcome = UNDECIDED;
	tap->open = 1;
	return 0;
}

/* Were the probes attached all the time that this tap's function ran? */
static __always_inline u8 was_watched(u32 place, u64 at_begin)
{
	return at_begin && at_begin == watched_now(place);
}

#define ROOM_NONE 0

/* A ring is asked for room, for this packet: the socket's filter has accepted it. Keep what the outcome follows from
 * once the function returns. typed: the verifier knows the type of sk. */
static __always_inline int ring_asked(struct cpu_state *cpu, u8 typed, u64 sk, u64 skb, u32 room)
{
	struct asked *asked = &cpu->asked;

	asked->sk = sk;
	asked->has_room = room != ROOM_NONE;
	asked->is_refused = 0;
	asked->frame = cpu->frame_number;
#ifdef PACKET_SOCK__TP_DROPS
	asked->drops = FIELD(typed, u32, sk, PACKET_SOCK__TP_DROPS);
	asked->packets = FIELD(typed, u32, sk, PACKET_SOCK__STATS);
#endif
	asked->watched = watched_now(WATCHED_REFUSALS);
	asked->skb = skb;
	return 0;
}

/* What became of a packet for which a ring had room. tpacket_rcv counts it among the socket's packets or its drops; so
 * does any other CPU. Where the number of drops is what it was, this packet is none of them; where it is another one,
 * and that of packets is what it was, this packet is not among these. Else the probe at what frees an skb decides, and
 * where that was not attached nothing does. (A process that has the counters cleared meanwhile, and as many drops again
 * at once, would go unnoticed.) */
static __always_inline u8 filled_outcome(struct asked *asked, u8 typed, u8 unsure)
{
	if (asked->is_refused)
		return OUTCOME_FULL;
#ifdef PACKET_SOCK__TP_DROPS
	if (SOCKET_FIELD(typed, asked->sk, PACKET_SOCK__TP_DROPS) == asked->drops)
		return OUTCOME_CAPTURED;
#endif
	if (!unsure && was_watched(WATCHED_REFUSALS, asked->watched))
		return OUTCOME_CAPTURED;
#ifdef PACKET_SOCK__TP_DROPS
	if (SOCKET_FIELD(typed, asked->sk, PACKET_SOCK__STATS) == asked->packets)
		return OUTCOME_FULL;
#endif
	return OUTCOME_UNKNOWN;
}

/* The outcome of a packet in a ring, as far as it shows; UNDECIDED where the ring was not asked for room. by_group: a
 * group that rolls over may have asked it before its function was called. */
static __always_inline u8 ring_outcome(struct cpu_state *cpu, u8 typed, struct tap_call *tap)
{
	struct asked *asked = &cpu->asked;

	if (asked->skb != tap->skb || asked->sk != tap->sk)
		return UNDECIDED;
	if (asked->by_group)
		return OUTCOME_UNKNOWN;
	return asked->has_room ? filled_outcome(asked, typed, tap->unsure) : OUTCOME_FULL;
}

/* The outcome, now that the receive function returns. */
static __always_inline u8 outcome_of(struct cpu_state *cpu, u8 typed, struct tap_call *tap)
{
	if (tap->func == FUNC_TPACKET_RCV)
		tap->outcome = ring_outcome(cpu, typed, tap);
	if (tap->outcome != UNDECIDED)
		return tap->outcome;
	if (ignored(tap))
		return OUTCOME_IGNORED;
	if (tap->func == FUNC_PACKET_RCV_SPKT)
		return OUTCOME_UNKNOWN;
	if (tap->func == FUNC_PACKET_RCV && !was_watched(WATCHED_QUEUES, tap->watched))
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
	u8 outcome = outcome_of(cpu, 0, tap);
	forget_asked(cpu);
	tap_step(cpu, top(cpu), 0, tap->skb, tap->dev, tap->orig_dev, tap->inode, tap->func, outcome);
	return 0;
}

/* tpacket_rcv returns, with its arguments: its step is added. */
static __always_inline int ring_end(u8 typed, u64 skb, u64 dev, u64 pt, u64 orig_dev)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	struct tap_call *tap = &cpu->tap;
	struct frame *frame = top(cpu);

	if (passed_over(frame, skb)) {
		forget_asked(cpu);
		return 0;
	}
	tap->pkt_type = tap_packet_type_after(frame, skb);
	tap->func = FUNC_TPACKET_RCV;
	tap->skb = skb;
	tap->dev = dev;
	find_socket(cpu, tap, pt);
	u8 outcome = outcome_of(cpu, typed, tap);
	forget_asked(cpu);
	if (is_of_frame(frame, tap->pkt_type))
		tap_step(cpu, frame, typed, skb, dev, orig_dev, tap->inode, FUNC_TPACKET_RCV, outcome);
	return 0;
}

/* A packet is offered to a fanout group, which calls the function of a member. */
static __always_inline int tap_fanout(u8 typed, u64 skb, u64 dev, u64 orig_dev)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	tap_step(cpu, top(cpu), typed, skb, dev, orig_dev, 0, FUNC_PACKET_RCV_FANOUT, OUTCOME_UNKNOWN);
	cpu->asked.by_group = 1; /* until the member's function is called */
	return 0;
}

/* tpacket_rcv is called. Attached where there are fanout groups. */
static __always_inline int ring_begin(void)
{
	struct cpu_state *cpu = this_cpu();
	if (cpu)
		forget_asked(cpu);
	return 0;
}

/* The tap whose receive function is running, or 0: calls with its socket (sk) or its skb show its outcome. */
static __always_inline struct tap_call *running_tap(void)
{
	struct cpu_state *cpu = this_cpu();
	return OR_NULL(cpu && cpu->tap.open ? &cpu->tap : 0);
}

/* __packet_rcv_has_room returns. poll() calls it, too, without an skb. By kretprobe its arguments are not known: they
 * are those of the tap that runs. */
static __always_inline int tap_room(u8 typed, u64 sk, u64 skb, u32 room)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	if (typed)
		return skb ? ring_asked(cpu, 1, sk, skb, room) : 0;
	if (!cpu->tap.open || cpu->tap.func != FUNC_TPACKET_RCV)
		return 0;
	return ring_asked(cpu, 0, cpu->tap.sk, cpu->tap.skb, room);
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
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	if (cpu->asked.skb == skb)
		cpu->asked.is_refused = 1;
	if (cpu->tap.open && cpu->tap.skb == skb && cpu->tap.func == FUNC_PACKET_RCV)
		cpu->tap.outcome = OUTCOME_FULL;
	return 0;
}

/* Does a tap run on this CPU, which frees its own copy of a packet? Of a ring's nothing is freed as a drop before it
 * was asked for room. */
static __always_inline u8 in_tap(struct cpu_state *cpu)
{
	return cpu->tap.open || (cpu->asked.skb && cpu->asked.frame == cpu->frame_number);
}

PROBE(tap_ring_enter)
{
	return tap_begin(ARG(tap_ring_enter, 0), ARG(tap_ring_enter, 1), ARG(tap_ring_enter, 2),
			 ARG(tap_ring_enter, 3), FUNC_TPACKET_RCV);
}
PROBE(tap_ring_fexit)
{
	return ring_end(TYPED_tap_ring_fexit, ARG(tap_ring_fexit, 0), ARG(tap_ring_fexit, 1), ARG(tap_ring_fexit, 2),
			ARG(tap_ring_fexit, 3));
}
PROBE(tap_ring_again) { return ring_begin(); }
PROBE(tap_ring_room)
{
	return TYPED_tap_ring_room ? tap_room(1, ARG(tap_ring_room, 0), ARG(tap_ring_room, 1), RETURNED(tap_ring_room, 2))
				   : tap_room(0, 0, 0, RETURNED(tap_ring_room, 2));
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
PROBE(tap_exit) { return tap_end(); } /* of all that have a begin, some perhaps by another mechanism */
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
	return tap_fanout(TYPED_tap_fanout_enter, ARG(tap_fanout_enter, 0), ARG(tap_fanout_enter, 1),
			  ARG(tap_fanout_enter, 3));
}
