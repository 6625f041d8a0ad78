// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf/pass.c and bpf/filter.c as a library, behind host.h. The test appends the generated filters and calls them by
 * number.
 */
struct sk_buff_here {
	u64 head, data, dev;
	u32 tail, len;
	u16 mac_header, vlan_tci, vlan_proto;
};
#define AT(type, field) __builtin_offsetof(struct type, field)
#define SK_BUFF__HEAD AT(sk_buff_here, head)
#define SK_BUFF__DATA AT(sk_buff_here, data)
#define SK_BUFF__TAIL AT(sk_buff_here, tail)
#define SK_BUFF__LEN AT(sk_buff_here, len)
#define SK_BUFF__MAC_HEADER AT(sk_buff_here, mac_header)
#define SK_BUFF__VLAN_TCI AT(sk_buff_here, vlan_tci)
#define SK_BUFF__VLAN_PROTO AT(sk_buff_here, vlan_proto)
#define NET_DEVICE__TYPE 0
#define NET_DEVICE__HEADER_OPS 8
#define NET_DEVICE__IFINDEX 0
#define NET_DEVICE__FLAGS 0
#define NET_DEVICE__NET 0
#define NET__INUM 0
#define FILTER 1
static u32 asked; /* the number of the filter */

static u64 listed_value;
static u64 *listed_lookup(u64 *skb) { (void)skb; return &listed_value; }
static int listed_update(u64 *skb, u64 *where) { (void)skb; listed_value = *where; return 0; }
static void listed_delete(u64 *skb) { (void)skb; listed_value = 0; }
#define BPF_TABLE(kind, key, type, name, size) \
	static struct { u64 *(*lookup)(u64 *); int (*update)(u64 *, u64 *); void (*delete)(u64 *); } name = { \
		name##_lookup, name##_update, name##_delete }
