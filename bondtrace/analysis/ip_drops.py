# SPDX-License-Identifier: GPL-2.0-or-later
"""Which drops of a clone are the packet's own.

A protocol handler that is not the last to be given a packet works on a clone of it (skb_share_check), as those after it
get the packet itself: a packet socket for IP alone, as a DHCP client's, has IP drop a clone. What IP drops before the
next one is called is then the packet, for all that IP would have made of it. But for one socket of several it makes
clones itself: what is dropped of these is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..format.stages import PROTOCOL_FUNCTIONS
from ..model import Step
from .beyond_ip import OF_COPIES, OF_SOCKETS

_OF_IP = ("ip_", "ip6_", "ipv6_", "arp_", "nf_")  # how the names of IP's own functions begin


def with_own_drops(steps: Sequence[Step]) -> list[Step]:
    """Return a pass's steps, of which those drops of clones that are the packet's are told as such."""
    if not any(step.clone for step in steps):
        return list(steps)
    return [replace(step, clone=False) if _is_own(steps, place) else step for place, step in enumerate(steps)]


def _is_own(steps: Sequence[Step], place: int) -> bool:
    step = steps[place]
    if step.kind != "drop" or not step.clone or not _is_of_ip(step):
        return False
    handlers = [one for one in steps[:place] if one.kind == "protocol"]
    if not handlers or handlers[-1].function not in PROTOCOL_FUNCTIONS:
        return False
    given = handlers[-1].round
    return any(one.kind in ("tap", "fanout", "protocol") and one.round == given for one in steps[place + 1 :])


def _is_of_ip(step: Step) -> bool:
    """Was it dropped by IP, or by the protocol that IP gave it to, and not for one socket?"""
    if step.socket is not None or step.reason in OF_SOCKETS or step.base_function in OF_COPIES:
        return False
    return not step.is_unexplained or (step.base_function or "").startswith(_OF_IP)
