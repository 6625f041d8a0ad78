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
