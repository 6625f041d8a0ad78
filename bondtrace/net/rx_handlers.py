# SPDX-License-Identifier: GPL-2.0-or-later
"""The rx_handlers: which kind of device installs which, and what their verdicts mean. One table for all questions.

Any handler is shown by its symbol as it is; those in this table are attached before their first packet, and their
verdicts are explained. Sources: the handlers' code in drivers/net and net/ (docs/receive-path.md, "Other rx_handlers").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

BOND = "bond_handle_frame"
BRIDGE = "br_handle_frame"


@dataclass(frozen=True)
class RxHandler:
    """One rx_handler.

    ``kinds`` are the rtnetlink kinds of the devices which install it: a bond on its slaves, a macvlan on the device it
    sits on. ``exact``: EXACT and PASS keep a packet on a port that is inactive. ``switch``: CONSUMED hands it to a
    switch, which may receive or send it again. ``phrases`` explain those of its verdicts that ``ANY_PHRASES`` does not
    explain well enough.
    """

    function: str
    kinds: tuple[str, ...]
    exact: bool = False
    switch: bool = False
    phrases: dict[str, str] = field(default_factory=dict)


RX_HANDLERS = (
    RxHandler(BOND, ("bond",), exact=True),  # verdicts.py explains its verdicts by the bond's mode
    RxHandler(
        BRIDGE,
        ("bridge",),
        switch=True,
        phrases={"CONSUMED": "taken by the bridge", "PASS": "link-local frame left to the port"},
    ),
    RxHandler(
        "team_handle_frame",
        ("team",),
        exact=True,
        phrases={
            "ANOTHER": "enabled port",
            "EXACT": "disabled or backup port",
            "PASS": "link-local frame on a disabled port",
        },
    ),
    RxHandler(
        "macvlan_handle_frame",
        ("macvlan", "macvtap"),
        phrases={
            "ANOTHER": "for the upper device's address",
            "PASS": "for no macvlan alone",
            "CONSUMED": "taken by a macvlan: cloned, passed through or dropped",
        },
    ),
    RxHandler(
        "ipvlan_handle_frame",
        ("ipvlan", "ipvtap"),
        phrases={
            "ANOTHER": "for an address of the upper device",
            "PASS": "for no ipvlan alone",
            "CONSUMED": "taken by an ipvlan",
        },
    ),
    RxHandler(
        "netdev_frame_hook",
        ("openvswitch",),
        switch=True,
        phrases={"CONSUMED": "taken by the switch", "PASS": "looped back: left to the port"},
    ),
    RxHandler(
        "macsec_handle_frame",
        ("macsec",),
        phrases={"CONSUMED": "taken by MACsec", "PASS": "not protected by MACsec, or a copy was taken"},
    ),
)

#: What a verdict means for any handler.
ANY_PHRASES = {
    "CONSUMED": "taken over by the handler",
    "ANOTHER": "handed to the upper device",
    "EXACT": "only exact matches from here on",
    "PASS": "left to the device itself",
}
#: VLAN devices have no rx_handler: the receive path itself asks ``vlan_do_receive``.
VLAN_PHRASES = {
    "ANOTHER": "the tag is this VLAN device's",
    "PASS": "no VLAN device took the tag",
    "CONSUMED": "dropped by the VLAN device",
}

FUNCTIONS = tuple(one.function for one in RX_HANDLERS)
EXACT = frozenset(one.function for one in RX_HANDLERS if one.exact)
SWITCHES = frozenset(one.function for one in RX_HANDLERS if one.switch)
_OF_KIND = {kind: one.function for one in RX_HANDLERS for kind in one.kinds}
_PHRASES = {**{one.function: one.phrases for one in RX_HANDLERS}, "vlan_do_receive": VLAN_PHRASES}


def handler_of(kind: str) -> Optional[str]:
    """Return the function that devices of this rtnetlink kind install; ``None`` for a kind that installs none."""
    return _OF_KIND.get(kind)


def phrase(function: Optional[str], verdict: Optional[str]) -> Optional[str]:
    """Return what a handler's verdict means; ``None`` for an unknown verdict."""
    return {**ANY_PHRASES, **_PHRASES.get(function or "", {})}.get(verdict or "")
