/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What lets bpf/ be compiled as an ordinary program's library: what it reads lies in this process, and bcc's maps are
 * arrays, or single variables.
 */
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int64_t s64;
typedef uint64_t u64;
#define __always_inline inline __attribute__((always_inline, unused))

#define RING_PAGES 1
#define DEVICE_PLACES 4096
#define BPF_RB_NO_WAKEUP 1
/* bpf/verifier.h, for a processor that nobody verifies */
#define OR_NULL(pointer) (pointer)
#define BOUNDED(value, mask) ((u64)(value) & (mask))
#define NUMBER_OF(place, pointer) ((u64)(pointer))
#define LOAD(type, base, offset) (*(type *)((u64)(base) + (offset)))
#define BPF_ARRAY(name, type, size)                                                                       \
	static type name##_values[size];                                                                  \
	static type *name##_lookup(void *key) { return &name##_values[*(u32 *)key]; }                     \
	static struct { type *(*lookup)(void *); } name = { name##_lookup }
#define BPF_PERCPU_ARRAY(name, type, size) BPF_ARRAY(name, type, size)
#define BPF_HASH(name, key, type, size)                                                                   \
	static type name##_value;                                                                         \
	static type *name##_lookup(void *key) { (void)key; return &name##_value; }                        \
	static struct { type *(*lookup)(void *); } name = { name##_lookup }
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
static u64 bpf_ktime_get_ns(void) { static u64 now_ns; return now_ns += 100; }
static u32 bpf_get_smp_processor_id(void) { return 0; }
