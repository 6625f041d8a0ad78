# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a bond's rx_handler answered as it did: a phrase, by the bond's mode and those of its options that decided.

Source: ``bond_handle_frame``, ``bond_should_deliver_exact_match``, ``bond_set_slave_inactive_flags``,
``bond_rcv_validate`` (drivers/net/bonding; docs/receive-path.md). The state of LACP is as it was when the device was
last read: the kernel does not notify of its changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..model import Device

_SLOW_PROTOCOLS, _ARP = 0x8809, 0x0806
_IPV4_MULTICAST = b"\x01\x00\x5e"
_ONE_CURRENT = ("balance-tlb", "balance-alb")
_ACTIVE = {
    "802.3ad": "enabled port of 802.3ad",
    "balance-tlb": "current slave of balance-tlb",
    "balance-alb": "a slave of balance-alb that may receive this frame",
    **{mode: f"every slave receives in {mode}" for mode in ("balance-rr", "balance-xor", "broadcast")},
}
_LET_UP = {"802.3ad": "port that is not enabled", **{mode: f"not the current slave of {mode}" for mode in _ONE_CURRENT}}
_INACTIVE = {"802.3ad": "port of 802.3ad that is not enabled"}
# Octets of LACP (IEEE 802.1AX): bits of a port's state.
_IN_SYNC, _DEFAULTED, _EXPIRED = 0x08, 0x40, 0x80
_NO_PARTNER = "00:00:00:00:00:00"


@dataclass(frozen=True)
class Asked:
    """What an rx_handler was asked with. ``protocol`` is skb->protocol then, ``destination`` the frame's MAC address
    (b"" where it has none), ``device`` the one that received it, ``master`` the one that it is enslaved to, ``active``
    the name of that bond's active slave; each as it was then, and empty where not known."""

    protocol: Optional[int] = None
    destination: bytes = b""
    device: Optional[Device] = None
    master: Optional[Device] = None
    active: str = ""

    @property
    def is_multicast(self) -> bool:
        """Is the frame for more than one, a broadcast or a multicast?"""
        return bool(self.destination) and bool(self.destination[0] & 1)


def reason(verdict: Optional[str], asked: Asked) -> Optional[str]:
    """Return the phrase for a verdict of ``bond_handle_frame``; ``None`` for an unknown verdict."""
    phrase = _phrase(verdict, asked)
    if phrase is None or verdict == "CONSUMED":
        return phrase
    return "; ".join([phrase, *_remarks(verdict, asked)])


def _phrase(verdict: Optional[str], asked: Asked) -> Optional[str]:
    mode = (asked.master.bond_mode if asked.master else None) or ""
    if verdict == "ANOTHER":
        return _let_up(mode, asked) or _ACTIVE.get(mode, "active slave")
    if verdict == "EXACT":
        return f"{_INACTIVE.get(mode, 'inactive slave')}{_why_inactive(mode, asked)}"
    if verdict == "PASS":
        return "link-local frame on an inactive slave"
    if verdict == "CONSUMED":
        lacp = asked.protocol == _SLOW_PROTOCOLS
        return "LACP frame consumed by the bond" if lacp else "consumed by the bond; why is not recorded"
    return None


def _let_up(mode: str, asked: Asked) -> str:
    """Return why a slave that is not the active one handed a frame up; "" where it is none, or may do so anyway."""
    device, bond = asked.device, asked.master
    if device is None or bond is None or not bond.all_slaves_active:
        return ""
    if mode == "balance-alb" and not asked.is_multicast:
        return ""
    if mode in _ONE_CURRENT:
        is_inactive = bond.active_slave is not None and bond.active_slave != device.ifindex
    else:
        is_inactive = device.slave_state == "backup"
    who = _LET_UP.get(mode, "backup slave")
    return f"{who}, let up by all_slaves_active: what a switch floods comes once per slave" if is_inactive else ""


def _why_inactive(mode: str, asked: Asked) -> str:
    device, bond = asked.device, asked.master
    if device is None or bond is None:
        return ""
    if device.mii_status not in (None, "up"):
        return f": its link is {device.mii_status}"
    if mode == "802.3ad":
        return _why_not_enabled(device, bond)
    if bond.primary == device.ifindex:
        return f", though it is the primary (primary_reselect {bond.primary_reselect or 'unknown'})"
    if asked.active and bond.primary is not None and bond.primary == bond.active_slave:
        return f": {asked.active}, the primary, is active"
    return ""


def _why_not_enabled(port: Device, bond: Device) -> str:
    """Return what the port's state of LACP says, as it was last read."""
    if port.ad_actor_state is None or port.ad_partner_state is None:
        return ""
    aggregator = "" if port.ad_aggregator is None else f"aggregator {port.ad_aggregator}, "
    if port.ad_actor_state & _DEFAULTED or bond.ad_partner == _NO_PARTNER:
        why = "no partner has answered"
    elif port.ad_actor_state & _EXPIRED:
        why = "its partner's word has expired"
    elif not port.ad_partner_state & _IN_SYNC:
        why = "its partner is not in sync"
    else:
        why = f"partner {bond.ad_partner}" if bond.ad_partner else "the aggregator is not the active one"
    return f"; LACP as last read: {aggregator}{why}"


def _remarks(verdict: Optional[str], asked: Asked) -> list[str]:
    found = []
    bond = asked.master
    if asked.protocol == _ARP and bond is not None and bond.arp_interval_ms:
        found.append(_monitored(asked.device, bond))
    multicast = asked.destination[:3] == _IPV4_MULTICAST
    if verdict == "EXACT" and multicast and bond is not None and bond.resend_igmp == 0:
        found.append("resend_igmp is 0: after a failover nothing tells the switch where its groups are now")
    return found


def _monitored(slave: Optional[Device], bond: Device) -> str:
    """Return what the ARP monitor does with ARP on this slave (``slave_do_arp_validate``)."""
    policy = bond.arp_validate
    if policy in (None, "none"):
        return "the ARP monitor looked at it"
    state = slave.slave_state if slave else None
    is_checked = policy == "all" or (state is not None and str(policy).endswith(state))
    if is_checked or state is None:
        return f"the ARP monitor looked at it: arp_validate {policy}"
    return f"the ARP monitor took it unchecked for a sign of life: arp_validate {policy}"
