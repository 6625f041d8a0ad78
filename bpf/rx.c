// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Receive: the bracket is __netif_receive_skb_one_core or __netif_receive_skb_list_core. A pass begins at the
 * tracepoint net:netif_receive_skb, which is inside __netif_receive_skb_core, before its first round. That function
 * itself is not the bracket, because the last tap of a packet is called after it has returned.
 *
 * Where the compiler has inlined __netif_receive_skb_one_core, the bracket is
 * __netif_receive_skb_core itself (whatever its suffix), by kprobe and kretprobe.
 */

static __always_inline int rx_begin(void *ctx, u8 kind)
{
	struct cpu_state *cpu = begin_bracket(ctx);
	if (cpu)
		push(cpu, kind);
	return 0;
}

static __always_inline int frame_end(void)
{
	struct cpu_state *cpu = this_cpu();
	if (cpu)
		pop(cpu);
	return 0;
}

/* A packet outside every bracket. If its device is traced the kernel has skipped the kprobe at the begin of the
 * bracket, as it does where a softirq interrupts another kprobe's program on this CPU. (Before all programs are
 * attached no device is traced, and a full stack was counted by push().) */
static __always_inline int begin_missed(struct cpu_state *cpu, u8 typed, u64 dev)
{
	if (!cpu->depth && traced(&cpu->late, typed, dev))
		count(COUNT_UNBALANCED);
	return 0;
}

static __always_inline int rx_packet(u64 skb, u8 typed)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct frame *frame = top(cpu);
	u64 dev = FIELD(typed, u64, skb, SK_BUFF__DEV);
	if (!frame)
		return begin_missed(cpu, typed, dev);
	if (frame->kind == FRAME_TX)
		return 0;
	if (frame->state == PASS_OPEN)
		send_pass(frame); /* in a list the next packet ends the pass of the one before it */
	open_pass(cpu, frame, typed, skb, dev, RECORD_RX);
	return 0;
}

/* Of every function that brackets passes. */
PROBE(frame_exit) { return frame_end(); }

#ifdef PROBE_RX_CORE
static __always_inline int rx_core_begin(void *ctx, u64 pskb)
{
	struct cpu_state *cpu = begin_bracket(ctx);
	if (!cpu)
		return 0;
	struct frame *frame = push(cpu, FRAME_RX);
	u64 skb = READ(u64, pskb, 0);
	if (frame)
		open_pass(cpu, frame, 0, skb, READ(u64, skb, SK_BUFF__DEV), RECORD_RX);
	return 0;
}

PROBE(rx_core_enter) { return rx_core_begin(ctx, POINTER_ARG(rx_core_enter, 0)); }

/* The last tap of a packet is called after this, so its late record must find the pass: seq and skb are kept. */
static __always_inline int rx_core_end(void)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct frame *frame = top(cpu);
	cpu->last_seq = frame && frame->state == PASS_OPEN ? record_of(frame)->seq : 0;
	cpu->last_skb = frame && frame->state == PASS_OPEN ? frame->skb : 0;
	pop(cpu);
	return 0;
}

PROBE(rx_core_exit) { return rx_core_end(); }
#else
PROBE(rx_one_enter) { return rx_begin(ctx, FRAME_RX); }
PROBE(rx_list_enter) { return rx_begin(ctx, FRAME_RX_LIST); }
PROBE(rx_packet) { return rx_packet(((u64 *)ctx)[0], TYPED_rx_packet); }
#endif
