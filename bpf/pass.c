// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The open passes of a CPU, and how one is sent.
 *
 * Receive nests (a bridge delivers by calling netif_receive_skb again; a ping reply is transmitted
 * inside the receive of its request), so every CPU has a small stack of frames. A frame is one call
 * of a receive or transmit-tap function. It is active while it holds a pass of a traced device;
 * steps are appended to the pass, and the pass is sent once, when it ends.
 *
 * Steps of a packet whose frame is gone or holds another packet (late delivery in list mode) go
 * out as a record of their own, kind RECORD_LATE, and are joined by skb in Python.
 */

#define MAX_DEPTH 4
#define BUFFER_BYTES (SLOT_BYTES * SLOTS_MAX)
#define FURTHER_STEPS 3 /* of a record of two slots that is written into the ring in place */
#define STALE_NS 1000000000ULL

enum frame_kind { FRAME_RX = 1, FRAME_RX_LIST = 2, FRAME_TX = 3 };

struct frame {
	u64 skb;          /* of the open pass, as it is now: handlers may replace it */
	u64 dev;          /* skb->dev at the last step */
	u64 orig_dev;     /* skb->dev at the begin */
	u64 net;          /* the namespace that the record names */
	u64 handler_pskb; /* argument of the rx_handler that is running */
	u32 handler_pos;  /* where its step is in buf, 0 = none */
	u32 handler_low;  /* when counting: low half of its address */
	u32 pos;          /* where the next step goes in buf */
	u32 number;       /* of this frame on its CPU */
	u32 ifindex;      /* of dev: a device cannot go away, nor be renumbered, while a packet is on it */
	u8 active;
	u8 kind;
	u8 round;
	u8 refused; /* not traced or filtered out: skb; only while not active */
	u8 enslaved; /* dev is a slave, whose master is in its namespace */
	/* As the ring holds it; the first 8 bytes stand for the ring's own header. The slack lets
	 * the verifier accept a masked offset plus the size of what is written there. */
	u8 buf[BUFFER_BYTES + SLOT_BYTES];
};

/* What the tap that is running has shown so far (tap.c). */
struct tap_call {
	u64 skb;
	u64 dev;
	u64 orig_dev;
	u64 hook; /* struct packet_type */
	u64 sk;
	u32 inode;
	u8 open;
	u8 outcome; /* as far as it is known, or UNDECIDED */
	u8 unsure;  /* where it takes a packet it may give it up, and nothing would tell */
	u8 func;
	u8 pkt_type;
	u8 unused[7];
};

/* Whose a tap's hook is, as it was found `hook_changes` ago (tap.c). */
#define KNOWN_TAPS 16
struct known_tap {
	u64 hook; /* struct packet_type */
	u64 sk;
	u64 hook_changes;
	u32 inode;
};

/* A frame as the packet filter sees it (filter.c). */
#define VIEW_BYTES 128
struct view {
	u64 begin;     /* where the link-layer header lies */
	u32 len;       /* bytes of the frame, a tag put back included */
	u32 reach;     /* of these, in the skb's linear part */
	u32 copied;    /* of these, in bytes */
	u32 tag_bytes; /* 4 where an accelerated tag was put back */
	u8 bytes[VIEW_BYTES];
};

struct cpu_state {
	u32 depth;
	u8 quiet; /* the innermost call is of a packet that is not to be told, so no step is: asked first */
	u32 seq;
	u32 frame_number;
	u32 last_seq; /* of the last pass whose bracket was __netif_receive_skb_core itself (rx.c) */
	u64 last_skb;
	u64 full_since_ns; /* when the stack was first found full, 0 = it is not */
	u64 place; /* for NUMBER_OF */
	struct tap_call tap;
	struct known_tap known[KNOWN_TAPS];
	struct view view;
	struct frame frames[MAX_DEPTH];
	struct frame late; /* room to build a late record in */
	struct frame hooks[2]; /* and those of hook.c, by enum hook, which a softirq or another task may interrupt */
#ifdef SNAPLEN
	struct frame data; /* and one of a packet's bytes */
#endif
};

BPF_PERCPU_ARRAY(cpus, struct cpu_state, 1);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* The devices to trace, as DEVICE_KEY, each with what is to be traced as soon as it joins it (join.c).
 * The same ifindex exists in every namespace; a place in the array, by ifindex, holds the one device
 * that is traced there, or says that it is several, which are looked up. An array costs no call. */
#define DEVICE_KEY(netns, ifindex) ((u64)(netns) << 32 | (ifindex))
#define SEVERAL (~0ULL)
#define FOLLOW_LOWER 1
#define FOLLOW_UPPER 2
BPF_ARRAY(places, u64, DEVICE_PLACES);
BPF_HASH(devices, u64, u8, 4096);

#define READ(type, base, offset)                                                          \
	({                                                                                \
		type value_ = 0;                                                          \
		bpf_probe_read_kernel(&value_, sizeof(value_), (void *)((u64)(base) + (offset))); \
		value_;                                                                   \
	})

/* A field by a plain load where the verifier knows the structure's type, else by a call. */
#define FIELD(typed, type, base, offset) ((typed) ? LOAD(type, base, offset) : READ(type, base, offset))

/* What is told of an skb lies close together: one call for all of it costs less than two for single
 * fields. Where it does not, each field is read by itself. */
#ifdef SK_BUFF__PART
#define PART_COPIED(type, part, field) (*(type *)((char *)(part)->words + (field) - SK_BUFF__PART))
#else
#define SK_BUFF__PART 0
#define SK_BUFF__PART_WORDS 1
#define PART_COPIED(type, part, field) READ(type, (part)->skb, field)
#endif
#define PART(type, part, field) \
	((part)->typed ? LOAD(type, (part)->skb, field) : PART_COPIED(type, part, field))
/* A field that is a pointer, to compute with. */
#define PART_ADDRESS(part, field) \
	((part)->typed ? NUMBER_OF((part)->place, LOAD(u64, (part)->skb, field)) : PART_COPIED(u64, part, field))
struct part {
	u64 skb;
	u64 *words; /* not in here: the call that fills them would make the compiler forget the rest */
	u64 *place; /* in a map (NUMBER_OF) */
	u8 typed;
};

static __always_inline struct cpu_state *this_cpu(void)
{
	u32 zero = 0;
	return cpus.lookup(&zero);
}

static __always_inline void count_more(u32 counter, u64 more)
{
	u64 *value = counters.lookup(&counter);
	if (value)
		*value += more;
}

static __always_inline void count(u32 counter)
{
	count_more(counter, 1);
}

/* The frame at a place of the stack, or 0. */
static __always_inline struct frame *frame_at(struct cpu_state *cpu, u32 place)
{
	struct frame *frame = 0;

	if (place < MAX_DEPTH)
		frame = &cpu->frames[BOUNDED(place, MAX_DEPTH - 1)];
	return OR_NULL(frame);
}

static __always_inline struct frame *top(struct cpu_state *cpu)
{
	return frame_at(cpu, cpu->depth - 1);
}

static __always_inline struct record *record_of(struct frame *frame)
{
	return (struct record *)(frame->buf + 8);
}

#define IFF_SLAVE 0x800 /* of a bond; hv_netvsc and eql set it, too */

/* Is this device traced? If so the frame knows it, and the record its namespace. */
static __always_inline u8 traced(struct frame *frame, u8 typed, u64 dev)
{
	u32 ifindex = FIELD(typed, u32, dev, NET_DEVICE__IFINDEX);
	u32 place = ifindex & (DEVICE_PLACES - 1);
	u64 *there = places.lookup(&place);

	if (!there || !*there || (*there != SEVERAL && (u32)*there != ifindex))
		return 0;
	u64 net = FIELD(typed, u64, dev, NET_DEVICE__NET);
	u32 netns = FIELD(typed, u32, net, NET__INUM);
	u64 key = DEVICE_KEY(netns, ifindex);
	if (*there != key && (*there != SEVERAL || !devices.lookup(&key)))
		return 0;
	frame->dev = dev;
	frame->orig_dev = dev;
	frame->net = net;
	frame->ifindex = ifindex;
	frame->enslaved = typed && LOAD(u32, dev, NET_DEVICE__FLAGS) & IFF_SLAVE;
	record_of(frame)->netns = netns;
	record_of(frame)->ifindex = ifindex;
	return 1;
}

#ifdef COUNT_ONLY
BPF_PERCPU_HASH(counts, struct count_key, u64, COUNT_KEYS);

/* Most packets take the steps of the one before: what is counted last is kept at a place that its key gives, and goes
 * into the hash when another key takes the place. The reader adds both up. */
struct recent {
	struct count_key key;
	u64 count;
};
BPF_PERCPU_ARRAY(recents, struct recent, RECENTS);

static __always_inline u8 same_key(struct count_key *one, struct count_key *other)
{
	u32 *a = (u32 *)one, *b = (u32 *)other;
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

static __always_inline void settle(struct recent *recent)
{
	u64 *value = counts.lookup(&recent->key);
	if (value)
		*value += recent->count;
	else if (counts.update(&recent->key, &recent->count))
		count_more(COUNT_LOST, recent->count);
}

/* One more of this kind of step: nothing is sent. */
static __always_inline void count_step(struct frame *frame, u32 ifindex, u8 kind, u8 result, u8 func, u32 arg,
				       u32 more)
{
	struct count_key key = {};

	key.netns = record_of(frame)->netns;
	key.ifindex = ifindex;
	key.arg = arg;
	key.more = more;
	key.kind = kind;
	key.result = result;
	key.func = func;
	key.outgoing = record_of(frame)->kind == RECORD_TX;
	u32 place = (arg ^ arg >> 4 ^ ifindex * 11 ^ kind * 7 ^ result * 3 ^ key.outgoing * 17) & (RECENTS - 1);
	struct recent *recent = recents.lookup(&place);
	if (!recent)
		return;
	if (same_key(&recent->key, &key)) {
		recent->count++;
		return;
	}
	if (recent->count)
		settle(recent);
	recent->count = 0;
	recent->key = key;
	recent->count = 1;
}
#endif

/* Write a record into the ring itself, for which its size must be known here; of its last slot so many bytes that
 * hold steps. */
static __always_inline u8 send_in_place(struct record *record, const u32 size, const u32 used)
{
	u64 *room = events.ringbuf_reserve(size);

	if (!room)
		return 0;
	__builtin_memcpy(room, record, used);
	events.ringbuf_submit(room, BPF_RB_NO_WAKEUP);
	return 1;
}

/* A record of any size. */
static __always_inline u8 send_copy(struct frame *frame)
{
	u64 size = ((frame->pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1)) - 8;

	return !events.ringbuf_output(record_of(frame), BOUNDED(size, BUFFER_BYTES - 1), BPF_RB_NO_WAKEUP);
}

/* Nearly all have one slot, and most of the others are one or two steps longer. */
static __always_inline void send_pass(struct frame *frame)
{
	frame->active = 0;
#ifndef COUNT_ONLY
	struct record *record = record_of(frame);
	u8 sent;

	record->duration_ns = bpf_ktime_get_ns() - record->time_ns;
	record->last_skb = frame->skb;
	if (record->steps <= FIRST_STEPS)
		sent = send_in_place(record, SLOT_BYTES - 8, SLOT_BYTES - 8);
	else if (record->steps <= FIRST_STEPS + FURTHER_STEPS)
		sent = send_in_place(record, 2 * SLOT_BYTES - 8, SLOT_BYTES + FURTHER_STEPS * sizeof(struct step));
	else
		sent = send_copy(frame);
	count(sent ? COUNT_SENT : COUNT_LOST);
#endif
}

/* A record outside of passes: of a hook, or a late step. */
static __always_inline void send_single(struct frame *frame)
{
#ifdef COUNT_ONLY
	if (record_of(frame)->kind != RECORD_HOOK)
		return;
#endif
	record_of(frame)->duration_ns = 0;
	record_of(frame)->last_skb = frame->skb;
	count(send_copy(frame) ? COUNT_SENT : COUNT_LOST);
}

/* A begin whose end was missed (a kretprobe out of instances) would leave the stack too high for
 * ever. No pass lasts a second, so a stack that stays full for so long is thrown away, and counted. */
static __always_inline void drop_stale(struct cpu_state *cpu)
{
	u64 now = bpf_ktime_get_ns();

	if (!cpu->full_since_ns) {
		cpu->full_since_ns = now;
	} else if (now - cpu->full_since_ns > STALE_NS) {
		cpu->full_since_ns = 0;
		cpu->depth = 0;
		count(COUNT_UNBALANCED);
	}
}

/* Is this the innermost frame of a packet that is not to be told? In a list the next packet may be. */
static __always_inline u8 is_quiet(struct frame *frame)
{
	return frame && !frame->active && frame->kind != FRAME_RX_LIST;
}

static __always_inline struct frame *push(struct cpu_state *cpu, u8 kind)
{
	if (kind == FRAME_RX_LIST && cpu->depth) { /* no list is received inside of another receive: an end was missed */
		cpu->depth = 0;
		count(COUNT_UNBALANCED);
	}
	if (cpu->depth >= MAX_DEPTH)
		drop_stale(cpu);
	else
		cpu->full_since_ns = 0;
	struct frame *frame = frame_at(cpu, cpu->depth++);
	if (frame) {
		frame->active = 0;
		frame->refused = 0;
		frame->kind = kind;
		frame->number = ++cpu->frame_number;
		cpu->quiet = is_quiet(frame); /* until a pass is opened */
	} else {
		cpu->quiet = 0;
		count(COUNT_TOO_DEEP);
	}
	return OR_NULL(frame);
}

static __always_inline void pop(struct cpu_state *cpu)
{
	if (!cpu->depth)
		return; /* attached while the call was under way */
	struct frame *frame = frame_at(cpu, --cpu->depth);
	if (frame && frame->active)
		send_pass(frame);
	cpu->quiet = is_quiet(top(cpu));
}

/* Where the next step of a frame's record goes in its buffer, or 0 when the record is full. */
static __always_inline u32 next_position(struct frame *frame)
{
	u32 pos = frame->pos;

	if (((pos - 1) & (SLOT_BYTES - 1)) <= SLOT_BYTES - 1 - sizeof(struct step))
		return pos;
	pos = (pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1);
	if (pos >= BUFFER_BYTES)
		return 0;
	*(u64 *)(frame->buf + BOUNDED(pos, BUFFER_BYTES - 1)) = SLOT_CONTINUES;
	return pos + 8;
}

/* Room for the next step of a frame's record, or 0 when the record is full. */
static __always_inline struct step *next_step(struct frame *frame)
{
	struct record *record = record_of(frame);
	u32 pos = next_position(frame);
	struct step *step = 0;

	if (pos) {
		record->steps++;
		frame->pos = pos + sizeof(struct step);
		step = (struct step *)(frame->buf + BOUNDED(pos, BUFFER_BYTES - 1));
	} else {
		record->steps_lost++;
		count(COUNT_STEPS_LOST);
	}
	return OR_NULL(step);
}

static __always_inline u32 since(struct record *record)
{
	u64 elapsed = bpf_ktime_get_ns() - record->time_ns;
	return elapsed > 0xffffffffULL ? 0xffffffffU : elapsed;
}

/* Does this frame's pass hold this skb? In list mode several packets share a frame. */
static __always_inline u8 holds(struct frame *frame, u64 skb)
{
	return frame->kind != FRAME_RX_LIST || frame->skb == skb;
}

/* Where nothing is quiet: is this a packet of a list that is not to be told of? Otherwise one without an open pass is
 * a late delivery. */
static __always_inline u8 passed_over(struct frame *frame, u64 skb)
{
	return frame && !frame->active && frame->refused && frame->skb == skb;
}

static __always_inline u8 has_vlan_tag(struct part *part)
{
#ifdef SK_BUFF__VLAN_PRESENT /* until 6.1 a bit says so (354259fa73e2), later the tag itself */
	return PART(u8, part, SK_BUFF__VLAN_PRESENT) & SK_BUFF__VLAN_PRESENT_MASK;
#else
	return PART(u16, part, SK_BUFF__VLAN_PROTO) || PART(u16, part, SK_BUFF__VLAN_TCI);
#endif
}

static __always_inline void now_on(struct frame *frame, u64 dev)
{
	frame->dev = dev;
	frame->enslaved = 0;
	frame->ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);
}

/* The round of a step is told by its device: skb->dev changes only where a new round begins
 * (an rx_handler's ANOTHER, a VLAN device). */
static __always_inline void follow_device(struct frame *frame, u64 dev)
{
	if (frame->dev != dev) {
		now_on(frame, dev);
		frame->round++;
	}
}

static __always_inline u32 orig_ifindex(struct frame *frame, u64 orig_dev)
{
	return orig_dev == frame->orig_dev ? record_of(frame)->ifindex : READ(u32, orig_dev, NET_DEVICE__IFINDEX);
}
