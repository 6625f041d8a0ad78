// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Devices that join the traced ones: a slave, or a VLAN device on top. netdev_master_upper_dev_link(dev, upper) and
 * netdev_upper_dev_link(dev, upper) link two devices; the new one is traced from then on. The user side would trace it
 * only after the kernel's notification, which may be late where the CPUs are busy, and the first packets of a slave
 * that takes over matter most. What the user side sets has precedence, but it keeps the devices that have joined since
 * it last set them, so a link that failed is undone with the next change but one. Only one link is followed; the device
 * on top may be in another namespace, as a container's macvlan is. A device that is moved is not linked anew: the user
 * side reads the namespace to which it went (capture/live/reach.py).
 */

static __always_inline u64 key_of(u64 dev)
{
	u32 ifindex = READ(u32, dev, NET_DEVICE__IFINDEX);

	return DEVICE_KEY(READ(u32, READ(u64, dev, NET_DEVICE__NET), NET__INUM), ifindex);
}

/* Trace this device as well, and those that join it as `follow` says. */
static __always_inline void trace_too(u64 key, u8 follow)
{
	u32 place = key & (DEVICE_PLACES - 1);
	u64 *there = places.lookup(&place);

	if (!there || devices.insert(&key, &follow)) /* it is already traced */
		return;
	u64 other = *there && *there != key ? SEVERAL : key;
	places.update(&place, &other);
}

static __always_inline int joined(u64 lower, u64 upper)
{
	u64 lower_key = key_of(lower), upper_key = key_of(upper);

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
