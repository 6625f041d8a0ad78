// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rx_handlers: rx_handler_result_t handler(struct sk_buff **pskb). The step is added when the handler is called, so
 * that it comes before the passes that the handler itself causes (a bridge), and is completed when it returns, with the
 * verdict and the device that the packet is on then.
 *
 * After CONSUMED the skb may be freed, so *pskb is not read.
 *
 * A VLAN device takes its packets in the same way, by vlan_do_receive.
 */

#define RX_HANDLER_CONSUMED 0
#define RX_HANDLER_ANOTHER 1
#define RX_HANDLER_PASS 3

/* The low half of the address of a device's rx_handler. That of the first device was read when the pass began. Here and
 * below, typed: the program's arguments are typed; it may still have to read what its argument points to by a call. */
static __always_inline u32 handler_of(struct frame *frame, u8 typed, u64 dev)
{
	return dev == frame->orig_dev ? record_of(frame)->sender
				      : FIELD(CASTS(typed), u64, dev, NET_DEVICE__RX_HANDLER);
}

/* The frame whose pass a handler is called in, or 0. Asked first: without a pass the argument need not be read. */
static __always_inline struct frame *handled_frame(void)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = cpu && !cpu->quiet ? top(cpu) : 0;

	return OR_NULL(frame && frame->state == PASS_OPEN && frame->kind != FRAME_TX ? frame : 0);
}

/* The handler is called: add its step, without a verdict (COUNT_ONLY: keep what is to be counted). */
static __always_inline int handler_begin(struct frame *frame, u8 typed, u64 pskb, u8 kind, u8 func)
{
	u64 skb = SK_BUFF_AT(typed, pskb);
	u64 dev = FIELD(CASTS(typed), u64, skb, SK_BUFF__DEV);

	frame->skb = skb;
	frame->handler_pos = 0;
	follow_device(frame, CASTS(typed), dev);
#ifdef COUNT_ONLY
	frame->handler_pskb = pskb;
	frame->handler_pos = kind;
	frame->handler_low = kind == STEP_HANDLER ? handler_of(frame, typed, dev) : 0;
	return 0;
#endif
	if (!ADD_STEP(frame, kind, func, VERDICT_PENDING, record_of(frame)->ifindex, 0,
		      kind == STEP_HANDLER ? handler_of(frame, typed, dev) : (u32)skb))
		return 0;
	frame->handler_pskb = pskb;
	frame->handler_pos = frame->pos - sizeof(struct step);
	return 0;
}

#ifdef COUNT_ONLY
/* Count the step of the handler that has returned. */
static __always_inline void count_handler(struct frame *frame, u32 verdict)
{
	count_step(frame, frame->ifindex, frame->handler_pos, verdict,
		   frame->handler_pos == STEP_VLAN ? FUNC_VLAN : FUNC_HANDLER, frame->handler_low, 0);
	frame->handler_pos = 0;
}

/* Count the round that begins now, on this device. */
static __always_inline void count_round(struct frame *frame, u8 typed, u64 dev, u8 same_net)
{
	now_on(frame, CASTS(typed), dev);
	if (!same_net)
		follow_namespace(frame, CASTS(typed), dev);
	count_step(frame, frame->ifindex, STEP_PASS, 1, 0, 0, 0);
}
#else
/* The packet goes on, on this device: the handler's step gets it, and after ANOTHER a round begins. */
static __always_inline void go_on(struct frame *frame, struct step *step, u32 verdict, u8 typed, u64 dev,
				  u8 same_net)
{
	if (verdict == RX_HANDLER_ANOTHER) {
		now_on(frame, CASTS(typed), dev);
		step->arg = frame->ifindex;
		frame->round++;
		if (!same_net) /* a macvlan's upper device may be in another namespace */
			follow_namespace(frame, CASTS(typed), dev);
	} else {
		step->arg = dev == frame->dev ? frame->ifindex : FIELD(CASTS(typed), u32, dev, NET_DEVICE__IFINDEX);
	}
}
#endif

/* The handler has returned: its step gets the verdict, and the packet may go on, on another device. */
static __always_inline int handler_end(u8 typed, u32 verdict, u8 kind)
{
	struct frame *frame = handled_frame();
	if (!frame || !frame->handler_pos)
		return 0;
#ifdef COUNT_ONLY
	count_handler(frame, verdict);
#else
	struct step *step = (struct step *)(frame->buf + BOUNDED(frame->handler_pos, BUFFER_BYTES - 1));

	frame->handler_pos = 0;
	step->result = verdict;
#endif
	if (verdict == RX_HANDLER_CONSUMED)
		return 0;
	u64 skb = SK_BUFF_AT(typed, frame->handler_pskb);
	if (!skb)
		return 0; /* dropped by the VLAN device, which is down */
	u64 dev = FIELD(CASTS(typed), u64, skb, SK_BUFF__DEV);
	u8 same_net = kind == STEP_HANDLER && frame->enslaved; /* a VLAN device may have moved to another namespace */

	frame->skb = skb; /* skb_share_check may have replaced it */
#ifdef COUNT_ONLY
	if (verdict == RX_HANDLER_ANOTHER)
		count_round(frame, typed, dev, same_net);
#else
	go_on(frame, step, verdict, typed, dev, same_net);
#endif
	return 0;
}

/* The packet is on the slave with this ifindex, in the namespace of its bond: where skb->dev has changed since the last
 * step, as tc's bpf_redirect_peer does it, and the slave itself is not known any more. */
static __always_inline void on_slave(struct frame *frame, u8 typed, u32 ifindex, u64 bond)
{
	frame->dev = 0;
	frame->ifindex = ifindex;
	frame->round++;
	follow_namespace(frame, CASTS(typed), bond);
}

/* The address of the function that has returned: of bond_handle_frame. */
static __always_inline u32 bond_handler(void *ctx)
{
#ifdef GET_FUNC_ARG /* since 5.17, and so is this one */
	return ((u64 (*)(void *))BPF_FUNC_GET_FUNC_IP)(ctx);
#else
	return 0;
#endif
}

/* A bond's rx_handler has returned: its step is added, with the verdict. What is nested in it (the answer to a marker of
 * LACP, which it sends) is nevertheless told after it, as the step has the time of the one before it, which is when the
 * handler was called. The slave is where the round began, skb->skb_iif; its bond is in its namespace. */
static __always_inline int bond_end(void *ctx, struct frame *frame, u8 typed, u64 pskb, u32 verdict)
{
	u64 skb = 0, dev = 0;
	u32 handler;

	if (verdict != RX_HANDLER_CONSUMED) {
		skb = SK_BUFF_AT(typed, pskb);
		dev = FIELD(CASTS(typed), u64, skb, SK_BUFF__DEV);
		frame->skb = skb; /* skb_share_check may have replaced it */
	}
	if (verdict == RX_HANDLER_ANOTHER) {
		u32 ifindex = FIELD(CASTS(typed), u32, skb, SK_BUFF__SKB_IIF);

		if (ifindex != frame->ifindex || FIELD(CASTS(typed), u64, dev, NET_DEVICE__NET) != frame->net)
			on_slave(frame, typed, ifindex, dev);
	} else if (dev) {
		follow_device(frame, CASTS(typed), dev);
	}
	handler = frame->dev == frame->orig_dev ? record_of(frame)->sender : bond_handler(ctx);
#ifdef COUNT_ONLY
	count_step(frame, frame->ifindex, STEP_HANDLER, verdict, FUNC_HANDLER, handler, 0);
	if (verdict == RX_HANDLER_ANOTHER)
		count_round(frame, typed, dev, 1);
#else
	u32 time = last_time(record_of(frame), frame->buf, frame->pos);

	if (!ADD_STEP_AT(time, frame, STEP_HANDLER, FUNC_HANDLER, verdict, record_of(frame)->ifindex, 0, handler))
		return 0;
	if (dev)
		go_on(frame, (struct step *)(frame->buf + BOUNDED(frame->pos - sizeof(struct step), BUFFER_BYTES - 1)),
		      verdict, typed, dev, 1);
#endif
	return 0;
}

#define HANDLER_BEGIN(name, kind, func)                                                      \
	({                                                                                   \
		struct frame *frame_ = handled_frame();                                      \
		frame_ ? handler_begin(frame_, TYPED_##name, POINTER_ARG(name, 0), kind, func) : 0; \
	})

/* Programs for all rx_handlers, by kprobe and by fentry: which handler it is follows from the device. */
PROBE(handler_enter) { return HANDLER_BEGIN(handler_enter, STEP_HANDLER, FUNC_HANDLER); }
PROBE(handler_exit) { return handler_end(TYPED_handler_exit, RETURNED(handler_exit, 1), STEP_HANDLER); }
PROBE(handler_fentry) { return HANDLER_BEGIN(handler_fentry, STEP_HANDLER, FUNC_HANDLER); }
PROBE(handler_fexit) { return handler_end(TYPED_handler_fexit, RETURNED(handler_fexit, 1), STEP_HANDLER); }
PROBE(bond_fexit)
{
	struct frame *frame = handled_frame();
	return frame ? bond_end(ctx, frame, TYPED_bond_fexit, POINTER_ARG(bond_fexit, 0), RETURNED(bond_fexit, 1)) : 0;
}

/* bool vlan_do_receive(struct sk_buff **): true for another round with skb->dev = the VLAN device. */
PROBE(vlan_enter) { return HANDLER_BEGIN(vlan_enter, STEP_VLAN, FUNC_VLAN); }
PROBE(vlan_exit)
{
	return handler_end(TYPED_vlan_exit, (u8)RETURNED(vlan_exit, 1) ? RX_HANDLER_ANOTHER : RX_HANDLER_PASS, STEP_VLAN);
}
