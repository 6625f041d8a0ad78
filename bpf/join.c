// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Devices that join the traced ones: a slave, or a VLAN device on top. netdev_master_upper_dev_link(dev,
 * upper) and netdev_upper_dev_link(dev, upper) tie two devices together; the new one is traced at
 * once. The user side hears of it by a notification, only after which it would trace it, and which
 * may be late where the CPUs are busy: the first packets that a slave takes over are the ones that
 * count. What the user side sets is what holds; it leaves what has joined since it set them last, so
 * that a link that fails is undone with the next change but one. One step, within one namespace.
 */

static __always_inline u64 key_of(u64 dev)
{
	u32 ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);

	return DEVICE_KEY(READ(u32, READ(u64, dev, NET_DEVICE__NET), NET__INUM), ifindex);
}

static __always_inline void trace_too(u64 key, u8 follow)
{
	u32 place = key & (DEVICE_PLACES - 1);
	u64 *there = places.lookup(&place);

	if (!there || devices.insert(&key, &follow)) /* it is traced already */
		return;
	u64 other = *there && *there != key ? SEVERAL : key;
	places.update(&place, &other);
}

static __always_inline int joined(u64 lower, u64 upper)
{
	u64 lower_key = key_of(lower), upper_key = key_of(upper);

	if (lower_key >> 32 != upper_key >> 32)
		return 0; /* a device made for another namespace: the user side may not watch that */
	u8 *of_lower = devices.lookup(&lower_key);
	u8 *of_upper = devices.lookup(&upper_key);

	if (of_upper && *of_upper & FOLLOW_LOWER)
		trace_too(lower_key, FOLLOW_LOWER);
	else if (of_lower && *of_lower & FOLLOW_UPPER)
		trace_too(upper_key, FOLLOW_UPPER);
	return 0;
}

PROBE(join_master) { return joined(ARG(join_master, 0), ARG(join_master, 1)); }
PROBE(join_upper) { return joined(ARG(join_upper, 0), ARG(join_upper, 1)); }
