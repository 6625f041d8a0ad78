// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * COUNT_ONLY (--summary-only): steps are counted here in the kernel, by kind and device, and no passes are sent.
 */

#ifdef COUNT_ONLY
BPF_PERCPU_HASH(counts, struct count_key, u64, COUNT_KEYS);

/* Most packets take the same steps as the one before them. So what was counted last is kept at a place that follows
 * from its key, and goes into the hash when another key takes the place. The reader adds both up. */
struct recent {
	struct count_key key;
	u64 count;
};
BPF_PERCPU_ARRAY(recents, struct recent, RECENTS);

static __always_inline u8 same_key(struct count_key *one, struct count_key *other)
{
	u32 *a = (u32 *)one, *b = (u32 *)other;
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

/* Count so many more in the hash; they are lost, and counted as such, where it is full. */
static __always_inline void count_in_hash(struct count_key *key, u64 more)
{
	u64 *value = counts.lookup(key), none = 0;

	if (!value) {
		counts.insert(key, &none);
		value = counts.lookup(key);
	}
	if (value)
		ADD_TO(value, more);
	else
		count_more(COUNT_LOST, more);
}

#ifdef BY_TASK /* another task may count in a recent place meanwhile: steps go into the hash at once */
static __always_inline void count_key(struct count_key *key)
{
	count_in_hash(key, 1);
}
#else
static __always_inline void count_key(struct count_key *key)
{
	u32 place = (key->arg ^ key->arg >> 4 ^ key->ifindex * 11 ^ key->kind * 7 ^ key->result * 3 ^ key->outgoing * 17) &
		    (RECENTS - 1);
	struct recent *recent = recents.lookup(&place);
	if (!recent)
		return;
	if (same_key(&recent->key, key)) {
		recent->count++;
		return;
	}
	if (recent->count)
		count_in_hash(&recent->key, recent->count);
	recent->count = 0;
	recent->key = *key;
	recent->count = 1;
}
#endif

/* One more step of this kind. */
static __always_inline void count_step(struct frame *frame, u32 ifindex, u8 kind, u8 result, u8 func, u32 arg,
				       u32 more)
{
	struct count_key key = {};

	key.netns = record_of(frame)->netns;
	key.ifindex = ifindex;
	key.arg = arg;
	key.more = more;
	key.kind = kind;
	key.result = result;
	key.func = func;
	key.outgoing = record_of(frame)->kind == RECORD_TX;
	count_key(&key);
}
#endif
