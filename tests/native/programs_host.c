// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What tests ask of the programs of bpf/, which stand before this, as a library: a pass is opened by hand, the programs
 * are called as the kernel would, and the steps are read from the pass's record.
 */

/* This CPU receives a packet: a pass of this skb on this device is open. */
void open_by_hand(u64 skb, u64 dev, u8 pkt_type)
{
	struct cpu_state *cpu = this_cpu();
	struct frame *frame = &cpu->frames[0];
	u32 place;

	memset(cpu, 0, sizeof(*cpu));
	for (place = 0; place < WATCHED_PLACES; place++)
		*watched.lookup(&place) = 0;
	cpu->depth = 1;
	frame->kind = FRAME_RX;
	frame->state = PASS_OPEN;
	frame->number = ++cpu->frame_number;
	frame->skb = skb;
	frame->dev = frame->orig_dev = dev;
	frame->net = READ(u64, dev, NET_DEVICE__NET);
	frame->ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);
	frame->round = 1;
	frame->pos = 8 + __builtin_offsetof(struct record, first);
	record_of(frame)->pkt_type = pkt_type;
	record_of(frame)->sender = READ(u64, dev, NET_DEVICE__RX_HANDLER);
}

/* The step at this place of the record's first slot; 0 where there are not so many. */
u32 step_at(u32 place, u32 *fields)
{
	struct record *record = record_of(&this_cpu()->frames[0]);
	struct step *step = &record->first[place];

	if (place >= record->steps)
		return 0;
	fields[0] = step->kind;
	fields[1] = step->func;
	fields[2] = step->result;
	fields[3] = step->round;
	fields[4] = step->ifindex;
	fields[5] = step->arg;
	fields[6] = step->skb_low;
	fields[7] = step->t_ns;
	return 1;
}

void set_watched(u32 place, u64 number)
{
	*watched.lookup(&place) = number;
}

/* Would a drop be taken for that of the tap's own copy? */
u8 is_in_tap(void)
{
	return in_tap(this_cpu());
}

/* The packet is none of which a pass is recorded. */
void close_by_hand(void)
{
	this_cpu()->frames[0].state = PASS_REFUSED;
	this_cpu()->quiet = 1;
	record_of(&this_cpu()->frames[0])->steps = 0;
}

#ifdef BY_TASK
/* This task's bracket begins, at this place on its stack; how many of its brackets are open then, 0 where it got no state. */
u32 begin_as(u32 task, u64 stack)
{
	current_task = task;
	struct cpu_state *cpu = begin_bracket((void *)stack);
	if (cpu)
		push(cpu, FRAME_RX);
	return cpu ? cpu->depth : 0;
}

u32 end_as(u32 task)
{
	current_task = task;
	struct cpu_state *cpu = this_cpu();
	pop(cpu);
	return cpu->depth;
}

/* Which state this task's programs work with: a number of its own for each, 0 for the CPU's. */
u32 state_of(u32 task)
{
	current_task = task;
	struct cpu_state *cpu = this_cpu();
	return cpu == outside() ? 0 : 1 + (cpu - lanes_values);
}

u32 number_of_bracket(u32 task)
{
	current_task = task;
	return top(this_cpu())->number;
}

u64 counted(u32 counter)
{
	return *counters.lookup(&counter);
}

void wait_ns(u64 time_ns)
{
	now_ns += time_ns;
}
#endif
