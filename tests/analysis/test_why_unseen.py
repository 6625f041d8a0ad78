# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a tap was not offered a packet: each reason of the closed list, as the kernel's rules make it."""

from dataclasses import replace

import pytest

from bondtrace.analysis.why_unseen import NO_RULE, REASONS
from bondtrace.format.events import device_event, tap_event
from bondtrace.model import Device, Tap
from build import (
    BEGIN_NS,
    DEVICES,
    HERE,
    LLDP,
    MORE_DEVICES,
    ON_5354,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    SKB,
    TAPS,
    THERE,
    altered,
    answered,
    arp,
    both,
    drop,
    ether,
    fanout,
    forwarded,
    given,
    handler,
    hook,
    ip4,
    journeys,
    late,
    local,
    protocol,
    queued,
    received,
    refusal,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    tcpdump,
    tx,
    udp,
    vlan,
    vlan_down,
)

ASKED = 7
ARP_ON_BOND0 = Tap(ASKED, HERE, 4, 0x0806, "raw", "bond0", buffer="queue", running=True)
IP_ON_BOND0 = replace(ARP_ON_BOND0, protocol=0x0800)
CONSUMED = ("eth2", tap(ON_ANY), handler("CONSUMED", function="br_handle_frame"))


def why(asked, *passes, further=(), **more):
    """(reason, detail) for a tap beside those of ``TAPS``."""
    around = scene(*further, taps={**TAPS, asked.inode: asked}, **more)
    [journey] = journeys(*passes, around=around)
    [found] = [one for one in journey.unseen if one.tap == asked.inode]
    return found.reason, found.detail


@pytest.mark.parametrize(
    ("asked", "passes", "reason", "words"),
    [
        (tcpdump(ASKED, "eth1"), received(), "bound-elsewhere", "bound to eth1; the packet passed eth0 and bond0"),
        (ARP_ON_BOND0, received(), "protocol", "it takes only protocol 0x0806; this packet is 0x0800"),
        (replace(tcpdump(ASKED, "bond0"), netns=THERE), received(), "netns", "another network namespace"),
        (tcpdump(ASKED, "bond0"), refused(), "inactive-slave", "kept the packet on eth1: inactive slave (EXACT)"),
        (tcpdump(ASKED, "br0"), rx(*CONSUMED), "consumed-before", "br_handle_frame consumed the packet on eth2"),
        (tcpdump(ASKED, "bond0"), rx("eth0", drop("TC_INGRESS")), "dropped-before", "went no further than eth0"),
        (
            replace(tcpdump(ASKED, "bond0"), ignore_outgoing=True),
            tx("bond0", tap(ON_ANY), tap(ON_BOND0)),
            "outgoing-ignored",
            "PACKET_IGNORE_OUTGOING",
        ),
        (tcpdump(ASKED, "bond0"), tx("bond0", tap(ON_ANY), sender=ASKED), "own-packet", "it sent the packet itself"),
        (IP_ON_BOND0, tx("bond0", tap(ON_ANY)), "outgoing-not-offered", "only to taps for all protocols"),
        (replace(tcpdump(ASKED, "eth0"), ifindex=-1), received(), "not-running", "the device that it was bound to"),
        (replace(tcpdump(ASKED, "eth0"), protocol=0), received(), "not-running", "not been bound to a protocol"),
        (replace(tcpdump(ASKED, "eth0"), running=False), received(), "not-running", "it was not hooked in"),
        (tcpdump(ASKED, "eth0"), received(), "unknown", "no rule explains it"),
        (tcpdump(ASKED, "eth0"), tx("eth2", tap(ON_ANY), again=True), "unknown", "it had been received before"),
        (tcpdump(ASKED, "eth0"), tx("eth2", tap(ON_ANY)), "bound-elsewhere", "the packet passed eth2"),
        (tcpdump(ASKED, "eth0"), tx("bond0", tap(ON_ANY)), "unknown", "it was not seen to leave by eth0: a queue may"),
        (tcpdump(ASKED, "eth1"), tx("bond0", tap(ON_ANY)), "bound-elsewhere", "the packet passed bond0"),
        (tcpdump(ASKED, "eth0"), tx("bond0", drop("TC_INGRESS")), "bound-elsewhere", "the packet passed bond0"),
        (
            tcpdump(ASKED, "eth1"),
            both(rx("eth0", handler("ANOTHER", "bond0")), tx("eth2", tap(ON_ANY), again=True, seq=2, at=9)),
            "bound-elsewhere",
            "the packet passed eth0 and bond0 and eth2",
        ),
    ],
)
def test_a_reason(asked, passes, reason, words):
    found, detail = why(asked, passes)

    assert (found, words in detail) == (reason, True), detail
    assert reason in REASONS


def test_the_other_member_of_a_fanout_group_has_it():
    member = replace(tcpdump(ASKED, "eth0"), fanout_id=5)
    other = tap_event(BEGIN_NS, replace(TAPS[ON_ETH0], fanout_id=5))

    assert why(member, received(), further=[other]) == (
        "fanout-other-member",
        "fanout group 5 gave it to another member",
    )


def test_a_tap_that_opened_later():
    later = tap_event(BEGIN_NS + 2_000_000, tcpdump(ASKED, "eth0"), not_before_ns=BEGIN_NS + 1_000_000)
    around = scene(later)
    [journey] = journeys(received(), around=around)

    assert [(one.reason, one.detail) for one in journey.unseen if one.tap == ASKED] == [
        ("not-yet-open", "it was opened only afterwards")
    ]


def test_at_about_the_time_of_a_hook_the_answer_is_unknown():
    around = scene(taps={ASKED: tcpdump(ASKED, "eth0")})
    around.take_hooks(hook(ASKED, True, at=-100))
    [journey] = journeys(received(), around=around)

    assert [one.reason for one in journey.unseen] == ["unknown"]
    assert "at about that time" in journey.unseen[0].detail


def test_what_is_not_attached_is_not_told_as_absent():
    stages = [{"name": "ring taps", "tells": "", "without": "taps with a ring are not seen", "missing": "refused"}]

    reason, detail = why(tcpdump(ASKED, "eth0"), received(), stages=stages)

    assert reason == "not-watched" and detail.startswith("taps with a ring are not seen")


def test_a_tap_for_one_protocol_in_the_middle_of_the_way_is_not_served():
    on_vlan = {**DEVICES, "bond0.8": Device(HERE, 9, "bond0.8", "vlan", link=4)}
    packet = ether(ip4(udp(), protocol=17))
    passes = rx("eth0", handler("ANOTHER", "bond0"), handler("ANOTHER", "br0"), protocol("ip_rcv"), packet=packet)

    reason, detail = why(IP_ON_BOND0, passes, devices=on_vlan)

    assert reason == "bound-elsewhere" and "only on the first and the last device" in detail


# --- what is above what --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vxlan", "geneve", "gretap", "ipip", "xfrm"])
def test_a_tunnel_over_a_backup_slave_is_elsewhere_and_not_behind_the_slave(kind):
    """It was told ``inactive-slave``: its link is only where its outer packets leave."""
    tunnel = Device(HERE, 40, "tunnel0", kind, link=3, up=True)
    asked = replace(tcpdump(ASKED, "eth0"), ifindex=40, dev="tunnel0")

    assert why(asked, refused(), devices={**DEVICES, "tunnel0": tunnel}) == (
        "bound-elsewhere",
        "bound to tunnel0; the packet passed eth1",
    )


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "ipvlan", "macsec"])
def test_what_is_stacked_on_the_bond_is_behind_its_slave(kind):
    upper = Device(HERE, 40, "upper0", kind, link=4, up=True)
    asked = replace(tcpdump(ASKED, "eth0"), ifindex=40, dev="upper0")

    assert why(asked, refused(), devices={**DEVICES, "upper0": upper})[0] == "inactive-slave"


# --- before the taps -----------------------------------------------------------------------------------

CORE = "__netif_receive_skb_core.constprop.0"
XDP = drop("XDP", "do_xdp_generic")


@pytest.mark.parametrize(
    ("one", "how"),
    [
        (XDP, "do_xdp_generic: XDP"),
        (drop("NOT_SPECIFIED", "do_xdp_generic"), "do_xdp_generic: NOT_SPECIFIED"),
        (drop("NOT_SPECIFIED", "skb_vlan_untag"), "skb_vlan_untag: NOT_SPECIFIED"),
        (drop("XDP", CORE), f"{CORE}: XDP"),  # where the compiler put one function into the other
        (drop("PFMEMALLOC", CORE), f"{CORE}: PFMEMALLOC"),  # of the reserve: taps are passed over
    ],
)
@pytest.mark.parametrize("where", ["eth0", None])
def test_what_is_dropped_before_the_taps(one, how, where):
    assert why(tcpdump(ASKED, where), rx("eth0", one)) == (
        "dropped-before",
        f"the kernel dropped it in {how}, before the taps",
    )


def test_generic_xdp_of_the_bond_comes_before_the_bonds_taps():
    passes = rx("eth0", tap(ON_ETH0), handler("ANOTHER", "bond0"), XDP)

    assert why(tcpdump(ASKED, "bond0"), passes)[0] == "dropped-before"
    assert why(IP_ON_BOND0, passes)[0] == "dropped-before"
    assert why(tcpdump(ASKED, "bond0.7"), rx("eth0", handler("ANOTHER", "bond0"), XDP, packet=reply(tag=7))) == (
        "dropped-before",
        "bound to bond0.7, and the packet went no further than bond0: the kernel dropped it in do_xdp_generic: XDP",
    )


def test_a_kernel_without_reasons_drops_before_the_taps_too():
    found = why(tcpdump(ASKED, "eth0"), rx("eth0", drop("NOT_SPECIFIED", CORE)), drop_reasons={})

    assert found == ("dropped-before", f"the kernel dropped it in {CORE}: it gives no reason, before the taps")


@pytest.mark.parametrize(
    "steps",
    [
        [drop("TC_INGRESS")],
        [drop("NETFILTER_DROP", "nf_hook_slow")],
        [drop("UNHANDLED_PROTO", CORE)],
        [tap(ON_ETH0), XDP],
        [handler("EXACT"), drop("UNHANDLED_PROTO", CORE)],
    ],
)
def test_what_comes_behind_the_taps_is_no_reason_not_to_be_offered_a_packet(steps):
    assert why(tcpdump(ASKED, "eth0"), rx("eth0", *steps)) == ("unknown", NO_RULE)


@pytest.mark.parametrize(
    "one", [drop("TC_INGRESS"), drop("NETFILTER_DROP", "nf_hook_slow"), drop("XDP", "do_xdp_generic")]
)
def test_delivery_by_protocol_comes_behind_all_of_them(one):
    on_eth0 = replace(IP_ON_BOND0, ifindex=2, dev="eth0")
    reason, detail = why(on_eth0, rx("eth0", one))

    assert reason == "dropped-before" and detail.endswith("before delivery by protocol")


def test_what_vanishes_before_the_taps_was_taken_by_generic_xdp():
    assert why(tcpdump(ASKED, "eth0"), rx("eth0")) == (
        "dropped-before",
        "generic XDP took it on eth0 before the taps: it sent it back, or elsewhere",
    )
    # but where it would not be seen how the packet went on, that is not concluded
    assert why(tcpdump(ASKED, "eth0"), rx("eth0", packet=ether(b"", kind=0x8864))) == ("unknown", NO_RULE)
    stages = [{"name": "ip_rcv", "tells": "", "without": "delivery is not seen", "missing": "refused"}]
    assert why(tcpdump(ASKED, "eth0"), rx("eth0"), stages=stages) == ("unknown", NO_RULE)
    assert why(tcpdump(ASKED, "eth0"), rx("eth0", steps_lost=1)) == ("unknown", NO_RULE)


def test_what_generic_xdp_redirected_is_told_with_where_it_went():
    """Of any protocol: it was not delivered here, as it went on elsewhere."""
    whole = ether(bytes(40), kind=0x88B5)
    passes = rx("eth0", packet=whole, at=0, lasts=9), rx("peer0", tap(77), packet=whole, at=20)

    assert why(tcpdump(ASKED, "eth0"), *passes) == (
        "dropped-before",
        "generic XDP took it on eth0 before the taps; it went on to peer0",
    )


def test_a_packet_that_was_redirected_and_came_back_has_not_ended():
    # given eth0, whose ingress is shaped by an ifb: what comes back goes on to the bond
    ifb = {**DEVICES, "ifb0": MORE_DEVICES["ifb0"]}
    passes = [
        rx("eth0", tap(ON_ETH0), at=0, seq=1, lasts=9),
        tx("ifb0", at=2, seq=2, parent=1, again=True),
        rx("eth0", handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"), at=20, seq=3),
    ]
    mv0 = replace(tcpdump(ASKED, "bond0"), ifindex=41, dev="mv0")
    around = {**ifb, "mv0": Device(HERE, 41, "mv0", "macvlan", link=4, up=True)}

    assert why(mv0, *passes, devices=around)[0] == "bound-elsewhere"
    # and without that, where it went on is told
    reason, detail = why(mv0, *passes[:2], devices=around)
    assert reason == "dropped-before" and detail.endswith("; it went on to ifb0")


def test_what_was_dropped_on_its_way_out_was_dropped_before_the_taps_there():
    # given a routed packet that postrouting drops, when skb->dev is the outgoing device already
    dropped = drop("NETFILTER_DROP", "nf_hook_slow", dev="out0")
    passes = rx("eth0", handler("ANOTHER", "bond0"), protocol("ip_rcv"), dropped)

    asked = replace(tcpdump(ASKED, "eth0"), ifindex=MORE_DEVICES["out0"].ifindex, dev="out0")

    assert why(asked, passes, devices={**DEVICES, "out0": MORE_DEVICES["out0"]}) == (
        "dropped-before",
        "bound to out0, and before its taps the kernel dropped it in nf_hook_slow: NETFILTER_DROP",
    )
    # and an unbound tap has nothing to do with that place
    assert why(replace(ARP_ON_BOND0, ifindex=0, dev=""), passes)[0] == "protocol"


# --- namespaces ----------------------------------------------------------------------------------------

IN_BLUE = Device(THERE, 40, "bond0.7", "vlan", link=4, link_netnsid=0, link_netns=HERE, vlan_id=7, up=True)
BLUE = {**{name: one for name, one in DEVICES.items() if name != "bond0.7"}, "bond0.7": IN_BLUE}
ON_BLUE_VLAN = replace(tcpdump(ASKED, None), netns=THERE, ifindex=40, dev="bond0.7", kind="raw")
ON_ANY_BLUE = replace(tcpdump(ASKED, None), netns=THERE)


@pytest.mark.parametrize(
    ("asked", "bound"), [(ON_BLUE_VLAN, "bound to bond0.7"), (ON_ANY_BLUE, "in network namespace blue")]
)
@pytest.mark.parametrize(
    ("passes", "reason", "how"),
    [
        (
            refused(packet=reply(tag=7)),
            "inactive-slave",
            ", and bond_handle_frame kept the packet on eth1: inactive slave (EXACT)",
        ),
        (
            rx("eth0", drop("TC_INGRESS"), packet=reply(tag=7)),
            "dropped-before",
            ", and the packet went no further than eth0: the kernel dropped it in sch_handle_ingress: TC_INGRESS",
        ),
        (
            rx("eth1", handler("CONSUMED"), packet=reply(tag=7)),
            "consumed-before",
            ", and bond_handle_frame consumed the packet on eth1: consumed by the bond; why is not recorded",
        ),
    ],
)
def test_a_namespace_is_no_reason_where_the_way_leads_into_it(asked, bound, passes, reason, how):
    assert why(asked, passes, devices=BLUE) == (reason, f"{bound}{how}")


@pytest.mark.parametrize("packet", [reply(), reply(tag=8)])
def test_where_nothing_leads_into_a_namespace_it_is_the_reason(packet):
    """The VLAN device there takes other packets than these."""
    for asked in (ON_BLUE_VLAN, ON_ANY_BLUE):
        assert why(asked, refused(packet=packet), devices=BLUE) == ("netns", "it lives in another network namespace")


def test_a_bridge_may_tag_what_it_hands_on():
    on_bridge = {**DEVICES, "br0.9": Device(HERE, 40, "br0.9", "vlan", link=7, vlan_id=9, up=True)}
    asked = replace(tcpdump(ASKED, "br0"), ifindex=40, dev="br0.9")

    assert why(asked, rx(*CONSUMED), devices=on_bridge)[0] == "consumed-before"
    # but where it was handed on without a tag, that decides
    passed = rx("eth2", tap(ON_ANY), handler("CONSUMED", function="br_handle_frame"), seq=1, lasts=9)
    assert why(asked, passed, rx("br0", at=2, seq=2, parent=1), devices=on_bridge) == (
        "bound-elsewhere",
        "bound to br0.9; the packet passed eth2 and br0",
    )


# --- VLANs ---------------------------------------------------------------------------------------------


def qinq(*tags):
    """An IPv4 packet with these tags (protocol, id) in its bytes."""
    whole = reply()
    return (
        whole[:12] + b"".join(one.to_bytes(2, "big") + number.to_bytes(2, "big") for one, number in tags) + whole[12:]
    )


def test_behind_a_tag_that_nobody_takes_the_next_is_the_protocol():
    passes = rx(
        "eth0",
        vlan(),
        handler("ANOTHER", "bond0"),
        vlan(),
        drop("UNHANDLED_PROTO", CORE),
        packet=qinq((0x88A8, 10), (0x8100, 20)),
    )

    assert why(IP_ON_BOND0, passes) == (
        "protocol",
        "it takes only protocol 0x0800; this packet is 0x8100 at delivery: that of a tag which is still in its bytes",
    )
    # and a tap for that protocol may have been offered it
    assert why(replace(IP_ON_BOND0, protocol=0x8100), passes)[0] != "protocol"


def test_a_tap_for_tagged_packets_sees_none_with_one_tag():
    passes = rx("eth0", vlan(), handler("ANOTHER", "bond0"), vlan(), protocol("ip_rcv"), packet=reply(tag=9))

    assert why(replace(IP_ON_BOND0, protocol=0x8100), passes) == (
        "protocol",
        "it takes only protocol 0x8100; this packet is 0x0800 at delivery: its tag was taken out of its bytes",
    )


def test_a_vlan_device_that_is_down_is_where_the_packet_ends():
    down = Device(HERE, 40, "bond0.200", "vlan", link=4, vlan_id=200)
    around = {**DEVICES, "bond0.200": down, "mv0": Device(HERE, 41, "mv0", "macvlan", link=40, up=True)}
    steps = vlan(), handler("ANOTHER", "bond0"), vlan_down(), drop("NOT_SPECIFIED", "vlan_do_receive")
    passes = rx("eth0", *steps, packet=reply(tag=200))
    mv0 = replace(tcpdump(ASKED, "bond0"), ifindex=41, dev="mv0")

    assert why(mv0, passes, devices=around) == (
        "dropped-before",
        "bound to mv0, and the packet went no further than bond0: bond0.200 is down: dropped",
    )
    assert why(IP_ON_BOND0, passes, devices=around)[0] == "dropped-before"


def test_a_vlan_device_of_another_protocol_is_not_on_the_way():
    upper = Device(HERE, 40, "bond0.100", "vlan", link=4, vlan_id=100, vlan_protocol=0x8100, up=True)
    asked = replace(tcpdump(ASKED, "bond0"), ifindex=40, dev="bond0.100")
    steps = vlan(), handler("ANOTHER", "bond0"), vlan(), drop("UNHANDLED_PROTO", CORE)
    passes = rx("eth0", *steps, packet=qinq((0x88A8, 100), (0x8100, 7)))

    assert why(asked, passes, devices={**DEVICES, "bond0.100": upper}) == (
        "bound-elsewhere",
        "bound to bond0.100; the packet passed eth0 and bond0: no VLAN device took the tag 802.1ad 100: bond0.100 "
        "takes 802.1Q 100",
    )


# --- what a handler left, or gave to another -----------------------------------------------------------


def test_what_a_macvlan_leaves_is_quoted_for_the_taps_above():
    around = {**DEVICES, "mv0": Device(HERE, 40, "mv0", "macvlan", link=4, up=True), "mv1": mv1}
    on_mv1 = replace(tcpdump(ASKED, "bond0"), ifindex=41, dev="mv1")
    left = rx("bond0", handler("PASS", function="macvlan_handle_frame"), protocol("ip_rcv"))

    assert why(on_mv1, left, devices=around) == (
        "bound-elsewhere",
        "bound to mv1, and macvlan_handle_frame left the packet to bond0: unicast to an address that no macvlan has "
        "(PASS)",
    )


def test_what_a_macvlan_takes_is_quoted_for_the_taps_of_its_sister():
    given = rx("bond0", handler("ANOTHER", "eth2", "macvlan_handle_frame"), protocol("ip_rcv"))
    around = {**DEVICES, "mv1": mv1, "eth2": Device(HERE, 6, "mv0", "macvlan", link=4, up=True)}

    assert why(replace(tcpdump(ASKED, "bond0"), ifindex=41, dev="mv1"), given, devices=around) == (
        "bound-elsewhere",
        "bound to mv1, and macvlan_handle_frame gave the packet to mv0: for the upper device's address (ANOTHER)",
    )


mv1 = Device(HERE, 41, "mv1", "macvlan", link=4, up=True)


def test_what_a_bridge_leaves_is_quoted_for_its_taps():
    left = rx("eth2", handler("PASS", function="br_handle_frame"), packet=ether(b"", 0x88CC, dst=LINK_LOCAL))

    assert why(tcpdump(ASKED, "br0"), left) == (
        "bound-elsewhere",
        "bound to br0, and br_handle_frame left the packet to eth2: link-local frame left to the port (PASS)",
    )


LINK_LOCAL = bytes.fromhex("0180c200000e")

# --- fanout groups -------------------------------------------------------------------------------------

FRAGMENT = ether(ip4(bytes(8), offset=0x2000))
HELD = (
    "held-for-reassembly",
    "fanout group 5 holds the fragment for reassembly (PACKET_FANOUT_FLAG_DEFRAG): with the last one a member gets the "
    "whole datagram",
)


def member(inode=ASKED, group=5, kind=0, dev="eth0"):
    return replace(tcpdump(inode, dev), fanout_id=group, fanout_type=kind)


@pytest.mark.parametrize("kind", [0x8000, 0, None])
def test_a_fragment_is_held_by_the_group_that_was_offered_it(kind):
    """The flag can be read only where the group's process may be inspected; without it the only group is meant."""
    assert why(member(kind=kind), rx("eth0", fanout(), tap(ON_ETH0), packet=FRAGMENT)) == HELD


def test_a_fragment_that_is_sent_is_held_too():
    assert why(member(kind=0x8000), tx("eth0", fanout(), packet=FRAGMENT)) == HELD
    assert why(member(kind=0xC000), tx("eth0", packet=FRAGMENT))[0] == "outgoing-ignored"
    assert why(replace(member(kind=0x8000), protocol=0x0800), tx("eth0", packet=FRAGMENT))[0] == "outgoing-not-offered"
    assert why(member(kind=0x8000), tx("eth0", fanout(), packet=FRAGMENT, sender=ASKED))[0] == "own-packet"


def test_which_of_two_groups_holds_a_fragment_is_not_guessed():
    other = tap_event(BEGIN_NS, member(8, group=6, kind=1))
    passes = rx("eth0", fanout(), fanout(), tap(8), packet=FRAGMENT)

    assert why(member(), passes, further=[other]) == HELD
    # where neither has it, only the one that is known to reassemble is meant
    passes = rx("eth0", fanout(), packet=FRAGMENT)
    assert why(member(), passes, further=[other]) == ("unknown", NO_RULE)
    assert why(member(kind=0x8001), passes, further=[other]) == HELD


def test_what_is_no_fragment_is_not_held():
    assert why(member(kind=0x8000), rx("eth0", fanout())) == ("unknown", NO_RULE)
    assert why(member(kind=0x8000), rx("eth0", packet=FRAGMENT, at=0, steps_lost=1))[0] == "unknown"


@pytest.mark.parametrize(
    ("kind", "own", "reason"), [(0x4000, False, "outgoing-ignored"), (0, True, "unknown"), (None, None, "unknown")]
)
def test_of_a_group_only_its_own_flag_keeps_it_from_what_is_sent(kind, own, reason):
    asked = replace(member(kind=kind), ignore_outgoing=own)

    assert why(asked, tx("eth0", tap(ON_ETH0)))[0] == reason


# --- handed on ------------------------------------------------------------------------------------------


def test_what_was_handed_to_a_tunnel_and_not_seen_there_is_not_elsewhere():
    around = {**DEVICES, "vx0": MORE_DEVICES["vx0"]}
    asked = replace(tcpdump(ASKED, "eth0"), ifindex=MORE_DEVICES["vx0"].ifindex, dev="vx0")
    passes = rx("eth0", tap(ON_ETH0), protocol("ip_rcv"), queued("vx0"))

    assert why(asked, passes, devices=around) == (
        "handed-on",
        "gro_cells_receive handed it to vx0, where it was not received by itself: GRO may have made one packet of "
        "several",
    )
    assert why(tcpdump(ASKED, "eth0"), passes, devices=around) == ("unknown", NO_RULE)


# --- VRF -----------------------------------------------------------------------------------------------

RED = {**DEVICES, "bond0": replace(DEVICES["bond0"], master=MORE_DEVICES["red"].ifindex), "red": MORE_DEVICES["red"]}
ON_RED = replace(tcpdump(ASKED, "bond0"), ifindex=MORE_DEVICES["red"].ifindex, dev="red")
UP = tap(ON_ETH0), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv")
SHOWN = [rx("eth0", *UP, seq=1, lasts=30), tx("red", at=12, seq=2, parent=1, again=True)]


@pytest.mark.parametrize(
    ("asked", "passes", "reason", "words"),
    [
        (replace(ON_RED, ignore_outgoing=True), SHOWN, "outgoing-ignored", "a VRF shows received packets as outgoing"),
        (replace(ON_RED, protocol=0x0800), SHOWN, "outgoing-not-offered", "a VRF shows received packets as outgoing"),
        # where no tap for all protocols listens on it, there is nothing to be seen of it
        (replace(ON_RED, protocol=0x0800), SHOWN[:1], "outgoing-not-offered", "only to taps for all protocols"),
        (ON_RED, SHOWN[:1], "bound-elsewhere", "unicast IP packets only, and no neighbour discovery"),
        (ON_RED, [rx("eth0", drop("TC_INGRESS"))], "dropped-before", "went no further than eth0"),
        (
            ON_RED,
            [rx("eth0", *UP, drop("NETFILTER_DROP", "nf_hook_slow"))],
            "dropped-before",
            "went no further than bond0: the kernel dropped it in nf_hook_slow: NETFILTER_DROP",
        ),
        # a multicast: IP has it on the VRF, and its taps are not shown it
        (
            ON_RED,
            [rx("eth0", *UP, drop("NO_SOCKET", "udp_queue_rcv_one_skb", dev="red"))],
            "bound-elsewhere",
            "unicast IP packets only",
        ),
        (ON_RED, [rx("eth1", handler("EXACT"), packet=arp())], "inactive-slave", "inactive slave (EXACT)"),
    ],
)
def test_a_vrf_shows_received_packets_to_taps_for_all_protocols(asked, passes, reason, words):
    found, detail = why(asked, *passes, devices=RED)

    assert (found, words in detail) == (reason, True), detail


def test_taps_that_were_offered_it_have_no_reason():
    [one, *_] = journeys(sent())

    offered = {step.tap for passed in one.passes for step in passed.steps if step.tap}
    assert offered == {ON_ANY, ON_BOND0, ON_ETH0}
    assert {unseen.tap for unseen in one.unseen} == {ON_ETH1, LLDP}


# --- what comes beyond IP ------------------------------------------------------------------------------

FULL = refusal(ON_5354, "SOCKET_RCVBUFF")
DELIVERED = (
    (protocol("ip_rcv"),),
    (tap(ON_ETH0), handler("ANOTHER", "bond0"), protocol("ip_rcv")),
    (handler("ANOTHER", "bond0"), vlan("bond0.7"), protocol("ip_list_rcv")),
)
ASKING = [
    *(tcpdump(ASKED, dev) for dev in ("eth0", "eth1", "bond0", "bond0.7", "br0", None)),
    ARP_ON_BOND0,
    IP_ON_BOND0,
    replace(IP_ON_BOND0, ifindex=0, dev=""),
    replace(tcpdump(ASKED, "bond0"), netns=THERE),
]


@pytest.mark.parametrize("steps", DELIVERED)
@pytest.mark.parametrize("more", [(local(17), given(ON_5354)), (local(1),), (answered(),), (forwarded(6),)])
@pytest.mark.parametrize("packet", [None, reply(tag=7)])
def test_what_becomes_of_a_packet_beyond_ip_explains_no_absence(steps, more, packet):
    for asked in ASKING:
        assert why(asked, rx("eth0", *steps, *more, packet=packet)) == why(asked, rx("eth0", *steps, packet=packet))


@pytest.mark.parametrize("steps", DELIVERED)
def test_a_drop_beyond_ip_explains_the_same_whether_or_not_a_socket_is_known_to_have_refused_it(steps):
    for asked in ASKING:
        known = why(asked, rx("eth0", *steps, local(17), given(ON_5354), FULL))
        assert known == why(asked, rx("eth0", *steps, replace(FULL, func=0, decided_by=None)))
        copied = given(ON_5354, "raw_rcv"), replace(FULL, result=1)
        assert why(asked, rx("eth0", *steps, local(17), *copied)) == why(asked, rx("eth0", *steps))


def test_a_vrfs_taps_are_answered_for_as_without_the_steps_of_its_device():
    """What IP gives on within a VRF is on the VRF's device by then: a list's steps come from there."""
    more = {"skb": SKB, "head": 7, "frame": 9, "packet": ether(ip4(udp(), 17))}
    listed = rx("eth3", protocol("ip_list_rcv"), in_list=True, **more)
    beyond = late("red", local(17), given(ON_5354), at=9, **more)
    further = [device_event(BEGIN_NS, MORE_DEVICES[name]) for name in ("red", "eth3")]
    for asked in (
        Tap(ASKED, HERE, 20, 3, "raw", "red", running=True),
        Tap(ASKED, HERE, 20, 0x0806, "raw", "red", running=True),
    ):
        assert why(asked, listed, beyond, further=further) == why(asked, listed, further=further)


def test_what_may_have_left_by_a_slave_without_a_tap_is_not_told_to_wait_in_a_queue():
    # given a bond that sends by both slaves, a tap on one of them
    balanced = altered("bond0", 0, bond_mode="balance-xor", active_slave=None)
    eth0 = tcpdump(ASKED, "eth0")
    [journey] = journeys(tx("bond0"), around=scene(balanced, taps={ASKED: eth0}))
    [found] = journey.unseen
    words = "bond0 sent it, and it was not seen to leave by eth0: it may have left by eth1, where no tap would show it"
    assert (found.reason, found.detail) == ("bound-elsewhere", words)

    # when the other one has a tap, too, then it was seen nowhere
    eth1 = tcpdump(ASKED + 1, "eth1")
    [journey] = journeys(tx("bond0"), around=scene(balanced, taps={ASKED: eth0, ASKED + 1: eth1}))
    assert {one.reason for one in journey.unseen} == {"unknown"}
