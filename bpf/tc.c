// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which filter of tc had a packet dropped at ingress. Every filter's classify function (fl_classify, u32_classify, ...) is
 * given the skb and its struct tcf_proto, so the last one that was called for the skb is the one that matched. Its actions
 * run in tcf_action_exec. Where tcf_classify, which calls all of them, ends with TC_ACT_SHOT, the packet is dropped next:
 * the step of that drop (drop.c) gets the filter.
 *
 * A filter is told by a number, a hash of what is told of it, as a chain of netfilter's is (netfilter.c).
 */

#if !defined(COUNT_ONLY) && defined(TCF_PROTO__OPS)
#define TC_FILTERS_TOLD
#define TC_ACT_SHOT 2

#define TC_KIND_BYTES 16 /* IFNAMSIZ */
#define TC_ACTIONS_TOLD 4

struct tc_filter {
	u32 chain;
	u16 priority;
	u16 protocol; /* in network byte order */
	u32 actions;  /* how many it has, of which the first are told */
	u32 unused;
	char kind[TC_KIND_BYTES];
	u8 action_kinds[TC_ACTIONS_TOLD * TC_KIND_BYTES];
};

BPF_HASH(tc_filters, u32, struct tc_filter, 1024);
BPF_PERCPU_ARRAY(tc_rooms, struct tc_filter, 1); /* to put one together */

/* A filter is asked about this skb. */
static __always_inline int filter_asked(u64 skb, u64 filter)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = cpu && !cpu->quiet ? top(cpu) : 0;
	if (!frame)
		return 0;
	cpu->tc.frame = frame->number;
	cpu->tc.skb = skb;
	cpu->tc.filter = filter;
	cpu->tc.actions = 0;
	cpu->tc.count = 0;
	cpu->tc.is_shot = 0;
	return 0;
}

/* It has matched, and its actions run. */
static __always_inline int actions_run(u64 skb, u64 actions, u32 count)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = cpu && !cpu->quiet ? top(cpu) : 0;
	if (!frame || cpu->tc.frame != frame->number || cpu->tc.skb != skb)
		return 0;
	cpu->tc.actions = actions;
	cpu->tc.count = count;
	return 0;
}

/* All filters of a device have been asked, with this result. Within actions another packet may have been received (a
 * mirror's): then nothing is known any more. */
static __always_inline int all_asked(u32 result)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = cpu && !cpu->quiet ? top(cpu) : 0;
	if (frame && cpu->tc.frame == frame->number)
		cpu->tc.is_shot = result == TC_ACT_SHOT;
	return 0;
}

/* The number of the filter that had this packet dropped, 0 where none is known. */
static __always_inline u32 shooting_filter(struct cpu_state *cpu, struct frame *frame, u64 skb)
{
	u32 zero = 0, number;
	struct tc_filter *told = tc_rooms.lookup(&zero);
	u64 filter = cpu->tc.filter;

	if (!told || !cpu->tc.is_shot || !frame || cpu->tc.frame != frame->number || cpu->tc.skb != skb)
		return 0;
	cpu->tc.is_shot = 0;
	__builtin_memset(told, 0, sizeof(*told));
	told->chain = READ(u32, READ(u64, filter, TCF_PROTO__CHAIN), TCF_CHAIN__INDEX);
	told->priority = READ(u32, filter, TCF_PROTO__PRIO) >> 16;
	told->protocol = READ(u16, filter, TCF_PROTO__PROTOCOL);
	told->actions = cpu->tc.count;
	bpf_probe_read_kernel_str(told->kind, TC_KIND_BYTES,
				  (void *)(READ(u64, filter, TCF_PROTO__OPS) + TCF_PROTO_OPS__KIND));
#pragma unroll
	for (int i = 0; i < TC_ACTIONS_TOLD; i++) {
		if (i < cpu->tc.count) {
			u64 action = READ(u64, cpu->tc.actions, 8 * i);
			u64 ops = READ(u64, action, TC_ACTION__OPS);

			bpf_probe_read_kernel_str(told->action_kinds + i * TC_KIND_BYTES, TC_KIND_BYTES,
						  (void *)(ops + TC_ACTION_OPS__KIND));
		}
	}
	number = hash_of((u64 *)told, sizeof(*told) / 8);
	if (!tc_filters.lookup(&number))
		tc_filters.update(&number, told);
	return number;
}

/* int fl_classify(struct sk_buff *, const struct tcf_proto *, struct tcf_result *), and those like it. */
PROBE(tc_filter) { return filter_asked(ARG(tc_filter, 0), ARG(tc_filter, 1)); }
PROBE(tc_filter_fentry) { return filter_asked(ARG(tc_filter_fentry, 0), ARG(tc_filter_fentry, 1)); }
/* int tcf_action_exec(struct sk_buff *, struct tc_action **, int nr_actions, struct tcf_result *). */
PROBE(tc_actions) { return actions_run(ARG(tc_actions, 0), POINTER_ARG(tc_actions, 1), ARG(tc_actions, 2)); }
/* int tcf_classify(...), of five arguments. */
PROBE(tc_exit) { return all_asked(RETURNED(tc_exit, 5)); }
#else /* a drop is counted by its function and reason only; or this kernel has no tc */
PROBE(tc_filter) { return 0; }
PROBE(tc_filter_fentry) { return 0; }
PROBE(tc_actions) { return 0; }
PROBE(tc_exit) { return 0; }
#endif

/* Note which filter of tc had this packet dropped, if one did. */
static __always_inline void note_filter(struct cpu_state *cpu, struct frame *frame, u64 skb)
{
#ifdef TC_FILTERS_TOLD
	if (!cpu->dropped_by && cpu->tc.is_shot) {
		cpu->dropped_chain = shooting_filter(cpu, frame, skb);
		cpu->dropped_by = cpu->dropped_chain ? FUNC_TCF_CLASSIFY : FUNC_NONE;
	}
#endif
}
