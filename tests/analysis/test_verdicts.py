# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an rx_handler answered as it did, where a switch sent the packet, and what a drop or another namespace means for
the taps."""

from dataclasses import replace

import pytest

from bondtrace.analysis import verdicts
from bondtrace.analysis.bonds import Asked
from bondtrace.format.events import device_event
from bondtrace.model import Device
from bondtrace.net import rx_handlers
from build import (
    BEGIN_NS,
    BROADCAST,
    DEVICES,
    HERE,
    ON_BOND0,
    ON_ETH0,
    SKB,
    THERE,
    A,
    arp,
    drop,
    enters,
    handler,
    journeys,
    protocol,
    rx,
    scene,
    tap,
    tx,
    vlan,
    vlan_down,
)

BOND = DEVICES["bond0"]


@pytest.mark.parametrize(
    ("verdict", "mode", "protocol_number", "phrase"),
    [
        ("ANOTHER", "active-backup", 0x0800, "active slave"),
        ("ANOTHER", "balance-rr", 0x0800, "every slave receives in balance-rr"),
        ("ANOTHER", "802.3ad", 0x0800, "enabled port of 802.3ad"),
        ("EXACT", "802.3ad", 0x0800, "port of 802.3ad that is not enabled"),
        ("EXACT", "active-backup", 0x0806, "inactive slave"),
        ("PASS", "active-backup", 0x88CC, "link-local frame on an inactive slave"),
        ("CONSUMED", "802.3ad", 0x8809, "LACP frame consumed by the bond"),
        ("unknown", "active-backup", 0x0800, None),
    ],
)
def test_a_bonds_verdict_is_explained_by_its_mode(verdict, mode, protocol_number, phrase):
    asked = Asked(protocol_number, master=replace(BOND, bond_mode=mode))
    assert verdicts.reason(rx_handlers.BOND, verdict, asked) == phrase


@pytest.mark.parametrize(
    ("interval", "number", "looked"),
    [(100, 0x0806, True), (100, 0x0800, False), (0, 0x0806, False), (None, 0x0806, False)],
)
def test_the_arp_monitor_looks_at_arp_where_it_is_on(interval, number, looked):
    phrase = verdicts.reason(rx_handlers.BOND, "ANOTHER", Asked(number, master=replace(BOND, arp_interval_ms=interval)))

    assert phrase == "active slave" + ("; the ARP monitor looked at it" if looked else "")


def test_a_handler_that_is_not_known_has_the_general_reasons():
    assert [verdicts.reason("frobnicate", verdict, Asked(0x0800)) for verdict in ("CONSUMED", "PASS")] == [
        "taken over by the handler",
        "left to the device itself",
    ]


OWN = bytes.fromhex("020000000064")
LOWER = replace(BOND, address="02:00:00:00:00:64")
GROUP, LINK_LOCAL = bytes.fromhex("01005e000001"), bytes.fromhex("0180c200000e")


@pytest.mark.parametrize(
    ("function", "destination", "phrase"),
    [
        ("macvlan_handle_frame", BROADCAST, "broadcast: macvlans that take it get copies, by a queue"),
        ("macvlan_handle_frame", GROUP, "multicast: macvlans that take it get copies, by a queue"),
        ("macvlan_handle_frame", OWN, "for the lower device's own address"),
        ("macvlan_handle_frame", A, "unicast to an address that no macvlan has"),
        ("macvlan_handle_frame", b"", "for no macvlan alone"),
        ("ipvlan_handle_frame", BROADCAST, "broadcast: in mode l2 ipvlans get copies, by a queue"),
        ("ipvlan_handle_frame", GROUP, "multicast: in mode l2 ipvlans get copies, by a queue"),
        ("ipvlan_handle_frame", OWN, "for no address of an ipvlan; in mode l3s IP asks for that later"),
        ("br_handle_frame", LINK_LOCAL, "link-local frame left to the port"),
        ("br_handle_frame", A, "left to the port: ebtables' broute, MRP or CFM"),
        ("bond_handle_frame", LINK_LOCAL, "link-local frame on an inactive slave"),
        ("team_handle_frame", LINK_LOCAL, "link-local frame on a disabled port"),
    ],
)
def test_what_is_left_to_a_device_is_explained_by_the_packets_destination(function, destination, phrase):
    assert verdicts.reason(function, "PASS", Asked(0x0800, destination, LOWER)) == phrase


@pytest.mark.parametrize(
    ("number", "phrase"),
    [
        (0x0800, "not protected: left to the port, and copies to MACsec devices that are not strict"),
        (0x88E5, "protected, in a channel that no MACsec device has: left to the port"),
    ],
)
def test_what_macsec_leaves_is_explained_by_whether_it_is_protected(number, phrase):
    assert verdicts.reason("macsec_handle_frame", "PASS", Asked(number, A, LOWER)) == phrase


# --- VLAN devices --------------------------------------------------------------------------------------

UPPER = Device(HERE, 40, "bond0.200", "vlan", link=4, vlan_id=200, vlan_protocol=0x8100)


def vlan_step(frame, around, *steps):
    """The verdict and the reason of VLAN handling of a frame on bond0."""
    [journey] = journeys(rx("bond0", *steps, packet=frame), around=around)
    [step] = [one for one in journey.passes[0].steps if one.kind == "vlan"]
    return step.verdict, step.reason


def frame(protocol, number):
    return arp()[:12] + protocol.to_bytes(2, "big") + number.to_bytes(2, "big") + arp()[12:]


@pytest.mark.parametrize(
    ("upper", "number", "reason"),
    [
        (UPPER, 200, "bond0.200 is down: dropped"),
        (replace(UPPER, vlan_protocol=None), 200, "bond0.200 is down: dropped"),
        (replace(UPPER, up=True), 200, "dropped by the VLAN device"),  # out of memory, or just set down
        (UPPER, 201, "dropped by the VLAN device"),
    ],
)
def test_a_vlan_device_that_is_down_drops_the_packet(upper, number, reason):
    around = scene(devices={**DEVICES, "bond0.200": upper})

    assert vlan_step(frame(0x8100, number), around, vlan_down(), drop("NOT_SPECIFIED")) == ("CONSUMED", reason)


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (frame(0x8100, 200), ""),  # it was made only then
        (frame(0x8100, 201), ""),
        (frame(0x88A8, 200), " 802.1ad 200: bond0.200 takes 802.1Q 200"),
    ],
)
def test_a_tag_of_another_protocol_is_told(sent, more):
    around = scene(devices={**DEVICES, "bond0.200": replace(UPPER, up=True)})

    assert vlan_step(sent, around, vlan()) == ("PASS", f"no VLAN device took the tag{more}")


# A bridge br0 with the ports eth2 and veth0, whose other end lives in another namespace.
AROUND = scene(device_event(BEGIN_NS, replace(DEVICES["veth0"], master=DEVICES["br0"].ifindex)))


def taken(*more):
    """The reason of the bridge's verdict, with what follows it in the journey."""
    steps = [one for one in more if not hasattr(one, "records")]
    first = rx("eth2", handler("CONSUMED", function="br_handle_frame"), *steps, at=0, seq=5, lasts=40)
    found = journeys(first, *[one for one in more if hasattr(one, "records")], around=AROUND)
    return found[0].passes[0].steps[1].reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([rx("br0", at=5, seq=6, parent=5)], "taken by the bridge: passed up to br0"),
        ([tx("veth0", at=5, seq=6, parent=5)], "taken by the bridge: forwarded to veth0"),
        (
            [rx("br0", at=5, seq=6, parent=5), tx("veth0", at=7, seq=7, parent=5)],
            "taken by the bridge: passed up to br0, forwarded to veth0",
        ),
        ([rx("peer0", at=50)], "taken by the bridge: forwarded by a veth without taps"),
        ([drop("NOT_SPECIFIED")], "taken by the bridge: dropped by it"),
        ([], "taken by the bridge: where it went on is not traced"),
    ],
)
def test_a_bridge_is_told_with_where_the_packet_went_on(more, reason):
    assert taken(*more) == reason


def answers(passes, around):
    """{tap: (reason, detail)} of the only journey."""
    [journey] = journeys(passes, around=around)
    return {missed.tap: (missed.reason, missed.detail) for missed in journey.unseen}


def test_a_drop_before_the_bond_is_told_to_the_bonds_tap_with_the_kernels_reason():
    dropped = rx("eth0", tap(ON_ETH0), drop("TC_INGRESS"))

    assert answers(dropped, scene())[ON_BOND0] == (
        "dropped-before",
        "bound to bond0, and the packet went no further than eth0: the kernel dropped it in "
        "sch_handle_ingress: TC_INGRESS",
    )


def test_a_kernel_without_reasons_still_tells_who_dropped_it():
    around = scene(drop_reasons={})
    [journey] = journeys(rx("eth0", drop("TC_INGRESS")), around=around)

    assert [(step.function, step.reason) for step in journey.passes[0].steps[1:]] == [("sch_handle_ingress", None)]
    assert "it gives no reason" in answers(rx("eth0", drop("TC_INGRESS")), around)[ON_BOND0][1]


def test_a_vlan_devices_turn_is_a_round_and_its_lack_is_told():
    [journey] = journeys(
        rx("eth0", vlan(), handler("ANOTHER", "bond0"), vlan("bond0.7"), protocol("arp_rcv"), packet=arp())
    )

    assert [(step.kind, step.round, step.dev, step.verdict, step.next_dev) for step in journey.passes[0].steps[1:]] == [
        ("vlan", 1, "eth0", "PASS", None),
        ("rx_handler", 1, "eth0", "ANOTHER", "bond0"),
        ("vlan", 2, "bond0", "ANOTHER", "bond0.7"),
        ("protocol", 3, "bond0.7", None, None),
    ]


def test_a_macvlan_in_another_namespace_has_its_own_name_and_taps():
    # given a macvlan on bond0 whose ifindex is that of eth0 here
    away = Device(THERE, 2, "mv0", "macvlan", link=4, link_netnsid=0, link_netns=HERE)
    inside = replace(AROUND.tap(ON_BOND0, BEGIN_NS), inode=50001, netns=THERE, ifindex=2, dev="mv0")
    around = scene(
        devices={**{name: one for name, one in DEVICES.items() if name != "peer0"}, "mv0": away},
        taps={ON_ETH0: AROUND.tap(ON_ETH0, BEGIN_NS), 50001: inside},
    )
    whole = rx("bond0", handler("ANOTHER", "peer0", "macvlan_handle_frame"), enters(THERE), tap(50001), skb=SKB)

    # when told, then the last round is mv0's, and its tap has seen it
    [journey] = journeys(whole, around=around)
    assert [(step.kind, step.dev, step.netns) for step in journey.passes[0].steps] == [
        ("enter", "bond0", HERE),
        ("rx_handler", "bond0", HERE),
        ("tap", "mv0", THERE),
    ]
    assert journey.passes[0].steps[1].next_dev == "mv0"
    assert [missed.tap for missed in journey.unseen] == [ON_ETH0]
    # and where the bond kept the packet, the macvlan's tap is told so
    kept = rx("eth1", handler("EXACT"), packet=arp())
    assert answers(kept, around)[50001] == (
        "inactive-slave",
        "bound to mv0, and bond_handle_frame kept the packet on eth1: inactive slave (EXACT)",
    )


def test_a_handler_whose_address_has_no_name_is_told_by_it():
    around = scene()
    around.symbols.clear()
    [journey] = journeys(rx("eth0", handler("PASS")), around=around)

    assert journey.passes[0].steps[1].function == "0xc0001000"
