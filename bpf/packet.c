// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The begin of a pass, or of a late record: what it says about the packet and its device.
 *
 * At rx the link-layer header lies before skb->data (skb->head + skb->mac_header); at tx skb->data
 * points at it. Only the linear part is copied; the record says how many bytes are valid.
 */

#define AF_PACKET 17
#define ETH_P_8021AD 0x88A8

static __always_inline u16 swap16(u16 value)
{
	return value << 8 | value >> 8;
}

static __always_inline void describe_vlan(struct record *record, struct part *part)
{
	record->vlan_tci = PART(u16, part, SK_BUFF__VLAN_TCI);
	if (has_vlan_tag(part)) {
		record->flags |= RECORD_VLAN;
		if (PART(u16, part, SK_BUFF__VLAN_PROTO) == swap16(ETH_P_8021AD))
			record->flags |= RECORD_VLAN_AD;
	}
}

#ifdef SNAPLEN
/* Send the packet's first bytes, as a record of their own, which comes before that of the pass. */
static __always_inline void keep_bytes(struct cpu_state *cpu, struct record *pass, u64 mac, u32 linear)
{
	struct frame *frame = &cpu->data;
	struct record *record = record_of(frame);
	u32 size = linear > SNAPLEN ? SNAPLEN : linear;
	u32 end = SLOT_BYTES - 8;

	__builtin_memset(record, 0, sizeof(*record));
	record->time_ns = pass->time_ns;
	record->netns = pass->netns;
	record->ifindex = pass->ifindex;
	record->cpu = pass->cpu;
	record->seq = pass->seq;
	record->kind = RECORD_DATA;
#pragma unroll
	for (int i = 0; i < (SNAPLEN + DATA_BYTES - 1) / DATA_BYTES; i++) {
		u8 *slot = frame->buf + (i + 1) * SLOT_BYTES;
		u32 left = size - i * DATA_BYTES;

		if (size <= i * DATA_BYTES)
			break;
		if (left > DATA_BYTES)
			left = DATA_BYTES;
		*(u64 *)slot = SLOT_CONTINUES;
		if (bpf_probe_read_kernel(slot + 8, BOUNDED(left, 255), (void *)(mac + i * DATA_BYTES)))
			break;
		record->len += left;
		end += SLOT_BYTES;
	}
	if (record->len && events.ringbuf_output(frame->buf + 8, BOUNDED(end, BUFFER_BYTES - 1), BPF_RB_NO_WAKEUP))
		count(COUNT_DATA_LOST);
}
#endif

static __always_inline u8 packet_type(struct part *part)
{
	return PART(u8, part, SK_BUFF__PKT_TYPE) & SK_BUFF__PKT_TYPE_MASK;
}

#define ARPHRD_ETHER 1

/* Has the device of this record no link-layer header? Then what lies in front of the network header is left from an
 * outer packet. Asked only where it is no Ethernet device. */
static __always_inline u8 is_bare(struct record *record, struct part *part)
{
	if (record->arphrd == ARPHRD_ETHER)
		return 0;
	return !makes_headers(READ(u64, part->skb, SK_BUFF__DEV));
}

/* What the record says of the packet; returns where its link-layer header is, and in `linear` how many bytes from
 * there on are in the skb's linear part. */
static __always_inline u64 describe_bytes(struct record *record, struct part *part, u8 outgoing, s64 *linear)
{
	u64 head = PART_ADDRESS(part, SK_BUFF__HEAD);
	u64 data = PART_ADDRESS(part, SK_BUFF__DATA);
	u64 tail = head + PART(u32, part, SK_BUFF__TAIL);
	u64 mac = outgoing || is_bare(record, part) ? data : head + PART(u16, part, SK_BUFF__MAC_HEADER);

	*linear = tail - mac;
	record->head = head >> 4;
	record->len = PART(u32, part, SK_BUFF__LEN) + (u32)(data - mac);
	record->protocol = swap16(PART(u16, part, SK_BUFF__PROTOCOL));
	record->pkt_type = packet_type(part);
	record->captured = 0;
	if (*linear <= 0)
		return mac;
	u32 size = *linear > PACKET_BYTES ? PACKET_BYTES : *linear;
	if (!bpf_probe_read_kernel(record->packet, BOUNDED(size, 127), (void *)mac))
		record->captured = size;
	return mac;
}

static __always_inline void describe_packet(struct cpu_state *cpu, struct record *record, struct part *part,
					    u8 outgoing)
{
	s64 linear;
	u64 mac = describe_bytes(record, part, outgoing, &linear);

#ifdef SNAPLEN
	if (linear > 0)
		keep_bytes(cpu, record, mac, linear);
#endif
}

/* The inode number of a socket, which names a tap; 0 where it has none. */
static __always_inline u32 socket_inode(u64 sk)
{
	u64 socket = READ(u64, sk, SOCK__SK_SOCKET);
	/* A socket may lose its file while its hook is still there: then the tap has no name. */
	return socket ? READ(u64, socket, SOCKET__INODE) : 0;
}

/* The packet socket that sent this packet, or 0: the kernel does not offer the packet to it (skb_loop_sk). */
static __always_inline u32 sending_tap(u64 skb)
{
	u64 sk = READ(u64, skb, SK_BUFF__SK);
	return sk && READ(u16, sk, SOCK__SKC_FAMILY) == AF_PACKET ? socket_inode(sk) : 0;
}

#ifdef COUNT_ONLY
/* What count_step() and handler_of() ask of a record. */
static __always_inline void begin_record(struct cpu_state *cpu, struct frame *frame, struct part *part, u64 dev,
					 u8 kind)
{
	struct record *record = record_of(frame);

	record->kind = kind;
	record->pkt_type = packet_type(part);
	if (kind != RECORD_TX)
		record->sender = FIELD(part->typed, u64, dev, NET_DEVICE__RX_HANDLER);
	count_step(frame, frame->ifindex, STEP_PASS, 0, 0, 0, 0);
}
#else
/* Which pass or list receive of this CPU the one of this frame, the innermost, is nested in. */
static __always_inline void describe_nesting(struct cpu_state *cpu, struct frame *frame)
{
	struct record *record = record_of(frame);
	struct frame *outer;

	record->parent = 0;
	record->frame = frame->number;
	outer = frame_at(cpu, cpu->depth - 2);
	if (outer && outer->kind == FRAME_RX_LIST) { /* its pass may be another packet's */
		if (frame->kind != FRAME_RX_LIST) {
			record->frame = outer->number;
			record->flags |= RECORD_INSIDE_LIST;
		}
	} else if (outer && outer->state == PASS_OPEN) {
		record->parent = record_of(outer)->seq;
	}
}

#define LEN_OF_ONE 1518 /* no longer is a frame of Ethernet's usual MTU, with a tag; of others it is not asked */

/* Note for how many packets on the wire a long one stands. */
static __always_inline void note_segments(struct frame *frame, struct part *part)
{
	if (record_of(frame)->len <= LEN_OF_ONE)
		return;
	u64 head = PART_ADDRESS(part, SK_BUFF__HEAD);
	u64 shared = head + READ(u32, part->skb, SK_BUFF__END);
	u16 size = READ(u16, shared, SKB_SHARED_INFO__GSO_SIZE);

	if (size)
		ADD_STEP(frame, STEP_SEGMENTS, FUNC_NONE, 0, size, READ(u16, shared, SKB_SHARED_INFO__GSO_SEGS), part->skb);
}

/* The head of a pass's record, without steps. */
static __always_inline void begin_record(struct cpu_state *cpu, struct frame *frame, struct part *part, u64 dev,
					 u8 kind)
{
	struct record *record = record_of(frame);

	record->time_ns = bpf_ktime_get_ns();
	record->skb = part->skb;
	record->cpu = bpf_get_smp_processor_id();
	record->kind = kind;
	record->flags = frame->kind == FRAME_RX_LIST ? RECORD_LIST : 0;
	if (PART(u32, part, SK_BUFF__SKB_IIF))
		record->flags |= RECORD_RECEIVED;
	record->steps = 0;
	record->steps_lost = 0;
	record->seq = cpu->seq = number_after(cpu->seq);
	record->arphrd = FIELD(part->typed, u16, dev, NET_DEVICE__TYPE);
	describe_nesting(cpu, frame);
	record->sender = kind == RECORD_TX ? sending_tap(part->skb)
					   : FIELD(part->typed, u64, dev, NET_DEVICE__RX_HANDLER);
	describe_vlan(record, part);
	describe_packet(cpu, record, part, kind == RECORD_TX);
	frame->round = 1;
	frame->pos = 8 + __builtin_offsetof(struct record, first);
	note_segments(frame, part);
}
#endif

/* A packet has come: open its pass in the innermost frame, if its device is traced and the filter takes it. typed: the
 * verifier knows the types of skb and dev. */
static __always_inline void open_pass(struct cpu_state *cpu, struct frame *frame, u8 typed, u64 skb, u64 dev,
				      u8 kind)
{
	u64 words[SK_BUFF__PART_WORDS];
	struct part part = {skb, words, &cpu->place, typed};

	frame->state = PASS_REFUSED;
	frame->skb = skb;
	if (!traced(frame, typed, dev))
		return;
	if (!typed)
		bpf_probe_read_kernel(words, sizeof(words), (void *)(skb + SK_BUFF__PART));
#ifdef FILTER
	if (!wanted(cpu, frame, &part, dev, kind == RECORD_TX))
		return;
#endif
	frame->handler_pos = 0;
	frame->state = PASS_OPEN;
	cpu->quiet = 0;
	begin_record(cpu, frame, &part, dev, kind);
}

/* Fill the head of a late record, on this CPU and at this time. */
static __always_inline void open_late_record(struct cpu_state *cpu, struct frame *frame, u64 skb)
{
	struct record *record = record_of(frame);
	struct frame *outer = top(cpu);

	record->time_ns = bpf_ktime_get_ns();
	record->skb = skb;
	record->cpu = bpf_get_smp_processor_id();
	record->kind = RECORD_LATE;
	if (outer)
		record->frame = outer->number;
	if (cpu->last_seq && cpu->last_skb == skb)
		record->parent = cpu->last_seq;
	frame->skb = skb;
	frame->round = 0; /* Python takes it from the pass that this belongs to */
	frame->pos = 8 + __builtin_offsetof(struct record, first);
}

/* Begin a late record, for steps whose packets have no open pass; 0 where the device is not traced. */
static __always_inline struct frame *open_late(struct cpu_state *cpu, u64 skb, u64 dev)
{
	struct frame *frame = 0;

	__builtin_memset(record_of(&cpu->late), 0, __builtin_offsetof(struct record, first));
	if (dev && traced(&cpu->late, 0, dev)) {
		frame = &cpu->late;
		open_late_record(cpu, frame, skb);
	}
	return OR_NULL(frame);
}

/* The same for the step of one packet; 0 also where the filter did not take it. */
static __always_inline struct frame *open_late_packet(struct cpu_state *cpu, u64 skb, u64 dev)
{
	return OR_NULL(was_wanted(cpu, skb) ? open_late(cpu, skb, dev) : 0);
}

/* The packet's bytes and the kind of its device in a late record. */
static __always_inline void describe_late(struct cpu_state *cpu, struct frame *frame, u64 skb)
{
#ifndef COUNT_ONLY
	u64 words[SK_BUFF__PART_WORDS];
	struct part part = {skb, words, &cpu->place, 0};
	s64 linear;

	bpf_probe_read_kernel(words, sizeof(words), (void *)(skb + SK_BUFF__PART));
	describe_bytes(record_of(frame), &part, 0, &linear);
	record_of(frame)->arphrd = READ(u16, frame->dev, NET_DEVICE__TYPE);
#endif
}

/* Note the packet that a protocol is given, until it is given another one. */
static __always_inline void note_handled(struct cpu_state *cpu, u64 skb, u64 dev)
{
	struct frame *frame = top(cpu);

	cpu->handled_skb = skb;
	cpu->handled_dev = dev;
	cpu->handled_frame = frame ? frame->number : 0;
}

/* Is this what was last given to a socket? */
static __always_inline u8 was_given(struct cpu_state *cpu, struct frame *frame, u64 skb)
{
	return frame && cpu->given_skb == skb && cpu->given_frame == frame->number;
}
