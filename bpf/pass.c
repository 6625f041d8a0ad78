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
#define STALE_NS 1000000000ULL

enum frame_kind { FRAME_RX = 1, FRAME_RX_LIST = 2, FRAME_TX = 3 };

struct frame {
	u64 skb;          /* of the open pass, as it is now: handlers may replace it */
	u64 dev;          /* skb->dev at the last step */
	u64 handler_pskb; /* argument of the rx_handler that is running */
	u32 handler_pos;  /* where its step is in buf, 0 = none */
	u32 handler_low;  /* when counting: low half of its address */
	u32 pos;          /* where the next step goes in buf */
	u32 number;       /* of this frame on its CPU */
	u8 active;
	u8 kind;
	u8 round;
	u8 refused; /* not traced or filtered out: skb; only while not active */
	/* As the ring holds it; the first 8 bytes stand for the ring's own header. The slack lets
	 * the verifier accept a masked offset plus the size of what is written there. */
	u8 buf[BUFFER_BYTES + SLOT_BYTES];
};

/* What the tap that is running has shown so far (tap.c). */
struct tap_call {
	u64 skb;
	u64 dev;
	u64 orig_dev;
	u64 sk;
	u8 open;
	u8 accepted;
	u8 copied;
	u8 freed;
	u8 func;
	u8 unused[3];
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
	u32 seq;
	u32 frame_number;
	u32 last_seq; /* of the last pass whose bracket was __netif_receive_skb_core itself (rx.c) */
	u64 last_skb;
	u64 full_since_ns; /* when the stack was first found full, 0 = it is not */
	struct tap_call tap;
	struct view view;
	struct frame frames[MAX_DEPTH];
	struct frame late; /* room to build a late record in */
	struct frame hook; /* and one of hook.c, which a softirq may interrupt */
#ifdef SNAPLEN
	struct frame data; /* and one of a packet's bytes */
#endif
};

BPF_PERCPU_ARRAY(cpus, struct cpu_state, 1);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* The devices to trace. A bit per ifindex answers most packets; the same ifindex exists in every
 * namespace, so what passes is looked up with its namespace. */
BPF_ARRAY(ifindexes, u64, IFINDEX_WORDS);
BPF_HASH(devices, u64, u8, 4096);

#define READ(type, base, offset)                                                          \
	({                                                                                \
		type value_ = 0;                                                          \
		bpf_probe_read_kernel(&value_, sizeof(value_), (void *)((u64)(base) + (offset))); \
		value_;                                                                   \
	})

static __always_inline struct cpu_state *this_cpu(void)
{
	u32 zero = 0;
	return cpus.lookup(&zero);
}

static __always_inline void count(u32 counter)
{
	u64 *value = counters.lookup(&counter);
	if (value)
		(*value)++;
}

/* Is this device traced? Answers its ifindex, and its namespace in *netns; 0 if not. */
static __always_inline u32 traced(u64 dev, u32 *netns)
{
	u32 ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);
	u32 word = (ifindex >> 6) & (IFINDEX_WORDS - 1);
	u64 *bits = ifindexes.lookup(&word);

	if (!bits || !(*bits & (1ULL << (ifindex & 63))))
		return 0;
	u64 net = READ(u64, dev, NET_DEVICE__NET);
	*netns = READ(u32, net, NET__INUM);
	u64 key = (u64)*netns << 32 | ifindex;
	return devices.lookup(&key) ? ifindex : 0;
}

/* The frame at a place of the stack, or 0. The empty asm keeps the compiler from computing the
 * address before the check, which the verifier would refuse; the mask then tells it the bound. */
static __always_inline struct frame *frame_at(struct cpu_state *cpu, u32 place)
{
	if (place >= MAX_DEPTH)
		return 0;
	asm volatile("" : "+r"(place));
	return &cpu->frames[place & (MAX_DEPTH - 1)];
}

static __always_inline struct frame *top(struct cpu_state *cpu)
{
	return frame_at(cpu, cpu->depth - 1);
}

static __always_inline struct record *record_of(struct frame *frame)
{
	return (struct record *)(frame->buf + 8);
}

#ifdef COUNT_ONLY
BPF_PERCPU_HASH(counts, struct count_key, u64, COUNT_KEYS);

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
	u64 *value = counts.lookup(&key);
	if (value) {
		__sync_fetch_and_add(value, 1);
		return;
	}
	u64 one = 1;
	if (counts.update(&key, &one))
		count(COUNT_LOST);
}
#endif

static __always_inline void send(struct cpu_state *cpu, struct frame *frame)
{
#ifdef COUNT_ONLY
	frame->active = 0;
	if (record_of(frame)->kind != RECORD_HOOK)
		return;
#endif
	struct record *record = record_of(frame);
	u64 size = ((frame->pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1)) - 8;

	frame->active = 0;
	record->duration_ns = bpf_ktime_get_ns() - record->time_ns;
	record->last_skb = frame->skb;
	size &= BUFFER_BYTES - 1;
	if (events.ringbuf_output(frame->buf + 8, size, BPF_RB_NO_WAKEUP))
		count(COUNT_LOST);
	else
		count(COUNT_SENT);
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

static __always_inline struct frame *push(struct cpu_state *cpu, u8 kind)
{
	if (cpu->depth >= MAX_DEPTH)
		drop_stale(cpu);
	else
		cpu->full_since_ns = 0;
	struct frame *frame = frame_at(cpu, cpu->depth++);
	if (!frame) {
		count(COUNT_TOO_DEEP);
		return 0;
	}
	frame->active = 0;
	frame->refused = 0;
	frame->kind = kind;
	frame->number = ++cpu->frame_number;
	return frame;
}

static __always_inline void pop(struct cpu_state *cpu)
{
	if (!cpu->depth)
		return; /* attached while the call was under way */
	struct frame *frame = frame_at(cpu, --cpu->depth);
	if (frame && frame->active)
		send(cpu, frame);
}

/* Room for the next step of a frame's record, or 0 when the record is full. */
static __always_inline struct step *next_step(struct frame *frame)
{
	struct record *record = record_of(frame);
	u32 pos = frame->pos;

	if (((pos - 1) & (SLOT_BYTES - 1)) > SLOT_BYTES - 1 - sizeof(struct step)) {
		pos = (pos + SLOT_BYTES - 1) & ~(SLOT_BYTES - 1);
		if (pos >= BUFFER_BYTES) {
			record->steps_lost++;
			count(COUNT_STEPS_LOST);
			return 0;
		}
		*(u64 *)(frame->buf + (pos & (BUFFER_BYTES - 1))) = SLOT_CONTINUES;
		pos += 8;
	}
	record->steps++;
	frame->pos = pos + sizeof(struct step);
	return (struct step *)(frame->buf + (pos & (BUFFER_BYTES - 1)));
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

/* Is this a packet that is not to be told of? Otherwise one without an open pass is a late delivery. */
static __always_inline u8 passed_over(struct frame *frame, u64 skb)
{
	if (!frame || frame->active)
		return 0;
	return frame->kind != FRAME_RX_LIST || (frame->refused && frame->skb == skb);
}

static __always_inline u8 has_vlan_tag(u64 skb)
{
#ifdef SK_BUFF__VLAN_PRESENT /* until 6.1 a bit says so (354259fa73e2), later the tag itself */
	return READ(u8, skb, SK_BUFF__VLAN_PRESENT) & SK_BUFF__VLAN_PRESENT_MASK;
#else
	return READ(u16, skb, SK_BUFF__VLAN_PROTO) || READ(u16, skb, SK_BUFF__VLAN_TCI);
#endif
}

/* The round of a step is told by its device: skb->dev changes only where a new round begins
 * (an rx_handler's ANOTHER, a VLAN device). */
static __always_inline void follow_device(struct frame *frame, u64 dev)
{
	if (frame->dev != dev) {
		frame->dev = dev;
		frame->round++;
	}
}
