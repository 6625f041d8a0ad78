// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The packet filter: FILTER, compiled by libpcap to classic BPF and written out as C functions
 * (bondtrace/capture/kernel/filter.py), filter_ethernet() and filter_raw(), which are joined behind all files of bpf/.
 *
 * They see the packet as a capture file of the device has it: from the link-layer header on, an
 * accelerated VLAN tag put back in its place. Bytes that lie outside the skb's linear part cannot
 * be read here: a packet whose fate depends on them is kept, and counted.
 */

#ifdef FILTER

#define FILTER_REJECT 0
#define FILTER_ACCEPT 1
#define FILTER_BLIND 2
#define TAG_AT 12 /* behind the two addresses */
#define TAG_BYTES 4

static __always_inline u8 filter_ethernet(struct view *view);
static __always_inline u8 filter_raw(struct view *view);

/* A byte of the packet beyond the copied ones. */
static __always_inline u32 view_byte(struct view *view, u64 offset)
{
	u8 byte = 0;
	bpf_probe_read_kernel(&byte, 1, (void *)(view->begin + offset - view->tag_bytes));
	return byte;
}

/* A copied byte. */
static __always_inline u32 view_copied(struct view *view, u64 offset)
{
	return view->bytes[BOUNDED(offset, VIEW_BYTES - 1)];
}

/* Load 1, 2 or 4 bytes in network order; *fate is set where the packet does not have them or they cannot be read. */
static __always_inline u32 view_load(struct view *view, u64 offset, u32 size, u8 *fate)
{
	u32 value = 0;

	if (offset + size > view->len) {
		*fate = FILTER_REJECT;
		return 0;
	}
	if (offset + size > view->reach) {
		*fate = FILTER_BLIND;
		return 0;
	}
	if (offset + size <= view->copied) {
		value = view_copied(view, offset);
		if (size > 1)
			value = value << 8 | view_copied(view, offset + 1);
		if (size > 2)
			value = value << 16 | view_copied(view, offset + 2) << 8 | view_copied(view, offset + 3);
	} else if (offset >= TAG_AT + TAG_BYTES) {
		value = view_byte(view, offset);
		if (size > 1)
			value = value << 8 | view_byte(view, offset + 1);
		if (size > 2)
			value = value << 16 | view_byte(view, offset + 2) << 8 | view_byte(view, offset + 3);
	} else { /* the copy failed */
		*fate = FILTER_BLIND;
	}
	return value;
}

/* Lay out the view: where its bytes are, and a copy of the first ones. */
static __always_inline void view_open(struct view *view, struct part *part, u64 begin, u8 ethernet)
{
	u64 data = PART_ADDRESS(part, SK_BUFF__DATA);
	s64 linear = PART_ADDRESS(part, SK_BUFF__HEAD) + PART(u32, part, SK_BUFF__TAIL) - begin;
	u32 first = 0;

	if (linear < 0)
		linear = 0;
	view->begin = begin;
	view->len = PART(u32, part, SK_BUFF__LEN) + (u32)(data - begin);
	view->tag_bytes = 0;
	view->copied = 0;
	if (ethernet && linear >= TAG_AT && has_vlan_tag(part)) {
		u32 tag = PART(u16, part, SK_BUFF__VLAN_TCI);
		*(u16 *)(view->bytes + TAG_AT) = PART(u16, part, SK_BUFF__VLAN_PROTO); /* as on the wire */
		view->bytes[TAG_AT + 2] = tag >> 8;
		view->bytes[TAG_AT + 3] = tag;
		if (bpf_probe_read_kernel(view->bytes, TAG_AT, (void *)begin))
			linear = 0;
		view->tag_bytes = TAG_BYTES;
		view->len += TAG_BYTES;
		first = TAG_AT;
	}
	view->reach = linear + view->tag_bytes;
	u64 size = linear - first;
	if (size > VIEW_BYTES - TAG_AT - TAG_BYTES)
		size = VIEW_BYTES - TAG_AT - TAG_BYTES;
	if (!linear)
		return;
	if (first) {
		if (!bpf_probe_read_kernel(view->bytes + TAG_AT + TAG_BYTES, BOUNDED(size, VIEW_BYTES - 1),
					   (void *)(begin + first)))
			view->copied = size + TAG_AT + TAG_BYTES;
	} else if (!bpf_probe_read_kernel(view->bytes, BOUNDED(size, VIEW_BYTES - 1), (void *)begin)) {
		view->copied = size;
	}
}

/* What the filter says of a packet; FILTER_BLIND also on a device whose link layer it was not compiled for. */
static __always_inline u8 filter_fate(struct view *view, struct part *part, u64 dev, u8 outgoing)
{
	u16 type = FIELD(part->typed, u16, dev, NET_DEVICE__TYPE);
	u64 data = PART_ADDRESS(part, SK_BUFF__DATA);

	if (IS_WITH_ETHERNET_HEADER(type)) {
		u64 head = PART_ADDRESS(part, SK_BUFF__HEAD);
		view_open(view, part, outgoing ? data : head + PART(u16, part, SK_BUFF__MAC_HEADER), 1);
		return filter_ethernet(view);
	}
	if (IS_WITHOUT_HEADER(type) && !makes_headers(dev)) {
		view_open(view, part, data, 0);
		return filter_raw(view);
	}
	return FILTER_BLIND;
}

/* In a list receive, steps come when their packet's pass is over and another packet's is open. So which packets the
 * filter took is kept: the skb, and with it the list receive, since an skb's address is used again. LISTED_MAX is large
 * enough for every CPU to have twice the 128 places that the kernel hands out to a CPU at a time. */
BPF_TABLE("lru_hash", u64, u64, listed, LISTED_MAX);

/* The number of this list receive among those of all CPUs. */
static __always_inline u64 list_receive(struct frame *frame)
{
	return (u64)bpf_get_smp_processor_id() << 32 | frame->number;
}

/* Keep whether the filter took this packet, where it is one of a list. */
static __always_inline void remember_listed(struct frame *frame, u64 skb, u8 taken)
{
	if (frame->kind != FRAME_RX_LIST)
		return;
	if (!taken) {
		listed.delete(&skb); /* an address of the same list receive, used again */
		return;
	}
	u64 where = list_receive(frame);
	if (listed.update(&skb, &where))
		count(COUNT_STEPS_LOST);
}

/* Does the filter take this packet? */
static __always_inline u8 wanted(struct cpu_state *cpu, struct frame *frame, struct part *part, u64 dev, u8 outgoing)
{
	u8 fate = filter_fate(&cpu->view, part, dev, outgoing);

	if (fate == FILTER_BLIND)
		count(COUNT_FILTER_BLIND);
	remember_listed(frame, frame->skb, fate != FILTER_REJECT);
	return fate != FILTER_REJECT;
}

/* Did it take this packet, whose pass is over? */
static __always_inline u8 was_wanted(struct cpu_state *cpu, u64 skb)
{
	struct frame *frame = top(cpu);

	if (!frame || frame->kind != FRAME_RX_LIST)
		return cpu->last_skb == skb; /* of the pass that has just ended (rx.c), if it was sent */
	u64 *where = listed.lookup(&skb);
	return where && *where == list_receive(frame);
}

#else

static __always_inline u8 was_wanted(struct cpu_state *cpu, u64 skb)
{
	return 1;
}

#endif
