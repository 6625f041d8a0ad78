// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which chain of which table had a packet dropped. What decides is nft_do_chain(pkt, priv), of which priv is the base
 * chain, or x_tables' {ipt,ip6t,arpt,ebt}_do_table: (table, skb, state), before 5.16 (skb, state, table). The packet is
 * freed by their caller, nf_hook_slow, once they have returned NF_DROP, or by nft_do_chain itself where that returns
 * NF_STOLEN then. The step of that drop (drop.c) gets the chain. Nothing is kept of a packet that is let through.
 *
 * A chain is told by a number, a hash of what is told of it, under which its names are put into a map. So a number
 * means the same whatever becomes of the chain.
 *
 * Where no chain is known to have decided (conntrack, a helper, a kernel that does not describe nf_tables), the number
 * is the low half of an address in the function that called nf_hook_slow, each of which has a hook of its own.
 */

#if !defined(COUNT_ONLY) && defined(NF_HOOK_STATE__HOOK)
#define CHAINS_TOLD
#define NF_VERDICT_MASK 0xff
#define NF_DROP 0
enum protocol_family { PF_IPV4 = 2, PF_ARP = 3, PF_BRIDGE = 7, PF_IPV6 = 10 };

#define CHAIN_NAME_BYTES 64
#define BROUTE 0x00006574756f7262ULL /* of ebtables: what this table drops is routed */

struct chain {
	u8 func;   /* enum function */
	u8 family; /* of an nftables table: enum nf_inet_proto */
	u8 hook;
	u8 unused[5];
	char table[CHAIN_NAME_BYTES];
	char name[CHAIN_NAME_BYTES]; /* "" for x_tables: the hook's */
};

/* Where the fields are, as the modules' types say, and functions, 0 where addresses may not be read; filled before a
 * program is attached. */
struct netfilter_layout {
	u64 hook_begin; /* nf_hook_slow */
	u64 hook_bytes;
	u64 hook_list_begin; /* nf_hook_slow_list */
	u64 hook_list_bytes;
	u64 chain_begin; /* nft_do_chain */
	u64 chain_bytes;
	u32 pktinfo_skb;
	u32 pktinfo_state;
	u32 chain_name;
	u32 chain_table;
	u32 table_name;
	u32 table_family;
	u32 table_family_mask;
	u32 xt_table_name;
};

BPF_ARRAY(netfilter, struct netfilter_layout, 1);
BPF_HASH(chains, u32, struct chain, 1024);
BPF_PERCPU_ARRAY(chain_rooms, struct chain, 1); /* to put one together */

static __always_inline struct netfilter_layout *netfilter_layout(void)
{
	u32 zero = 0;
	struct netfilter_layout *layout = netfilter.lookup(&zero);

	return OR_NULL(layout);
}

/* A chain or a table has decided on a packet, within this frame: keep that it is dropped, until it is freed. */
static __always_inline void decided(struct cpu_state *cpu, struct frame *frame, u8 func, u64 owner, u64 skb, u64 state)
{
	cpu->decision.frame = frame ? frame->number : 0;
	cpu->decision.owner = owner;
	cpu->decision.skb = skb;
	cpu->decision.state = state;
	cpu->decision.func = func;
}

/* nft_do_chain has decided by this chain, on the packet of this nft_pktinfo. */
static __always_inline void chain_decided(struct cpu_state *cpu, struct frame *frame, struct netfilter_layout *layout,
					  u64 chain, u64 packet)
{
	u64 skb = READ(u64, packet, layout->pktinfo_skb);
	u64 state = READ(u64, packet, layout->pktinfo_state);

	decided(cpu, frame, FUNC_NFT_DO_CHAIN, chain, skb, state);
}

static __always_inline int chain_end(u32 verdict, u64 pkt, u64 priv)
{
	if ((verdict & NF_VERDICT_MASK) != NF_DROP)
		return 0;
	struct cpu_state *cpu = this_cpu();
	struct netfilter_layout *layout = netfilter_layout();
	if (!cpu || cpu->quiet || cpu->tap.open || !layout)
		return 0;
	chain_decided(cpu, top(cpu), layout, NUMBER_OF(&cpu->place, priv), NUMBER_OF(&cpu->place, pkt));
	return 0;
}

static __always_inline int table_end(u32 verdict, u64 first, u64 second, u64 third)
{
	if ((verdict & NF_VERDICT_MASK) != NF_DROP)
		return 0;
	struct cpu_state *cpu = this_cpu();
	if (cpu && !cpu->quiet && !cpu->tap.open)
		decided(cpu, top(cpu), FUNC_IPT_DO_TABLE, NUMBER_OF(&cpu->place, first),
			NUMBER_OF(&cpu->place, second), NUMBER_OF(&cpu->place, third));
	return 0;
}

/* What a function was given is kept while it runs: for what is freed in it, and for a kretprobe, which does not know
 * the arguments any more. Calls nest (a rule that rejects a packet sends one). */
static __always_inline int call_begins(u64 first, u64 second, u64 third)
{
	struct cpu_state *cpu = this_cpu();
	if (!cpu)
		return 0;
	struct call *call = &cpu->calls[BOUNDED(cpu->call++, CALLS_MAX - 1)];

	call->arguments[0] = first;
	call->arguments[1] = second;
	call->arguments[2] = third;
	return 0;
}

static __always_inline struct call *call_ends(void)
{
	struct cpu_state *cpu = this_cpu();
	struct call *call = 0;

	if (cpu)
		call = &cpu->calls[BOUNDED(--cpu->call, CALLS_MAX - 1)];
	return OR_NULL(call);
}

static __always_inline u8 function_of(u8 family)
{
	return family == PF_IPV4   ? FUNC_IPT_DO_TABLE
	       : family == PF_IPV6 ? FUNC_IP6T_DO_TABLE
	       : family == PF_ARP  ? FUNC_ARPT_DO_TABLE
				   : FUNC_EBT_DO_TABLE;
}

/* Read what is told of the chain that decided. */
static __always_inline void describe_chain(struct decision *decision, struct netfilter_layout *layout,
					   struct chain *chain)
{
	u64 owner = decision->owner, state = decision->state;

	__builtin_memset(chain, 0, sizeof(*chain));
	chain->hook = READ(u8, state, NF_HOOK_STATE__HOOK);
	if (decision->func == FUNC_NFT_DO_CHAIN) {
		u64 table = READ(u64, owner, layout->chain_table);

		chain->func = FUNC_NFT_DO_CHAIN;
		chain->family = READ(u16, table, layout->table_family) & layout->table_family_mask;
		bpf_probe_read_kernel_str(chain->table, CHAIN_NAME_BYTES, (void *)READ(u64, table, layout->table_name));
		bpf_probe_read_kernel_str(chain->name, CHAIN_NAME_BYTES, (void *)READ(u64, owner, layout->chain_name));
	} else {
		chain->func = function_of(READ(u8, state, NF_HOOK_STATE__PF));
		bpf_probe_read_kernel_str(chain->table, CHAIN_NAME_BYTES, (void *)(owner + layout->xt_table_name));
	}
}

/* The number of a chain, under which it is in the map. */
static __always_inline u32 number_of(struct chain *chain)
{
	u32 number = hash_of((u64 *)chain, sizeof(*chain) / 8);

	if (!chains.lookup(&number))
		chains.update(&number, chain);
	return number;
}

/* 1 if an address is behind the begin of a function and not behind its end, else 0. Without a branch: a verifier
 * follows both ways of each, so that a loop with some of them has too many ways. */
static __always_inline u64 is_in(u64 address, u64 begin, u64 bytes)
{
	u64 offset = address - begin - 1;
	u64 is_less = ((offset - bytes) & ~offset) >> 63;

	asm volatile("" : "+r"(is_less)); /* the compiler must not make a branch of it either */
	return is_less;
}

/* The number of the chain that had this packet dropped, 0 where none is known. */
static __always_inline u32 deciding_chain(struct cpu_state *cpu, struct frame *frame, u64 skb, u64 location)
{
	struct decision *decision = &cpu->decision;
	struct netfilter_layout *layout = netfilter_layout();
	u32 zero = 0;
	struct chain *chain = chain_rooms.lookup(&zero);

	if (!layout || !chain)
		return 0;
	if (is_in(location, layout->chain_begin, layout->chain_bytes)) {
		/* nft_do_chain itself frees it (since it was told the reason): its call that runs has decided. */
		struct call *call = &cpu->calls[BOUNDED(cpu->call - 1, CALLS_MAX - 1)];

		chain_decided(cpu, frame, layout, call->arguments[1], call->arguments[0]);
	}
	if (!decision->func || decision->frame != (frame ? frame->number : 0))
		return 0;
	if (decision->func == FUNC_IPT_DO_TABLE && decision->owner == skb) { /* before 5.16 */
		decision->owner = decision->state;
		decision->state = decision->skb;
		decision->skb = skb;
	}
	if (decision->skb != skb)
		return 0;
	describe_chain(decision, layout, chain);
	if (*(u64 *)chain->table == BROUTE)
		return 0;
	return number_of(chain);
}

/* The low half of an address in the function that called nf_hook_slow, 0 where the stack does not show it. */
static __always_inline u32 hooking_function(struct cpu_state *cpu, struct netfilter_layout *layout, void *ctx)
{
	u64 begin = layout->hook_begin, bytes = layout->hook_bytes;
	u64 list_begin = layout->hook_list_begin, list_bytes = layout->hook_list_bytes;
	u64 found = 0, is_next = 0, is_found = 0;

	__builtin_memset(cpu->stack, 0, sizeof(cpu->stack));
	if (bpf_get_stack(ctx, cpu->stack, sizeof(cpu->stack), 0) < 0)
		return 0;
#pragma unroll
	for (int i = 0; i < STACK_DEPTH; i++) {
		u64 address = cpu->stack[i];
		u64 is_hook = is_in(address, begin, bytes) | is_in(address, list_begin, list_bytes);
		u64 is_it = is_next & ~is_hook & ~is_found;

		u64 mask = -(is_it & 1);

		asm volatile("" : "+r"(mask));
		found |= address & mask;
		is_found |= is_it;
		is_next |= is_hook;
	}
	return found;
}

#ifdef SKB_DROP_REASON_NETFILTER_DROP
#define BY_NETFILTER(reason) ((reason) == SKB_DROP_REASON_NETFILTER_DROP)
#else
#define BY_NETFILTER(reason) 0
#endif

/* unsigned int nft_do_chain(struct nft_pktinfo *, void *). */
PROBE(chain_enter) { return call_begins(ARG(chain_enter, 0), ARG(chain_enter, 1), 0); }
PROBE(chain_exit)
{
	struct call *call = call_ends();
	return call ? chain_end(RETURNED(chain_exit, 2), call->arguments[0], call->arguments[1]) : 0;
}
PROBE(chain_fexit)
{
	call_ends();
	return chain_end(RETURNED(chain_fexit, 2), ARG(chain_fexit, 0), ARG(chain_fexit, 1));
}

/* unsigned int ipt_do_table(void *, struct sk_buff *, const struct nf_hook_state *), and those like it. */
PROBE(table_enter) { return call_begins(ARG(table_enter, 0), ARG(table_enter, 1), ARG(table_enter, 2)); }
PROBE(table_exit)
{
	struct call *call = call_ends();
	if (!call)
		return 0;
	return table_end(RETURNED(table_exit, 3), call->arguments[0], call->arguments[1], call->arguments[2]);
}
PROBE(table_fexit)
{
	return table_end(RETURNED(table_fexit, 3), ARG(table_fexit, 0), ARG(table_fexit, 1), ARG(table_fexit, 2));
}
#else /* a drop is counted by its function and reason only; or this kernel has no netfilter */
PROBE(chain_enter) { return 0; }
PROBE(chain_exit) { return 0; }
PROBE(chain_fexit) { return 0; }
PROBE(table_enter) { return 0; }
PROBE(table_exit) { return 0; }
PROBE(table_fexit) { return 0; }
#endif

/* Note who had this packet dropped, if netfilter did: cpu->dropped_by and, by a number, cpu->dropped_chain. */
static __always_inline void note_dropper(struct cpu_state *cpu, struct frame *frame, void *ctx, u64 skb, u64 location,
					 u32 reason)
{
#ifdef CHAINS_TOLD
	struct netfilter_layout *layout = netfilter_layout();
	if (layout && (BY_NETFILTER(reason) || is_in(location, layout->hook_begin, layout->hook_bytes))) {
		cpu->dropped_by = FUNC_NFT_DO_CHAIN;
		cpu->dropped_chain = deciding_chain(cpu, frame, skb, location);
		if (!cpu->dropped_chain) {
			cpu->dropped_chain = hooking_function(cpu, layout, ctx);
			cpu->dropped_by = cpu->dropped_chain ? FUNC_NF_HOOK_SLOW : FUNC_NONE;
		}
	}
	cpu->decision.func = FUNC_NONE;
#endif
}
