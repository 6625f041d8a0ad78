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
#define BPF_HASH(name, key_type, type, size)                                                              \
	static struct { u8 used; key_type key; type value; } name##_rows[size];                           \
	static int name##_row(void *key)                                                                  \
	{                                                                                                 \
		for (int row = 0; row < size; row++)                                                      \
			if (name##_rows[row].used && !memcmp(&name##_rows[row].key, key, sizeof(key_type))) \
				return row;                                                               \
		return -1;                                                                                \
	}                                                                                                 \
	static type *name##_lookup(void *key)                                                             \
	{                                                                                                 \
		int row = name##_row(key);                                                                \
		return row < 0 ? 0 : &name##_rows[row].value;                                             \
	}                                                                                                 \
	static int name##_update(void *key, type *value)                                                  \
	{                                                                                                 \
		int row = name##_row(key);                                                                \
		for (int free_row = 0; row < 0 && free_row < size; free_row++)                            \
			row = name##_rows[free_row].used ? -1 : free_row;                                 \
		if (row < 0)                                                                              \
			return -1;                                                                        \
		name##_rows[row].used = 1;                                                                \
		memcpy(&name##_rows[row].key, key, sizeof(key_type));                                     \
		name##_rows[row].value = *value;                                                          \
		return 0;                                                                                 \
	}                                                                                                 \
	static int name##_insert(void *key, type *value)                                                  \
	{                                                                                                 \
		return name##_row(key) < 0 ? name##_update(key, value) : -1;                              \
	}                                                                                                 \
	static int name##_delete(void *key)                                                               \
	{                                                                                                 \
		int row = name##_row(key);                                                                \
		if (row >= 0)                                                                             \
			name##_rows[row].used = 0;                                                        \
		return row < 0 ? -1 : 0;                                                                  \
	}                                                                                                 \
	static struct {                                                                                   \
		type *(*lookup)(void *);                                                                  \
		int (*update)(void *, type *), (*insert)(void *, type *), (*delete)(void *);              \
	} name = { name##_lookup, name##_update, name##_insert, name##_delete }
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
static u64 now_ns; /* of the clock */
static u64 bpf_ktime_get_ns(void) { return now_ns += 100; }
static u32 current_task;
static u64 bpf_get_current_pid_tgid(void) { return current_task; }
#define lock_xadd(value, more) (*(value) += (more))
static u32 bpf_get_smp_processor_id(void) { return 0; }
