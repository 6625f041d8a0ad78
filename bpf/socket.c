// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Beyond IP: which protocol of this host a packet is given to, which sockets, and whether a request is answered. Only
 * attached where it is asked for.
 *
 * All happens within the bracket of the packet's receive. Seen is that a packet is given to a socket; where the socket
 * refuses it, the kernel drops the skb before it gives it, or a clone, to the next one: drop.c asks was_given(). What a
 * process takes out of a socket's backlog later, outside of every bracket, is not seen again.
 *
 * In a list receive, IP gives packets on after all of them have passed __netif_receive_skb_core, and works on clones
 * where taps share them, so these steps go into late records, which have the packet's bytes.
 */

#if defined(PROBE_SOCKETS) && !defined(COUNT_ONLY)

#define AF_INET 2
#define AF_INET6 10
#define TCP_LISTEN 10
#define SKB_DST_PTRMASK (~1ULL) /* the lowest bit says that there is no reference */

/* The sockets that the user side knows, by inode: a mixture of all that a RECORD_SOCKET says. */
BPF_TABLE("lru_hash", u32, u64, told_sockets, 4096);

/* A late record for what became of a packet of a list; 0 where it is not to be told. */
static __always_inline struct frame *late_in_list(struct cpu_state *cpu, struct frame *list, u64 skb, u64 dev, u8 func)
{
	struct frame *frame = 0;

	if (!passed_over(list, skb) && was_wanted(cpu, skb))
		frame = open_late(cpu, skb, dev);
	if (frame && func != FUNC_ARP_XMIT) /* that may be without the request's own skb, as ARP works on a clone */
		describe_late(cpu, frame, skb);
	return OR_NULL(frame);
}

/* A step beyond IP, in the record where it belongs. `dev`: the packet's device, 0: skb->dev. */
static __always_inline void step_beyond(struct cpu_state *cpu, u64 skb, u64 dev, u8 kind, u8 func, u8 result, u32 arg)
{
	struct frame *frame = top(cpu);

	if (!frame || frame->kind == FRAME_TX)
		return; /* a process takes it out of a backlog, or it is one that this host sends */
	u8 in_frame = holds(frame, skb);
	if (!in_frame && frame->kind != FRAME_RX_LIST)
		return;
	if (!in_frame)
		frame = late_in_list(cpu, frame, skb, dev ? dev : READ(u64, skb, SK_BUFF__DEV), func);
	if (!frame)
		return;
	ADD_STEP(frame, kind, func, result, record_of(frame)->ifindex, arg, skb);
	if (!in_frame)
		send_single(frame);
}

/* What says which socket it is: the begin of struct sock_common, read by one call. */
#define NAMES_WORDS 3
#define NAMED(type, names, field) (*(type *)((char *)(names) + (field) - SOCK__SKC_ADDRPAIR))

static __always_inline void read_names(u64 *names, u64 sk)
{
	bpf_probe_read_kernel(names, 8 * NAMES_WORDS, (void *)(sk + SOCK__SKC_ADDRPAIR));
}

/* A number that changes where what a RECORD_SOCKET says does; `number` is the socket's address. */
static __always_inline u64 mixed(u64 *names, u64 number)
{
	u64 pair = NAMED(u64, names, SOCK__SKC_ADDRPAIR);
	u32 ports = NAMED(u32, names, SOCK__SKC_PORTPAIR);
	u32 bound = NAMED(u32, names, SOCK__SKC_BOUND_DEV_IF);

	return number ^ pair * 0x9E3779B97F4A7C15ULL ^ (u64)ports << 32 ^ bound;
}

static __always_inline void fill_facts(struct socket_facts *facts, u64 *names, u64 sk, u32 inode)
{
	facts->inode = inode;
	facts->uid = READ(u32, sk, SOCK__SK_UID);
	facts->family = NAMED(u16, names, SOCK__SKC_FAMILY);
	facts->type = READ(u16, sk, SOCK__SK_TYPE);
	facts->protocol = READ(u16, sk, SOCK__SK_PROTOCOL);
	facts->port = NAMED(u16, names, SOCK__SKC_NUM);
	facts->remote_port = swap16(NAMED(u16, names, SOCK__SKC_DPORT));
#ifdef SOCK__SKC_V6_RCV_SADDR
	if (facts->family == AF_INET6) {
		bpf_probe_read_kernel(facts->address, 16, (void *)(sk + SOCK__SKC_V6_RCV_SADDR));
		bpf_probe_read_kernel(facts->remote, 16, (void *)(sk + SOCK__SKC_V6_DADDR));
	}
#endif
	if (facts->family == AF_INET) {
		*(u32 *)facts->address = NAMED(u32, names, SOCK__SKC_RCV_SADDR);
		*(u32 *)facts->remote = NAMED(u32, names, SOCK__SKC_DADDR);
	}
}

/* Tell the user side what this socket is, unless it knows. A CPU remembers the last ones, which saves a call. */
static __always_inline void tell_socket(struct cpu_state *cpu, u64 *names, u64 sk, u32 inode)
{
	u64 now = mixed(names, NUMBER_OF(&cpu->place, sk));
	struct known_socket *known = &cpu->known_sockets[BOUNDED(inode, KNOWN_SOCKETS - 1)];
	if (known->inode == inode && known->names == now)
		return;
	known->inode = inode;
	known->names = now;
	u64 *told = told_sockets.lookup(&inode);
	if (told && *told == now)
		return;
	struct frame *frame = &cpu->late;
	struct record *record = record_of(frame);

	__builtin_memset(record, 0, __builtin_offsetof(struct record, first));
	record->time_ns = bpf_ktime_get_ns();
	record->kind = RECORD_SOCKET;
	record->netns = READ(u32, READ(u64, sk, SOCK__SKC_NET), NET__INUM);
	record->ifindex = NAMED(u32, names, SOCK__SKC_BOUND_DEV_IF);
	fill_facts((struct socket_facts *)record->packet, names, sk, inode);
	frame->pos = 8 + __builtin_offsetof(struct record, first);
	if (send_copy(frame)) {
		told_sockets.update(&inode, &now);
	} else {
		known->inode = 0;
		count(COUNT_LOST);
	}
}

/* A packet is given to a socket. `flags`: of enum given. */
static __always_inline int given(u64 sk, u64 skb, u8 func, u8 flags)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	struct frame *frame = top(cpu);
	if (!frame)
		return 0;
	u64 names[NAMES_WORDS];
	u32 inode = func == FUNC_TCP_TIMEWAIT_STATE_PROCESS ? 0 : socket_inode(sk); /* the former is no whole struct sock */

	read_names(names, sk);
	cpu->given_skb = skb;
	cpu->given_to = inode;
	cpu->given_frame = frame->number;
	if (inode)
		tell_socket(cpu, names, sk, inode);
	step_beyond(cpu, skb, 0, STEP_SOCKET, func, flags | NAMED(u8, names, SOCK__SKC_STATE) << GIVEN_STATE_SHIFT, inode);
	return 0;
}

/* XDP gives the frame's packet to an AF_XDP socket, whose struct begins with its struct sock. */
static __always_inline int given_by_xdp(u64 sk, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = cpu && !cpu->quiet ? top(cpu) : 0;

	return frame && frame->kind != FRAME_TX ? given(sk, frame->skb, func, 0) : 0;
}

/* A tunnel's or a VPN's socket takes UDP's packets before its queue. */
static __always_inline u8 flags_of_udp(u64 sk)
{
	return READ(u8, sk, UDP_SOCK__ENCAP_TYPE) ? GIVEN_TO_TUNNEL : 0;
}

/* A listening socket of TCP takes nothing while as many connections wait for accept() as may (sk_acceptq_is_full). The
 * kernel then releases a SYN as if it had worked on it. */
static __always_inline u8 flags_of_tcp(u64 sk)
{
	if (READ(u8, sk, SOCK__SKC_STATE) != TCP_LISTEN)
		return 0;
	return READ(u32, sk, SOCK__SK_ACK_BACKLOG) > READ(u32, sk, SOCK__SK_MAX_ACK_BACKLOG) ? GIVEN_TO_FULL : 0;
}

/* IP gives a packet to this protocol. */
static __always_inline int delivered(u64 skb, u32 protocol, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	if (func == FUNC_IP6_PROTOCOL_DELIVER_RCU) /* neighbour discovery may answer it */
		note_handled(cpu, skb, READ(u64, skb, SK_BUFF__DEV));
	step_beyond(cpu, skb, 0, STEP_LOCAL, func, 0, protocol);
	return 0;
}

/* IP forwards a packet, to the device of the route that it found. */
static __always_inline int forwarded(u64 skb, u8 func)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu || cpu->quiet)
		return 0;
	u64 dst = READ(u64, skb, SK_BUFF__SKB_REFDST) & SKB_DST_PTRMASK;
	u64 dev = dst ? READ(u64, dst, DST_ENTRY__DEV) : 0;

	step_beyond(cpu, skb, 0, STEP_FORWARDED, func, 0, dev ? READ(u32, dev, NET_DEVICE__IFINDEX) : 0);
	return 0;
}

/* This host answers the packet that was last given to a protocol within this bracket, if there is one. */
static __always_inline int answered(u8 func)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = cpu && !cpu->quiet ? top(cpu) : 0;
	if (frame && cpu->handled_skb && cpu->handled_frame == frame->number)
		step_beyond(cpu, cpu->handled_skb, cpu->handled_dev, STEP_ANSWERED, func, 0, 0);
	return 0;
}

#else /* not asked for; and none of this is counted */

#define given(sk, skb, func, flags) 0
#define given_by_xdp(sk, func) 0
#define flags_of_udp(sk) 0
#define flags_of_tcp(sk) 0
#define delivered(skb, protocol, func) 0
#define forwarded(skb, func) 0
#define answered(func) 0

#endif

#define SOCKET(name, func) \
	PROBE(name) { return given(ARG(name, 0), ARG(name, 1), func, 0); }
#define UDP_SOCKET(name, func) \
	PROBE(name) { return given(ARG(name, 0), ARG(name, 1), func, flags_of_udp(ARG(name, 0))); }
#define TCP_SOCKET(name, func) \
	PROBE(name) { return given(ARG(name, 0), ARG(name, 1), func, flags_of_tcp(ARG(name, 0))); }

PROBE(ip_deliver) { return delivered(ARG(ip_deliver, 1), ARG(ip_deliver, 2), FUNC_IP_PROTOCOL_DELIVER_RCU); }
PROBE(ip6_deliver) { return delivered(ARG(ip6_deliver, 1), ARG(ip6_deliver, 2), FUNC_IP6_PROTOCOL_DELIVER_RCU); }
UDP_SOCKET(socket_udp, FUNC_UDP_QUEUE_RCV_ONE_SKB)
UDP_SOCKET(socket_udpv6, FUNC_UDPV6_QUEUE_RCV_ONE_SKB)
SOCKET(socket_raw, FUNC_RAW_RCV)
SOCKET(socket_rawv6, FUNC_RAWV6_RCV)
SOCKET(socket_ping, FUNC_PING_QUEUE_RCV_SKB)
TCP_SOCKET(socket_tcp, FUNC_TCP_V4_DO_RCV)
TCP_SOCKET(socket_tcpv6, FUNC_TCP_V6_DO_RCV)
SOCKET(socket_backlog, FUNC_TCP_ADD_BACKLOG)
SOCKET(socket_timewait, FUNC_TCP_TIMEWAIT_STATE_PROCESS)
TCP_SOCKET(socket_request, FUNC_TCP_CHECK_REQ)
PROBE(socket_xsk) { return given_by_xdp(ARG(socket_xsk, 0), FUNC_XSK_GENERIC_RCV); }
PROBE(ip_forward) { return forwarded(ARG(ip_forward, 0), FUNC_IP_FORWARD); }
PROBE(ip6_forward) { return forwarded(ARG(ip6_forward, 0), FUNC_IP6_FORWARD); }
PROBE(arp_answer) { return answered(FUNC_ARP_XMIT); }
PROBE(nd_answer) { return answered(FUNC_NDISC_SEND_NA); }
