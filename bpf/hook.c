// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * When a tap begins and ends to be offered packets: a packet socket hooks itself in with
 * dev_add_pack(pt) (bind, device up) and out with __dev_remove_pack(pt) (close, new bind, device
 * down, joining a fanout group). That is rare, so it is never filtered: why a tap was not offered a packet depends on
 * the exact times.
 */

/* Send a record of this hook, and let find_socket() forget all sockets (tap.c). */
static __always_inline int hook_changed(u64 pt, u8 added)
{
	u32 zero = 0;
	u64 *changes = hook_changes.lookup(&zero);
	struct cpu_state *cpu = this_cpu();

	if (changes)
		lock_xadd(changes, 1);
	u64 sk = READ(u64, pt, PACKET_TYPE__AF_PACKET_PRIV);

#ifndef PACKET_SOCK__PROT_HOOK
	return 0;
#else
	/* Only packet sockets hold their packet_type in themselves and point back. */
	if (!cpu || !sk || sk + PACKET_SOCK__PROT_HOOK != pt)
		return 0;
	struct frame *frame = &cpu->hooks[added];
	struct record *record = record_of(frame);

	__builtin_memset(record, 0, __builtin_offsetof(struct record, first));
	record->time_ns = bpf_ktime_get_ns();
	record->netns = READ(u32, READ(u64, sk, SOCK__SKC_NET), NET__INUM);
	record->cpu = bpf_get_smp_processor_id();
	record->kind = RECORD_HOOK;
	frame->skb = 0;
	frame->pos = 8 + __builtin_offsetof(struct record, first);
	struct step *step = next_step(frame);
	if (!step)
		return 0;
	__builtin_memset(step, 0, sizeof(*step));
	step->arg = socket_inode(sk); /* no device, and the record's time: not by ADD_STEP */
	step->kind = STEP_HOOK;
	step->result = added;
	send_single(frame);
	return 0;
#endif
}

PROBE(hook_add) { return hook_changed(ARG(hook_add, 0), HOOK_ADDED); }
PROBE(hook_remove) { return hook_changed(ARG(hook_remove, 0), HOOK_REMOVED); }
