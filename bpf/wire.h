/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel side sends to the user side: one record per pass, in slots of 256 bytes.
 *
 * The first 8 bytes of a slot are the ring buffer's own record header (first slot) or the word
 * SLOT_CONTINUES (every further slot of the same record), so the ring's data area can be read as
 * one array of slots. bondtrace/format/wire.py mirrors this file; tests/format/test_wire.py compares the two
 * by the compiler's own offsets.
 */
#ifndef BONDTRACE_WIRE_H
#define BONDTRACE_WIRE_H

#define SLOT_BYTES 256
#define SLOTS_MAX 8 /* slots of the longest record; steps for which it has no room are counted */
#define SLOT_CONTINUES 0x0b07d7acU
#define PACKET_BYTES 80 /* enough for Ethernet + VLAN + IPv6 + TCP's fixed part */
#define FIRST_STEPS 4   /* steps in the first slot: an ordinary bonded pass with two taps */
#define MORE_STEPS 10   /* steps in every further slot */
#define DATA_BYTES 248  /* of a packet, in each further slot of a RECORD_DATA: `len` bytes in all, of pass `seq` */

enum record_kind { RECORD_RX = 1, RECORD_TX = 2, RECORD_LATE = 3, RECORD_HOOK = 4 };
/* What is no pass, and no row of a recording: a packet's bytes; and what a socket is (struct socket_facts) */
enum kept_record { RECORD_DATA = 5, RECORD_SOCKET = 6 };

enum record_flag {
	RECORD_VLAN = 1,   /* vlan_tci is valid: the tag is outside the packet's bytes */
	RECORD_LIST = 2,   /* received in a list: taps and protocol handlers may come as late records */
	RECORD_CLONED = 4, /* the skb shared its data with another when the pass began */
	RECORD_INSIDE_LIST = 8, /* nested in the list receive that frame names; its packet is one of those */
	RECORD_RECEIVED = 16,   /* the packet had been received before: skb->skb_iif, 0 in a new skb, was set */
	RECORD_VLAN_AD = 32, /* the tag that vlan_tci is of has the type 802.1ad (0x88a8), not 802.1Q */
};

enum step_kind {
	STEP_TAP = 1,
	STEP_FANOUT = 2,
	STEP_HANDLER = 3,
	STEP_PROTOCOL = 4,
	STEP_HOOK = 5,
	STEP_VLAN = 6,
	STEP_DROP = 7,
	STEP_NETNS = 8,
	STEP_QUEUED = 9, /* handed on, to be received once more: on ifindex, by the same skb */
	STEP_LOCAL = 10, /* IP gave it to a protocol of this host */
	STEP_SOCKET = 11, /* a protocol gave it to a socket */
	STEP_ANSWERED = 12, /* a request of ARP or neighbour discovery, which this host answers */
	STEP_FORWARDED = 14, /* IP forwards it; arg: the ifindex of the device to which it is routed */
	STEP_SEGMENTS = 13, /* the packet stands for several on the wire (GRO, GSO); the first step, of a long packet only */
};

/* step.result of a tap */
enum outcome { OUTCOME_UNKNOWN = 0, OUTCOME_CAPTURED = 1, OUTCOME_FILTERED = 2, OUTCOME_FULL = 3, OUTCOME_IGNORED = 4 };

/* step.result of an rx_handler, and of VLAN handling (ANOTHER or PASS): the kernel's rx_handler_result_t, or this
 * where it has not returned yet */
#define VERDICT_PENDING 255

/* step.result of STEP_HOOK: from now on the tap is (not) offered packets */
enum hook { HOOK_REMOVED = 0, HOOK_ADDED = 1 };

/* step.result of STEP_NETNS: for which steps it holds. Of a late record (round 0): for the next one only. */
enum netns_scope { NETNS_FROM_HERE = 0, NETNS_NEXT_STEP = 1 };

/* step.result of STEP_DROP: was it the pass's own skb, or a clone of it, which has its data? */
enum dropped { DROPPED_SKB = 0, DROPPED_CLONE = 1 };

/* step.result of STEP_SOCKET: a flag, and above it the socket's state (TCP_ESTABLISHED, ... of tcp_states.h) */
enum given { GIVEN_TO_TUNNEL = 1, GIVEN_TO_FULL = 2, GIVEN_STATE_SHIFT = 4 };

/* step.func */
enum function {
	FUNC_NONE = 0,
	FUNC_PACKET_RCV = 1,
	FUNC_TPACKET_RCV = 2,
	FUNC_PACKET_RCV_SPKT = 3,
	FUNC_PACKET_RCV_FANOUT = 4,
	FUNC_IP_RCV = 16,
	FUNC_IPV6_RCV = 17,
	FUNC_ARP_RCV = 18,
	FUNC_IP_LIST_RCV = 19,
	FUNC_IPV6_LIST_RCV = 20,
	FUNC_VLAN = 32,    /* vlan_do_receive */
	FUNC_GRO_CELLS = 33, /* gro_cells_receive */
	/* Of a drop, these tell who decided on it: orig_ifindex is then not orig_dev's, but the number of a chain
	 * (netfilter.c); with nf_hook_slow the low half of an address in the function that called it. */
	FUNC_NFT_DO_CHAIN = 34,
	FUNC_IPT_DO_TABLE = 35,
	FUNC_IP6T_DO_TABLE = 36,
	FUNC_ARPT_DO_TABLE = 37,
	FUNC_EBT_DO_TABLE = 38,
	FUNC_NF_HOOK_SLOW = 39,
	FUNC_SOCKET = 40, /* the socket to which it was given: orig_ifindex is then its inode (socket.c) */
	FUNC_TCF_CLASSIFY = 41, /* a filter of tc: orig_ifindex is then its number (tc.c) */
	FUNC_XSK_GENERIC_RCV = 45,
	FUNC_IP_FORWARD = 46,
	FUNC_IP6_FORWARD = 47,
	FUNC_IP_PROTOCOL_DELIVER_RCU = 48,
	FUNC_IP6_PROTOCOL_DELIVER_RCU = 49,
	FUNC_UDP_QUEUE_RCV_ONE_SKB = 50,
	FUNC_UDPV6_QUEUE_RCV_ONE_SKB = 51,
	FUNC_RAW_RCV = 52,
	FUNC_RAWV6_RCV = 53,
	FUNC_PING_QUEUE_RCV_SKB = 54,
	FUNC_TCP_V4_DO_RCV = 55,
	FUNC_TCP_V6_DO_RCV = 56,
	FUNC_TCP_ADD_BACKLOG = 57,
	FUNC_TCP_TIMEWAIT_STATE_PROCESS = 58,
	FUNC_TCP_CHECK_REQ = 59,
	FUNC_ARP_XMIT = 60,
	FUNC_NDISC_SEND_NA = 61,
	FUNC_HANDLER = 63, /* any rx_handler: identified by its address */
};

/* Counters, one set per CPU. There is one for every way to lose something. */
enum counter {
	COUNT_SENT = 0,       /* records put into the ring */
	COUNT_LOST = 1,       /* records for which the ring, or (COUNT_ONLY) steps for which the hash had no room */
	COUNT_STEPS_LOST = 2, /* steps that did not fit their record */
	COUNT_TOO_DEEP = 3,   /* passes nested deeper than the stack of open passes */
	COUNT_UNBALANCED = 4, /* packets whose begin was missed, and begins whose end was */
	COUNT_FILTER_BLIND = 5, /* packets kept because the filter could not see the bytes that it asks for */
	COUNT_DATA_LOST = 6, /* packets whose bytes were to be sent, too, but the ring had no room */
	COUNTERS = 8,
};

/* What COUNT_ONLY counts in the kernel: a kind of step on a device. STEP_PASS is a round with this skb->dev, or an
 * offer to its transmit taps; its result is 0 for the first round of a pass, 1 for a further one. */
enum counted_step { STEP_PASS = 0 };

struct count_key {
	unsigned int netns;
	unsigned int ifindex; /* skb->dev */
	unsigned int arg;     /* tap: socket inode; handler, drop: low half of the function's address */
	unsigned int more;    /* drop: the reason */
	unsigned char kind;   /* enum step_kind, or STEP_PASS */
	unsigned char result; /* outcome or verdict */
	unsigned char func;
	unsigned char outgoing;
};

struct step {
	unsigned int t_ns;         /* since the record's time_ns; the largest number where that is longer */
	unsigned int ifindex;      /* skb->dev now; drop: that of what was dropped */
	unsigned int orig_ifindex; /* orig_dev; segments: gso_size */
	unsigned int arg;          /* tap, hook, socket: socket inode; rx_handler, VLAN: ifindex of skb->dev after it;
				    * drop: enum skb_drop_reason; netns: inode of skb->dev's namespace from here on;
				    * local: the IP protocol; segments: gso_segs, their number, 0 where nobody counted */
	unsigned char kind;
	unsigned char round;
	unsigned char result; /* tap: outcome; rx_handler: verdict */
	unsigned char func;
	unsigned int skb_low; /* low half of the skb's address; rx_handler: of the handler's; drop: of the place in
			       * the code that freed it */
};

struct record {
	unsigned long long time_ns; /* CLOCK_MONOTONIC at the begin of the pass */
	unsigned long long skb;
	unsigned int netns;   /* inode of the device's network namespace */
	unsigned int ifindex; /* skb->dev at the begin: orig_dev of an rx pass */
	unsigned int len;     /* bytes of the frame, link-layer header included */
	unsigned short cpu;
	unsigned short protocol; /* skb->protocol, host order */
	unsigned short vlan_tci;
	unsigned char kind;
	unsigned char flags;
	unsigned short steps;
	unsigned short steps_lost;
	unsigned int seq;    /* number of this pass on its CPU, from 1 */
	unsigned int parent; /* seq of the pass it is nested in on its CPU, or 0 */
	unsigned int duration_ns; /* of a pass */
	unsigned short arphrd; /* device type: 1 Ethernet, 772 loopback, ... */
	unsigned char captured; /* number of valid bytes in packet */
	unsigned char pkt_type; /* PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3, OUTGOING 4 */
	unsigned int last_skb; /* low half of the skb's address at the end: it may be replaced on the way */
	unsigned int head;     /* skb->head, divided by 16: clones share it */
	unsigned int frame; /* number of the bracket (of a list: the list receive) of this pass on its CPU */
	unsigned int sender; /* tx: inode of the packet socket that sent it, or 0; rx: low half of the address of
			      * the device's rx_handler, or 0 */
	unsigned char packet[PACKET_BYTES];
	struct step first[FIRST_STEPS];
};

/* Of a RECORD_SOCKET these stand in `packet`; record.netns is the socket's, and record.ifindex the device that it is
 * bound to. Numbers are in host order, addresses as in packets (of IPv4 the first 4 bytes). */
struct socket_facts {
	unsigned int inode;
	unsigned int uid;
	unsigned short family;
	unsigned short type;
	unsigned short protocol;
	unsigned short port;
	unsigned short remote_port;
	unsigned short unused;
	unsigned char address[16];
	unsigned char remote[16];
};

#endif
