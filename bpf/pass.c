// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The frames of a CPU: what is under way on it, and which pass an event belongs to.
 *
 * Receive nests (a bridge delivers by calling netif_receive_skb again; a ping reply is transmitted inside the receive
 * of its request), so every CPU, on PREEMPT_RT every task (state.c), has a small stack of frames (stack.c). A frame is
 * one call of a bracket: of a kernel function inside which packets are received, or offered to transmit taps. It holds
 * one pass at a time, whose record is built in the frame and sent once (record.c).
 *
 * The states of a frame (`state`). COUNT_ONLY has the same ones, but counts steps instead of sending passes.
 *
 *   state         meaning                      event: what moves it               next state    called by
 *   ------------  ---------------------------  ---------------------------------  ------------  -----------------------
 *   off           not on the stack: its place  a bracket begins: push()           PASS_NONE     rx_begin, tx_begin,
 *                 is at `depth` or above                                                        rx_core_begin
 *
 *   PASS_NONE     in the bracket, no packet    a packet comes: open_pass()        PASS_REFUSED  rx_packet, tx_begin,
 *                 has come yet                                                                  rx_core_begin
 *                                              the bracket ends: pop()            off           frame_end, rx_core_end
 *
 *   PASS_REFUSED  `skb` is not to be reported  its device is traced and the       PASS_OPEN     open_pass itself, at
 *                                              filter takes it                                  once
 *                                              the next packet: open_pass()       PASS_REFUSED  rx_packet
 *                                              the bracket ends: pop()            off           frame_end, rx_core_end
 *
 *   PASS_OPEN     a pass of `skb` is being     a step: ADD_STEP()                 PASS_OPEN     fill_tap, fill_drop,
 *                 recorded                                                                      fill_protocol,
 *                                                                                               handler_begin,
 *                                                                                               note_namespace
 *                                              the next packet: send_pass(), then PASS_REFUSED  rx_packet
 *                                              open_pass()
 *                                              the bracket ends: pop(), then      off           frame_end, rx_core_end
 *                                              send_pass()
 *
 * There is no state "sent": at once after send_pass() the frame is off, or open_pass() has the next packet. That comes
 * in a list, or where the begin of another bracket was missed. Where an end was missed the whole stack goes off, unsent
 * but counted (COUNT_UNBALANCED): when push() is called for a list, and when it finds the stack full for more than a
 * second. A bracket nested deeper than the stack has no frame, and is counted, too (COUNT_TOO_DEEP).
 *
 * What else an open frame is in the middle of is in three fields:
 *   kind         FRAME_RX_LIST: one packet of a list after the other, so a step may be of another packet than `skb`
 *   handler_pos  not 0: an rx_handler or the VLAN handling runs; its step waits for the verdict, until handler_end()
 *   round        1, and one more wherever skb->dev changes: follow_device(), handler_end()
 *
 * Where the step of a tap or protocol handler goes, by the innermost frame, top(). The first line that applies holds:
 *   cpu->quiet                                  nowhere: the frame is not of a list and holds no open pass. push() and
 *                                               pop() set it, open_pass() clears it, so that one byte has to be read
 *   PASS_REFUSED, and the step is of its skb    nowhere: passed_over()
 *   PASS_OPEN, and its skb, or not of a list    into the frame's record: holds()
 *   no frame, or anything else                  into a RECORD_LATE of its own (packet.c), which Python joins by skb
 * A drop must be of the open pass's very skb, or late and of a list; an rx_handler's step is never late.
 *
 * `late`, `hooks` and `data` of a CPU are frames only for their room to build a record in: they are never on the stack,
 * and their state means nothing.
 */

#define MAX_DEPTH 4
#define BUFFER_BYTES (SLOT_BYTES * SLOTS_MAX)

enum frame_kind { FRAME_RX = 1, FRAME_RX_LIST = 2, FRAME_TX = 3 };
enum pass_state { PASS_NONE = 0, PASS_OPEN = 1, PASS_REFUSED = 2 };

struct frame {
	u64 skb;          /* of the pass, as it is now: handlers may replace it; PASS_REFUSED: the packet's */
	u64 dev;          /* skb->dev at the last step */
	u64 orig_dev;     /* skb->dev when the pass began */
	u64 net;          /* the namespace that dev was in at the last step */
	u64 handler_pskb; /* argument of the rx_handler that is running */
	u32 handler_pos;  /* where its step is in buf, 0 = none; COUNT_ONLY: the kind of its step */
	u32 handler_low;  /* COUNT_ONLY: low half of its address */
	u32 pos;          /* where the next step goes in buf */
	u32 number;       /* of this frame on its CPU */
	u32 ifindex;      /* of dev: a device cannot go away, nor be renumbered, while a packet is on it */
	u8 state;         /* enum pass_state */
	u8 kind;          /* enum frame_kind */
	u8 round;
	u8 enslaved; /* dev is a slave, whose master is in its namespace */
#ifdef BY_TASK
	u64 begun_at; /* where on the task's stack its bracket began (state.c) */
#endif
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
	u64 watched; /* watched[WATCHED_QUEUES] when it began */
	u32 inode;
	u8 open;
	u8 outcome; /* as far as it is known, or UNDECIDED */
	u8 unsure;  /* it may still give up a packet that it has room for, and no probe would see that */
	u8 func;
	u8 pkt_type;
	u8 unused[7];
};

/* A ring that was asked whether it has room for a packet, until its tap's function returns (tap.c). */
struct asked {
	u64 skb; /* 0: none was asked */
	u64 sk;
	u64 watched; /* watched[WATCHED_REFUSALS] then */
	u32 drops;   /* its counters then */
	u32 packets;
	u32 frame; /* the number of the last frame then: no bracket begins before the function returns */
	u8 has_room;
	u8 is_refused; /* the skb was freed as a drop since */
	u8 by_group;   /* a fanout group was offered the packet, and may ask its members' rings before it chooses one */
};

/* The socket behind a tap's hook, as it was read when `hook_changes` had this value (tap.c). */
#define KNOWN_TAPS 64
struct known_tap {
	u64 hook; /* struct packet_type */
	u64 sk;
	u64 hook_changes;
	u32 inode;
};

/* What a chain or a table has decided, until the packet is freed (netfilter.c). Of x_tables, before 5.16: skb, state
 * and table are in the places of owner, skb and state. */
struct decision {
	u64 owner; /* struct nft_chain or xt_table */
	u64 skb;
	u64 state; /* struct nf_hook_state */
	u32 frame; /* the number of the innermost frame */
	u8 func;   /* FUNC_NONE: nothing is decided; FUNC_NFT_DO_CHAIN, or FUNC_IPT_DO_TABLE for all of x_tables */
};

/* The arguments of a function that runs: for what is freed in it, and for its kretprobe (netfilter.c). */
#define CALLS_MAX 8
struct call {
	u64 arguments[3];
};

/* The filter of tc that was asked last, and the actions that it had run (tc.c). */
struct tc_state {
	u64 skb;
	u64 filter;  /* struct tcf_proto */
	u64 actions; /* struct tc_action ** */
	u32 count;   /* of these */
	u32 frame;   /* the number of the innermost frame */
	u8 is_shot;  /* the packet is dropped next */
};

/* A socket of which the user side was told (socket.c). */
#define KNOWN_SOCKETS 16
struct known_socket {
	u64 names;
	u32 inode;
};

#define STACK_DEPTH 14

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
	u8 quiet; /* no step is to be reported: asked first */
	u32 seq;
	u32 frame_number;
	u32 last_seq; /* of the last pass whose bracket was __netif_receive_skb_core itself (rx.c) */
	u64 last_skb;
#ifdef BY_TASK
	u64 taken_ns; /* when a task took this state (state.c) */
	u64 begun_at; /* of the bracket that begins */
#endif
	u64 full_since_ns; /* when the stack was first found to be full, 0 = it is not */
	u64 place; /* for NUMBER_OF */
	u32 call; /* in calls: where the next one goes */
	u32 dropped_chain; /* of the drop that is being told; of a socket its inode */
	u8 dropped_by;     /* enum function; FUNC_NONE: dropped_chain means nothing */
	u32 given_to;      /* the inode of the socket to which a packet was last given (socket.c), */
	u32 given_frame;   /* in the frame of this number, */
	u64 given_skb;     /* as this skb */
	u64 handled_skb;   /* what a protocol was last given (socket.c), */
	u64 handled_dev;   /* on this device, */
	u32 handled_frame; /* in the frame of this number */
	struct known_socket known_sockets[KNOWN_SOCKETS];
	struct decision decision;
	struct call calls[CALLS_MAX];
	struct tc_state tc;
	u64 stack[STACK_DEPTH];
	struct tap_call tap;
	struct asked asked;
	struct known_tap known[KNOWN_TAPS];
	struct view view;
	struct frame frames[MAX_DEPTH];
	struct frame late; /* room to build a late record in */
	struct frame hooks[2]; /* the same for hook.c, by enum hook: a softirq or another task may interrupt it */
#ifdef SNAPLEN
	struct frame data; /* the same for a packet's bytes */
#endif
};

BPF_PERCPU_ARRAY(cpus, struct cpu_state, 1);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* The devices to trace, as DEVICE_KEY, each with which devices are to be traced as soon as they join it (join.c).
 * The same ifindex exists in every namespace: a place in the array, by ifindex, holds the one device that is
 * traced there, or SEVERAL, which are then looked up in the hash. An array costs no call. */
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

/* FNV-1a, by words. The count is constant. */
static __always_inline u32 hash_of(u64 *words, int count)
{
	u64 hash = 0xcbf29ce484222325ULL;

#pragma unroll
	for (int i = 0; i < count; i++)
		hash = (hash ^ words[i]) * 0x100000001b3ULL;
	return hash ^ hash >> 32;
}

/* A field by a plain load where the verifier knows the structure's type, else by a call. */
#define FIELD(typed, type, base, offset) ((typed) ? LOAD(type, base, offset) : READ(type, base, offset))

/* Can a program that is typed load fields of what is only a number to the verifier? */
#ifdef RDONLY_CAST
#define CASTS(typed) (typed)
#define SK_BUFF_AT(typed, pskb) ((typed) ? LOAD(u64, CAST(BTF_SK_BUFF, pskb), SK_BUFF__NEXT) : READ(u64, pskb, 0))
#define SOCKET_FIELD(typed, sk, field) \
	((typed) ? LOAD(u32, CAST(BTF_PACKET_SOCK, sk), field) : READ(u32, sk, field))
#else
#define CASTS(typed) 0
#define SK_BUFF_AT(typed, pskb) READ(u64, pskb, 0)
#define SOCKET_FIELD(typed, sk, field) READ(u32, sk, field)
#endif

/* An argument of a typed program, by a call that the kernel replaces by a load (since 5.17), or by another one. */
static __always_inline u64 typed_argument(void *ctx, u32 place)
{
#ifdef GET_FUNC_ARG
	u64 value = 0;

	((long (*)(void *, u32, u64 *))BPF_FUNC_GET_FUNC_ARG)(ctx, place, &value);
	return value;
#else
	return READ(u64, ctx, 8 * place);
#endif
}

#define HEADER_OPS__CREATE 0 /* its first field */

/* Does the device write link-layer headers (dev_has_header)? */
static __always_inline u8 makes_headers(u64 dev)
{
	u64 ops = READ(u64, dev, NET_DEVICE__HEADER_OPS);

	return ops && READ(u64, ops, HEADER_OPS__CREATE);
}

/* The fields of an skb that a record needs lie close together: one call for all of them costs less than two for single
 * fields. Where they do not, each field is read by itself. */
#ifdef SK_BUFF__PART
#define PART_COPIED(type, part, field) (*(type *)((char *)(part)->words + (field) - SK_BUFF__PART))
#else
#define SK_BUFF__PART 0
#define SK_BUFF__PART_WORDS 1
#define PART_COPIED(type, part, field) READ(type, (part)->skb, field)
#endif
#define PART(type, part, field) \
	((part)->typed ? LOAD(type, (part)->skb, field) : PART_COPIED(type, part, field))
/* A field that is a pointer, to compute with (verifier.h, rule 3); place: in a map. */
#define ADDRESS(typed, place, base, offset) \
	((typed) ? NUMBER_OF(place, LOAD(u64, base, offset)) : READ(u64, base, offset))
#define PART_ADDRESS(part, field) \
	((part)->typed ? NUMBER_OF((part)->place, LOAD(u64, (part)->skb, field)) : PART_COPIED(u64, part, field))
struct part {
	u64 skb;
	u64 *words; /* not in here: the call that fills them would make the compiler forget the rest */
	u64 *place; /* in a map (NUMBER_OF) */
	u8 typed;
};

/* Programs that count on this CPU may take turns (state.c). */
#ifdef BY_TASK
#define ADD_TO(value, more) lock_xadd(value, more)
#else
#define ADD_TO(value, more) (*(value) += (more))
#endif

static __always_inline void count_more(u32 counter, u64 more)
{
	u64 *value = counters.lookup(&counter);
	if (value)
		ADD_TO(value, more);
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

/* Is this device traced? If so it becomes the frame's device, and the record gets its ifindex and namespace. */
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

/* Has this frame (or 0) an open pass, and is it the one of this skb? In a list several packets share a frame. */
static __always_inline u8 holds(struct frame *frame, u64 skb)
{
	return frame && frame->state == PASS_OPEN && (frame->kind != FRAME_RX_LIST || frame->skb == skb);
}

/* Is this the packet that the frame has refused? Asked where the CPU is not quiet, so of a list. */
static __always_inline u8 passed_over(struct frame *frame, u64 skb)
{
	return frame && frame->state == PASS_REFUSED && frame->skb == skb;
}

static __always_inline u8 has_vlan_tag(struct part *part)
{
#ifdef SK_BUFF__VLAN_PRESENT /* until 6.1 a bit says so (354259fa73e2), later the tag itself */
	return PART(u8, part, SK_BUFF__VLAN_PRESENT) & SK_BUFF__VLAN_PRESENT_MASK;
#else
	return PART(u16, part, SK_BUFF__VLAN_PROTO) || PART(u16, part, SK_BUFF__VLAN_TCI);
#endif
}

/* The ifindex of the orig_dev of a step, which is nearly always the device on which the pass began. */
static __always_inline u32 orig_ifindex(struct frame *frame, u64 orig_dev)
{
	return orig_dev == frame->orig_dev ? record_of(frame)->ifindex : READ(u32, orig_dev, NET_DEVICE__IFINDEX);
}
