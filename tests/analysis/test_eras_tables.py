# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules before rounds, against tables that a second reader worked out from the sources, cell by cell.

Read were, of each kernel: netif_receive_skb (2.6.18: and skb_bond) or __netif_receive_skb in net/core/dev.c,
skb_bond_should_drop in include/linux/netdevice.h, bond_set_slave_inactive_flags in drivers/net/bonding/bonding.h, and
in bond_main.c which modes have inactive slaves; docs/eras.md says of which versions.

All frames come by eth1, a slave of bond0; the recorded verdict is that of bond_handle_frame in Linux 6.1.
"""

from dataclasses import replace

import pytest

from bondtrace.analysis.eras import Offer, answers, find_era
from build import BROADCAST, DEVICES, ON_ETH1, TAPS, B, arp, drop, ether, handler, journeys, rx, scene

LACP_GROUP, GROUP = bytes.fromhex("0180c2000002"), bytes.fromhex("01005e000001")
KINDS = {
    "unicast": (0x0800, B),
    "broadcast": (0x0800, BROADCAST),
    "multicast": (0x0800, GROUP),
    "ARP request": (0x0806, BROADCAST),
    "ARP reply": (0x0806, B),
    "LACP": (0x8809, LACP_GROUP),
    "OAM": (0x8809, LACP_GROUP),  # another slow protocol, which is not the bond's
}

# Where a frame is delivered (column: its kind): at the bond, or as one for an inactive slave ("slave"). In
# skb_bond_should_drop: an inactive slave's frames are dropped, but for unicast under balance-alb (IFF_MASTER_ALB, which
# balance-tlb does not have) and for ETH_P_SLOW under 802.3ad. The other modes mark no slave inactive.
DELIVERED = {
    #                               unicast  broadcast multicast ARP req. ARP reply LACP    OAM
    ("active-backup", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
    ("active-backup", "inactive"): ("slave", "slave", "slave", "slave", "slave", "slave", "slave"),
    ("802.3ad", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
    ("802.3ad", "inactive"): ("slave", "slave", "slave", "slave", "slave", "bond", "bond"),
    ("balance-tlb", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
    ("balance-tlb", "inactive"): ("slave", "slave", "slave", "slave", "slave", "slave", "slave"),
    ("balance-alb", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
    ("balance-alb", "inactive"): ("bond", "slave", "slave", "slave", "bond", "slave", "slave"),
    ("balance-rr", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
    ("balance-xor", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
    ("broadcast", "active"): ("bond", "bond", "bond", "bond", "bond", "bond", "bond"),
}
# What the running kernel's bond_handle_frame said of the same frame: the recorded fact.
VERDICTS = {
    "active": ("ANOTHER", "ANOTHER", "ANOTHER", "ANOTHER", "ANOTHER", "ANOTHER", "ANOTHER"),
    "inactive": ("EXACT", "EXACT", "EXACT", "EXACT", "EXACT", "PASS", "PASS"),
    "inactive balance-alb": ("ANOTHER", "EXACT", "EXACT", "EXACT", "ANOTHER", "PASS", "PASS"),
    "802.3ad": (None, None, None, None, None, "CONSUMED", None),  # the LACPDU is the bond's own, on any slave
}

# What each tap or socket is told skb->dev is ("-": it is not offered the frame), by how it is bound: to nothing, to the
# slave, to the bond, to another slave; first taps for all protocols (ptype_all), then sockets for the frame's protocol
# (ptype_base).
TOLD = {
    #                    all: any   slave bond  other  by protocol: any slave bond other
    ("2.6.18", "bond"): "    bond0  -     bond0 -                 bond0 -     bond0 -",
    ("2.6.18", "slave"): "   -      -     -     -                 -     -     -     -",
    ("2.6.32", "bond"): "    bond0  bond0 bond0 -                 bond0 bond0 bond0 -",
    ("2.6.32", "slave"): "   -      eth1  -     -                 -     eth1  -     -",
    ("rhel6.0", "bond"): "   bond0  bond0 bond0 -                 bond0 bond0 bond0 -",
    ("rhel6.0", "slave"): "  -      eth1  -     -                 eth1  eth1  -     -",  # null_or_bond is NULL
    ("rhel6", "bond"): "     bond0  bond0 bond0 -                 bond0 bond0 bond0 -",
    ("rhel6", "slave"): "    -      eth1  -     -                 -     eth1  -     -",
}
TOLD = {which: tuple(row.split()) for which, row in TOLD.items()}
OLD = ("2.6.18", "2.6.32", "rhel6.0", "rhel6")
ETH0, ETH1, BOND0 = 2, 3, 4
BOUND = (0, ETH1, BOND0, ETH0)


def bound(protocol):
    """Taps for all protocols, then sockets for this one, in the order of the columns of TOLD."""
    kinds = [(each, ifindex) for each in (3, protocol) for ifindex in BOUND]
    return {
        50000 + place: replace(TAPS[ON_ETH1], inode=50000 + place, protocol=each, ifindex=ifindex)
        for place, (each, ifindex) in enumerate(kinds)
    }


def told(era, steps, ethertype, dst, **bond):
    """What each tap of ``bound`` is told; where that is unknown, why."""
    facts = {"arp_interval_ms": 0, **bond}
    taps, devices = bound(ethertype), {**DEVICES, "bond0": replace(DEVICES["bond0"], **facts)}
    around = scene(devices=devices, taps=taps)
    frame = dst + arp()[6:] if ethertype == 0x0806 else ether(b"\x01" * 46, ethertype, dst=dst)
    [journey] = journeys(rx("eth1", *steps, packet=frame), around=around)
    by_tap = {one.tap: one for one in answers(journey, around, find_era(era))}
    return tuple(
        by_tap[inode].why if by_tap[inode].modelled is None else ", ".join(map(_name, by_tap[inode].modelled)) or "-"
        for inode in taps
    )


def _name(offer: Offer) -> str:
    return offer.dev if offer.direction == "rx" else f"{offer.direction} {offer.dev}"


def verdict(mode, state, column):
    said = VERDICTS.get(mode, (None,) * 7)[column] or VERDICTS.get(f"{state} {mode}", VERDICTS[state])[column]
    return handler(said, "bond0") if said == "ANOTHER" else handler(said)


@pytest.mark.parametrize("era", OLD)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("mode", "state"), DELIVERED)
def test_every_combination_is_its_cell(mode, state, kind, era):
    column = list(KINDS).index(kind)

    found = told(era, [verdict(mode, state, column)], *KINDS[kind], bond_mode=mode, active_slave=None)

    assert found == TOLD[era, DELIVERED[mode, state][column]]


UNSURE = ("whether the ARP monitor wanted this frame is not recorded",) * 8


@pytest.mark.parametrize("era", OLD)
@pytest.mark.parametrize(
    ("policy", "exempt"),
    [("none", False), ("active", False), ("backup", None), ("all", None), ("filter", None), (None, None)],
)
def test_arp_on_an_inactive_slave_under_the_arp_monitor(policy, exempt, era):
    """bond_set_slave_inactive_flags sets IFF_SLAVE_NEEDARP if arp_validate covers backup slaves, when it is called."""
    found = told(era, [handler("EXACT")], *KINDS["ARP request"], arp_interval_ms=1000, arp_validate=policy)

    assert found == (UNSURE if exempt is None else TOLD[era, "slave"])


@pytest.mark.parametrize("era", OLD)
def test_a_bond_that_hands_up_what_its_inactive_slaves_get_does_not_say_which_are_inactive(era):
    """2.6.18, 2.6.32 and RHEL 6.0 have no all_slaves_active; RHEL 6.1 has it."""
    why = "the bond's all_slaves_active, newer than these rules, hides whether eth1 was inactive"
    up, facts = [handler("ANOTHER", "bond0")], {"all_slaves_active": True}

    assert told(era, up, *KINDS["unicast"], active_slave=ETH0, **facts) == (why,) * 8
    assert told(era, up, *KINDS["unicast"], active_slave=ETH1, **facts) == TOLD[era, "bond"]


@pytest.mark.parametrize("era", OLD)
def test_what_a_bridge_consumes_is_not_delivered_by_protocol(era):
    """handle_bridge comes after ptype_all and before ptype_base (net/core/dev.c)."""
    bridged = told(era, [handler("ANOTHER", "bond0"), handler("CONSUMED", function="br_handle_frame")], 0x0800, B)
    passed = told(era, [handler("ANOTHER", "bond0"), handler("PASS", function="br_handle_frame")], 0x0800, B)

    assert bridged == (*TOLD[era, "bond"][:4], "-", "-", "-", "-")
    assert passed == TOLD[era, "bond"]


CORE = "__netif_receive_skb_core.constprop.0"
EARLY = [("TC_INGRESS", "sch_handle_ingress"), ("TC_INGRESS", CORE)]


@pytest.mark.parametrize(("reason", "function"), EARLY)
def test_what_is_dropped_between_the_taps_and_the_protocols(reason, function):
    """Where and by what it was dropped was another matter then: unknown. In a round it is what was recorded."""
    steps = [handler("ANOTHER", "bond0"), drop(reason, function=function)]

    why = "whether it would have been dropped before delivery by protocol is not modelled"

    for era in OLD:
        cells = TOLD[era, "bond"]
        assert told(era, steps, 0x0800, B) == cells[:4] + tuple(cell if cell == "-" else why for cell in cells[4:])
    assert told("2.6.39", steps, 0x0800, B) == ("eth1, bond0", "eth1", "bond0", "-", "-", "-", "-", "-")


def test_what_generic_xdp_dropped_came_to_no_tap_of_its_round():
    no_xdp = "generic XDP dropped it, which kernels before 4.12 do not have"
    first, second = [drop("XDP", function="do_xdp_generic")], [handler("ANOTHER", "bond0")]

    for era in (*OLD, "2.6.39", "4.0"):
        assert told(era, first, 0x0800, B) == (no_xdp,) * 8
    for era in ("4.19", "6.15"):
        assert told(era, first, 0x0800, B) == ("-",) * 8
        assert told(era, second + first, 0x0800, B) == ("eth1", "eth1", *("-",) * 6)


def test_what_nobody_took_was_not_dropped_early():
    steps = [handler("ANOTHER", "bond0"), drop("UNHANDLED_PROTO", function=CORE)]
    silent = [handler("ANOTHER", "bond0"), drop("NOT_SPECIFIED", function=CORE)]

    assert told("2.6.32", steps, 0x0800, B) == TOLD["2.6.32", "bond"]
    why = "this kernel does not say why it dropped the packet"
    assert told("2.6.32", silent, 0x0800, B) == ("bond0", "bond0", "bond0", "-", why, why, why, "-")
    assert told("2.6.39", silent, 0x0800, B) == ("eth1, bond0", "eth1", "bond0", "-", why, why, why, "-")


@pytest.mark.parametrize("era", OLD)
def test_facts_that_are_missing_make_it_unknown(era):
    frame = ether(b"\x01" * 46)
    no_bond = {name: device for name, device in DEVICES.items() if name != "bond0"}
    no_mode = {**DEVICES, "bond0": replace(DEVICES["bond0"], bond_mode=None)}
    slow, taps = ether(b"\x01" * 46, 0x8809, dst=LACP_GROUP), bound(0x0800)
    cases = [
        ({"devices": no_bond}, {}, "of which bond eth1 was a slave was not recorded"),
        ({"devices": no_mode}, {"packet": slow}, "the bond's mode was not recorded"),
        ({}, {"vlan": 7}, "how frames with a VLAN tag were received then is not modelled"),
    ]
    for facts, more, why in cases:
        around = scene(taps=taps, **facts)
        [journey] = journeys(rx("eth1", handler("EXACT"), **{"packet": frame, **more}), around=around)
        found = {one.why for one in answers(journey, around, find_era(era)) if one.modelled is None}
        assert found == {why}


def test_a_verdict_that_was_not_recorded_is_no_active_slave():
    around = scene(taps=bound(0x0800))
    [journey] = journeys(rx("eth1", handler("EXACT")), around=around)
    steps = tuple(replace(step, verdict=None) for step in journey.passes[0].steps)
    silent = replace(journey, passes=(replace(journey.passes[0], steps=steps),))

    for era in OLD:
        found = {(one.modelled, one.why) for one in answers(silent, around, find_era(era))}
        assert found == {(None, "the bond's answer for eth1 was not recorded")}


@pytest.mark.parametrize(
    ("netfilter", "expected"),
    [
        ("hook ingress", "-"),
        ("hook input", "bond0"),
        (None, "at which hook of netfilter it was dropped was not recorded"),
    ],
)
def test_a_drop_by_netfilter_is_early_only_at_ingress(netfilter, expected):
    around, steps = scene(taps=bound(0x0800)), [handler("ANOTHER", "bond0"), drop("NETFILTER_DROP", "nf_hook_slow")]
    [journey] = journeys(rx("eth1", *steps), around=around)
    told_why = tuple(replace(step, netfilter=netfilter) for step in journey.passes[0].steps)
    journey = replace(journey, passes=(replace(journey.passes[0], steps=told_why),))

    [unbound] = [one for one in answers(journey, around, find_era("2.6.39")) if one.tap == 50004]
    assert (unbound.why if unbound.modelled is None else "".join(map(_name, unbound.modelled)) or "-") == expected
