// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf/pass.c and bpf/filter.c as an ordinary program's library: what they read lies in this process, bcc's maps are
 * single variables. The test appends the generated filters and calls them by number.
 */
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int64_t s64;
typedef uint64_t u64;
#define __always_inline inline __attribute__((always_inline, unused))

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
#define RING_PAGES 1
#define DEVICE_PLACES 4096
#define BPF_RB_NO_WAKEUP 1
#define FILTER 1
/* bpf/verifier.h, for a processor that nobody verifies */
#define OR_NULL(pointer) (pointer)
#define BOUNDED(value, mask) ((u64)(value) & (mask))
#define NUMBER_OF(place, pointer) ((u64)(pointer))
#define LOAD(type, base, offset) (*(type *)((u64)(base) + (offset)))
static u32 asked; /* the number of the filter */

#define BPF_ARRAY(name, type, size)                                              \
	static type name##_value;                                                \
	static type *name##_lookup(void *key) { (void)key; return &name##_value; } \
	static struct { type *(*lookup)(void *); } name = { name##_lookup }
#define BPF_PERCPU_ARRAY(name, type, size) BPF_ARRAY(name, type, size)
#define BPF_HASH(name, key, type, size) BPF_ARRAY(name, type, size)
static u64 listed_value;
static u64 *listed_lookup(u64 *skb) { (void)skb; return &listed_value; }
static int listed_update(u64 *skb, u64 *where) { (void)skb; listed_value = *where; return 0; }
static void listed_delete(u64 *skb) { (void)skb; listed_value = 0; }
#define BPF_TABLE(kind, key, type, name, size) \
	static struct { u64 *(*lookup)(u64 *); int (*update)(u64 *, u64 *); void (*delete)(u64 *); } name = { \
		name##_lookup, name##_update, name##_delete }
static int no_output(void *data, u64 size, u64 flags) { (void)data; (void)size; (void)flags; return 0; }
static void *no_room(u64 size) { (void)size; return 0; }
static void no_submit(void *data, u64 flags) { (void)data; (void)flags; }
#define BPF_RINGBUF_OUTPUT(name, pages) \
	static struct {                                                          \
		int (*ringbuf_output)(void *, u64, u64);                         \
		void *(*ringbuf_reserve)(u64);                                   \
		void (*ringbuf_submit)(void *, u64);                             \
	} name = { no_output, no_room, no_submit }

static int bpf_probe_read_kernel(void *to, u32 size, const void *from) { memcpy(to, from, size); return 0; }
static u64 bpf_ktime_get_ns(void) { return 0; }
static u32 bpf_get_smp_processor_id(void) { return 0; }
