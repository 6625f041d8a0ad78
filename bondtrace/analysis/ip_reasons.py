# SPDX-License-Identifier: GPL-2.0-or-later
"""Which setting, address or route of this host explains that IP refused a packet, or that nobody answered it.

Invariant: a setting is named, with its value, only where the kernel's rule for it explains what was seen; otherwise
nothing is said here (``look_at`` says what decides). What is said is as of the last reading, some seconds ago at most.

Source: ``__fib_validate_source`` (rp_filter), ``arp_process`` and ``arp_ignore`` in net/ipv4; the values of a device
and of "all" count as ``IN_DEV_MAXCONF`` and ``IN_DEV_ORCONF`` of include/linux/inetdevice.h say.
"""

from __future__ import annotations

from ..model import Pass, Step
from ..net.topology import Key
from .scene import Scene

_RP_FILTER = "IP_RPFILTER"
_STRICT, _LOOSE = 1, 2
_NOTHING, _OWN_ONLY = 8, (1, 2)  # of arp_ignore


def after_drop(step: Step, one: Pass, scene: Scene) -> str:
    """Return what explains a drop by rp_filter; "" for another one, and where it is not known."""
    if step.reason != _RP_FILTER:
        return ""
    key, source = (step.netns, step.ifindex), one.packet.src
    mode = scene.beyond.facts.setting(key, "rp_filter", one.time_ns)
    devices = scene.beyond.facts.way(step.netns, source, one.time_ns)
    if mode is None or devices is None or not _refuses(max(mode), step.ifindex, devices):
        return ""
    names = " and ".join(scene.device_name(step.netns, ifindex, one.time_ns) for ifindex in devices)
    way = f"the way back to {source} leads by {names}" if names else f"there is no way back to {source}"
    return f"{way} (`ip route get {source}`); rp_filter of {_values(step.dev, mode)}"


def _refuses(mode: int, ifindex: int, devices: tuple[int, ...]) -> bool:
    """Would rp_filter refuse a packet by this device, where the way back leads by those?"""
    return (mode == _STRICT and ifindex not in devices) or (mode == _LOOSE and not devices)


def of_unanswered(one: Pass, scene: Scene) -> str:
    """Return what explains that a request of ARP was not answered; "" where it is not known."""
    if one.packet.protocol != "ARP":
        return ""
    last, address = one.steps[-1], one.packet.dst
    owners = scene.beyond.facts.owners(last.netns, address, one.time_ns)
    if owners is None:
        return ""
    return _by_settings(last, address, owners, scene, one.time_ns) if owners else f"no device here has {address}"


def _by_settings(last: Step, address: str, owners: list[Key], scene: Scene, time_ns: int) -> str:
    key, dev = (last.netns, last.ifindex), last.dev
    ignore, filtered = (scene.beyond.facts.setting(key, name, time_ns) for name in ("arp_ignore", "arp_filter"))
    if ignore and max(ignore) == _NOTHING:
        return f"arp_ignore of {_values(dev, ignore)}: {dev} answers nothing"
    if ignore and max(ignore) in _OWN_ONLY and key not in owners:
        whose = " and ".join(scene.device_name(*owner, time_ns) for owner in owners)
        return f"arp_ignore of {_values(dev, ignore)}: {dev} answers for its own addresses, and {address} is {whose}'s"
    if filtered and max(filtered):
        return f"arp_filter of {_values(dev, filtered)}: {dev} answers only those to whom the way back leads by it"
    return ""


def _values(dev: str, setting: tuple[int, int]) -> str:
    return f"{dev} is {setting[0]}, of all {setting[1]}"
