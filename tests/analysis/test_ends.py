# SPDX-License-Identifier: GPL-2.0-or-later
"""How the ways of a received packet ended. ``ends`` is (kind, place of its pass, detail) of each."""

from dataclasses import replace

import pytest

from bondtrace.analysis import ends as module
from bondtrace.format.events import device_event
from bondtrace.format.stages import BEYOND_IP, SOCKETS, SOCKETS6, TCP_SOCKETS
from bondtrace.model import ENDS
from build import (
    MORE_DEVICES,
    ON_5354,
    ON_8080,
    ON_ANY,
    ON_ETH0,
    RAW,
    SKB,
    TAPS,
    altered,
    answered,
    arp,
    beyond_ip,
    drop,
    echo,
    ether,
    fanout,
    forwarded,
    given,
    handler,
    ip4,
    ip6,
    journeys,
    late,
    local,
    protocol,
    queued,
    received,
    refusal,
    refused,
    rx,
    scene,
    sent,
    tap,
    tcp,
    tx,
    udp,
    vlan_down,
)

UP = handler("ANOTHER", "bond0")
IP = UP, protocol("ip_rcv")
UDP = ether(ip4(udp(destination=5354), 17))
ETH2 = 6  # its number
TCP = ether(ip4(tcp(destination=8080), 6))
FULL = refusal(ON_5354, "SOCKET_RCVBUFF")
SOLICITATION = ether(ip6(bytes([135, 0]) + bytes(22), 58), 0x86DD)
FORWARDED = ether(ip4(echo(), ttl=63, checksum=7))

QUEUED = "dnsd's UDP socket *:5354 [12385]: queued"
NO_ROOM = "dnsd's UDP socket *:5354 [12385]: no room in its receive buffer"
RAW_QUEUED = "radvd's raw ICMPv6 socket * [12387]: queued"
LISTENING = "TCP socket 10.9.0.2%bond0:8080 [12386]"


def journey(*passes, around=None):
    [one] = journeys(*passes, around=around or beyond_ip())
    return one


def ends(*passes, around=None):
    return [(end.kind, end.place, end.detail) for end in journey(*passes, around=around).ends]


def one_end(*steps, packet=None, around=None):
    """(kind, detail) of the one end of a packet that comes by eth0."""
    [(kind, place, detail)] = ends(rx("eth0", *steps, packet=packet), around=around)
    assert kind in ENDS and place == 0
    return kind, detail


def advice(*steps, packet=None):
    [end] = journey(rx("eth0", *steps, packet=packet)).ends
    return end.look_at


# --- sockets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "packet", "expected"),
    [
        ((*IP, local(17), given(ON_5354)), UDP, ("socket", QUEUED)),
        ((*IP, local(17), given(ON_5354), FULL), UDP, ("refused", NO_ROOM)),
        (
            (*IP, local(6), given(ON_8080, "tcp_v4_do_rcv", "LISTEN")),
            TCP,
            ("socket", f"{LISTENING}: taken by TCP (LISTEN)"),
        ),
        (
            (*IP, local(6), given(0, "tcp_check_req", "NEW_SYN_RECV"), given(ON_8080, "tcp_v4_do_rcv", "SYN_RECV")),
            TCP,
            (
                "socket",
                "a socket that no process holds (NEW_SYN_RECV): taken by TCP (NEW_SYN_RECV); "
                f"{LISTENING}: taken by TCP (SYN_RECV)",
            ),
        ),
        ((*IP, local(6), given(ON_8080, "tcp_add_backlog")), TCP, ("socket", f"{LISTENING}: put into its backlog")),
        (
            (*IP, local(6), given(ON_8080, "tcp_add_backlog"), refusal(ON_8080, "NOT_SPECIFIED")),
            TCP,
            ("refused", f"{LISTENING}: refused (NOT_SPECIFIED)"),
        ),
        (
            (*IP, local(6), given(0, "tcp_timewait_state_process", "TIME_WAIT")),
            TCP,
            ("socket", "a connection that is over (TIME_WAIT): taken by TCP (TIME_WAIT)"),
        ),
        (
            (*IP, local(17), given(ON_5354, tunnel=True)),
            UDP,
            ("socket", "dnsd's UDP socket *:5354 [12385]: taken out of its tunnel"),
        ),
        ((*IP, local(112), given(RAW, "raw_rcv")), None, ("socket", RAW_QUEUED)),
        ((*IP, local(17), given(77)), UDP, ("socket", "socket [77] (known only by its inode): queued")),
    ],
)
def test_a_packet_ends_at_the_socket_that_it_was_given_to(steps, packet, expected):
    assert one_end(*steps, packet=packet) == expected


def test_of_several_sockets_each_is_named_and_one_that_takes_it_is_enough():
    group = given(ON_5354), replace(FULL, result=1), given(77)
    kind, detail = one_end(*IP, local(17), *group, packet=UDP)

    assert (kind, detail) == ("socket", f"{NO_ROOM}; socket [77] (known only by its inode): queued")
    assert advice(*IP, local(17), *group, packet=UDP).startswith("the socket's receive buffer was full")


def test_a_socket_whose_filter_refuses_is_not_named_beside_one_that_takes_it():
    filtered = given(77, "raw_rcv"), refusal(77, "SOCKET_FILTER", result=1)
    assert one_end(*IP, local(17), *filtered, given(ON_5354), packet=UDP) == ("socket", QUEUED)
    assert advice(*IP, local(17), *filtered, given(ON_5354), packet=UDP) == ""
    assert one_end(*IP, local(17), *filtered, packet=UDP) == (
        "refused",
        "socket [77] (known only by its inode): refused by its filter",
    )


def test_a_socket_that_is_told_of_twice_is_named_once():
    assert one_end(*IP, local(17), given(ON_5354), given(ON_5354), packet=UDP) == ("socket", QUEUED)


# --- copies for raw and ping sockets -------------------------------------------------------------------


def test_that_a_raw_socket_has_a_copy_does_not_hide_what_became_of_the_packet():
    copied = given(RAW, "raw_rcv")
    assert one_end(*IP, local(6), copied, drop("NO_SOCKET", "tcp_v4_rcv"), packet=TCP) == (
        "dropped",
        f"dropped in tcp_v4_rcv: NO_SOCKET; copies: {RAW_QUEUED}",
    )
    assert advice(*IP, local(6), copied, drop("NO_SOCKET", "tcp_v4_rcv"), packet=TCP).startswith("no socket takes it")
    up6 = UP, protocol("ipv6_rcv"), local(58, "ip6_protocol_deliver_rcu")
    assert one_end(*up6, given(RAW, "rawv6_rcv"), answered("ndisc_send_na"), packet=SOLICITATION) == (
        "answered",
        f"answered by this host; copies: {RAW_QUEUED}",
    )
    assert one_end(*up6, given(RAW, "rawv6_rcv"), packet=SOLICITATION)[0] == "unanswered"


@pytest.mark.parametrize("reason", ["NO_SOCKET", "NOT_SPECIFIED"])
def test_an_echo_reply_that_a_raw_socket_has_is_not_told_as_dropped(reason):
    """icmp_rcv releases it so if no ping socket waits for it, too."""
    assert one_end(*IP, local(1), given(RAW, "raw_rcv"), drop(reason, "icmp_rcv")) == ("socket", RAW_QUEUED)
    harmless = "raw sockets (ping's) got copies before, and no ping socket waits for it"
    assert one_end(*IP, local(1), drop("NO_SOCKET", "icmp_rcv")) == (
        "dropped",
        f"dropped by design in icmp_rcv: NO_SOCKET; {harmless}",
    )


def test_a_checksum_that_is_wrong_is_no_release():
    dropped = replace(drop("NOT_SPECIFIED", "icmp_rcv"), arg=9)
    around = beyond_ip(drop_reasons={"9": "ICMP_CSUM"})
    assert one_end(*IP, local(1), given(RAW, "raw_rcv"), dropped, around=around) == (
        "dropped",
        f"dropped in icmp_rcv: ICMP_CSUM; copies: {RAW_QUEUED}",
    )


def test_a_socket_of_its_own_protocol_comes_before_what_raw_sockets_had():
    both_ = given(RAW, "raw_rcv"), given(ON_5354), FULL
    assert one_end(*IP, local(17), *both_, packet=UDP) == ("socket", f"{RAW_QUEUED}; {NO_ROOM}")


# --- dropped, answered, taken by the kernel ------------------------------------------------------------


@pytest.mark.parametrize("watched", [True, False])
def test_a_drop_is_told_with_its_reason_whether_or_not_more_is_watched(watched):
    around = beyond_ip() if watched else scene()
    assert one_end(*IP, drop("NO_SOCKET", "__udp4_lib_rcv"), packet=UDP, around=around) == (
        "dropped",
        "dropped in __udp4_lib_rcv: NO_SOCKET",
    )
    assert one_end(drop("TC_INGRESS", "sch_handle_ingress"), around=around) == (
        "dropped",
        "dropped in sch_handle_ingress: TC_INGRESS",
    )


def test_a_drop_without_a_reason_says_so():
    around = beyond_ip(drop_reasons={})
    assert one_end(*IP, drop("NO_SOCKET", "tcp_v4_rcv"), packet=TCP, around=around) == (
        "dropped",
        "dropped in tcp_v4_rcv: the kernel gives no reason",
    )


@pytest.mark.parametrize("steps", [(), (UP,), IP, (*IP, local(17))])
def test_that_a_copy_was_dropped_does_not_say_that_the_packet_was(steps):
    """As one that a mirror, or a socket of a group, had no room for."""
    kind, detail = one_end(*steps, drop("NO_SOCKET", "__udp4_lib_rcv", result=1), packet=UDP)
    assert kind == "unknown" and not detail.startswith("dropped")
    kind, detail = one_end(*IP, drop("NO_SOCKET", "__udp4_lib_rcv", result=1), packet=UDP, around=scene())
    assert (kind, detail) == ("not-watched", module.NOT_WATCHED)


@pytest.mark.parametrize(
    ("dropped", "own"),
    [
        (drop("NO_SOCKET", "__udp4_lib_rcv", result=1), True),
        (drop("NOT_SPECIFIED", "ip_rcv_core", result=1), True),  # as before 5.17, by the function's name
        (drop("NOT_SPECIFIED", "udp_queue_rcv_one_skb", result=1), False),
        (drop("SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", result=1), False),  # for one socket of a group
    ],
)
def test_what_ip_drops_while_others_are_still_to_be_given_the_packet_is_the_packet(dropped, own):
    # given a packet socket for IP alone, as a DHCP client's, after IP: IP works on a clone
    client = tap(ON_ANY, function="packet_rcv")
    kind, detail = one_end(*IP, dropped, client, packet=UDP)
    assert (kind == "dropped") == own == ("a copy of it" not in detail), detail
    # and where it is given the packet before IP is, IP has it alone: a clone is another one
    kind, detail = one_end(UP, client, IP[1], dropped, packet=UDP)
    assert kind == "unknown" and "a copy of it" in detail


def test_of_what_is_not_seen_it_is_said_that_a_copy_was_dropped():
    assert one_end(*IP, drop("NO_SOCKET", "__udp4_lib_rcv", result=1), packet=UDP) == (
        "unknown",
        "what became of it was not seen; a copy of it was dropped in __udp4_lib_rcv: NO_SOCKET",
    )


def test_requests_of_arp_are_answered_or_not():
    request = UP, protocol("arp_rcv")
    assert one_end(*request, answered(), packet=arp()) == ("answered", "answered by this host")
    assert one_end(*request, packet=arp()) == ("unanswered", "not answered by this host")
    assert "10.9.0.2" in advice(*request, packet=arp()) and "arp_ignore" in advice(*request, packet=arp())
    reply_ = ether(arp()[14:20] + b"\0\2" + arp()[22:], 0x0806)
    assert one_end(*request, packet=reply_) == ("protocol", "taken by the kernel's own ARP")


def test_solicitations_of_neighbour_discovery_are_answered_or_not():
    request = UP, protocol("ipv6_rcv"), local(58, "ip6_protocol_deliver_rcu")
    assert one_end(*request, answered("ndisc_send_na"), packet=SOLICITATION) == ("answered", "answered by this host")
    assert one_end(*request, packet=SOLICITATION) == ("unanswered", "not answered by this host")
    # of what is no solicitation nobody expects an answer
    other = ether(ip6(bytes([134, 0]) + bytes(22), 58), 0x86DD)
    assert one_end(*request, packet=other) == ("protocol", "taken by the kernel's own ICMPv6")


@pytest.mark.parametrize("name", ["icmpv6_rcv", "icmpv6_rcv.isra.0"])
@pytest.mark.parametrize("packet", [SOLICITATION, None])
def test_icmpv6_releases_what_it_has_worked_on_and_that_is_no_drop(packet, name):
    request = UP, protocol("ipv6_rcv"), local(58, "ip6_protocol_deliver_rcu")
    around = beyond_ip({"kind": "symbol", "time_ns": 1, "address": 0x81002000, "name": name})
    released = drop("NOT_SPECIFIED", "udp_queue_rcv_one_skb")  # at that address
    expected = "unanswered" if packet else "protocol"
    assert one_end(*request, released, packet=packet, around=around)[0] == expected
    assert one_end(*request, replace(released, arg=3), packet=packet, around=around)[0] == "dropped"


@pytest.mark.parametrize(
    ("number", "name"), [(1, "ICMP"), (2, "IGMP"), (47, "GRE"), (50, "ESP"), (132, "SCTP"), (200, "protocol 200")]
)
def test_a_protocol_of_the_kernel_takes_what_no_socket_is_given(number, name):
    assert one_end(*IP, local(number)) == ("protocol", f"taken by the kernel's own {name}")


@pytest.mark.parametrize(("number", "name"), [(6, "TCP"), (17, "UDP"), (136, "UDP-Lite")])
def test_a_protocol_whose_sockets_are_watched_is_not_said_to_have_taken_it(number, name):
    """A step was lost, or is not watched; or the kernel does what these rules do not know."""
    assert one_end(*IP, local(number)) == ("unknown", f"given to {name}; what became of it there was not seen")
    around = beyond_ip(missing=(TCP_SOCKETS,))
    assert one_end(*IP, local(number), around=around)[0] == "unknown"


def test_what_the_bond_eats_is_consumed_by_a_part_of_it():
    frame = ether(bytes([1, 1]) + bytes(108), 0x8809, dst=bytes.fromhex("0180c2000002"))
    kind, detail = one_end(tap(ON_ANY), handler("CONSUMED"), packet=frame)
    assert kind == "consumed" and detail.startswith("bond_handle_frame: ")


def test_a_vlan_device_that_is_down_consumes():
    assert one_end(vlan_down())[0] == "consumed"


# --- handed on, open -----------------------------------------------------------------------------------


def test_what_was_handed_on_and_not_received_ends_there():
    steps = *IP, local(47), queued("bond0.7")
    assert one_end(*IP, queued("bond0.7")) == ("handed-on", "handed to bond0.7, to be received there later")
    assert one_end(*steps) == ("protocol", "taken by the kernel's own GRE")


@pytest.mark.parametrize("function", ["ip_rcv", "ip_list_rcv", "ipv6_rcv", "ipv6_list_rcv", "arp_rcv"])
def test_without_the_stages_it_is_said_that_nothing_is_watched(function):
    steps = UP, tap(ON_ANY), protocol(function), fanout()
    assert one_end(*steps, around=scene()) == ("not-watched", "beyond IP not watched: --sockets")
    assert one_end(*steps, around=beyond_ip(missing=BEYOND_IP)) == ("not-watched", "beyond IP not watched: --sockets")
    assert one_end(*steps)[0] in ("unknown", "protocol")


@pytest.mark.parametrize(
    ("function", "stage"),
    [
        ("ip_rcv", SOCKETS),
        ("ip_list_rcv", SOCKETS),
        ("arp_rcv", SOCKETS),
        ("ipv6_rcv", SOCKETS6),
        ("ipv6_list_rcv", SOCKETS6),
    ],
)
def test_each_family_has_a_stage_of_its_own(function, stage):
    others = [one for one in BEYOND_IP if one != stage]
    assert one_end(UP, protocol(function), around=beyond_ip(missing=[stage]))[0] == "not-watched"
    assert one_end(UP, protocol(function), around=beyond_ip(missing=others))[0] != "not-watched"


@pytest.mark.parametrize("steps", [(), (tap(ON_ANY),), (UP,), (handler("EXACT"),), (tap(ON_ANY), fanout())])
@pytest.mark.parametrize("watched", [True, False])
def test_a_packet_that_got_to_no_protocol_is_unknown_and_not_unwatched(steps, watched):
    around = beyond_ip() if watched else scene()
    of_taps = "packet sockets took it; whether anything else did was not seen"
    expected = of_taps if tap(ON_ANY) in steps else "what became of it was not seen"
    assert one_end(*steps, around=around) == ("unknown", expected)


def test_a_packet_that_was_only_sent_has_no_end():
    assert ends(sent()) == []


def test_a_late_record_that_found_no_pass_ends_as_far_as_it_says():
    assert ends(late("eth2", protocol("ip_list_rcv"))) == [("unknown", 0, "what became of it was not seen")]
    assert ends(late("eth2", protocol("ip_list_rcv")), around=scene())[0][0] == "not-watched"


def test_older_recordings_say_of_nothing_more_than_they_saw():
    around = scene()
    assert ends(received(), around=around) == [("not-watched", 0, module.NOT_WATCHED)]
    of_taps = "packet sockets took it; whether anything else did was not seen"
    assert ends(refused(), around=around) == [("unknown", 0, of_taps)]


# --- several ways --------------------------------------------------------------------------------------


def nested(one, at=4, seq=6, **more):
    """A pass that ran within the first one (seq 5)."""
    return tx(one, at=at, seq=seq, parent=5, **more)


def test_a_packet_that_is_forwarded_ends_with_the_device_by_which_it_is_sent():
    passes = nested("eth2", packet=FORWARDED), rx("eth0", *IP, seq=5, lasts=9)
    assert ends(*passes) == ends(*passes, around=scene()) == [("sent", 1, "sent by eth2")]


def test_what_a_bond_sends_and_no_slave_is_seen_to_send_may_wait_or_be_gone():
    passes = nested("bond0", packet=FORWARDED, again=True), rx("eth2", *IP, seq=5, lasts=9)
    [end] = journey(*passes).ends
    assert (end.kind, end.place) == ("unknown", 1)
    assert end.detail == "sent by bond0, and not seen to be sent on: a queue may still hold it, or have dropped it"
    assert end.look_at == "`tc -s qdisc show dev eth0`"
    # but not where a tap would not have shown it, or it was seen
    for balanced in (), (altered("bond0", 0, bond_mode="balance-xor", active_slave=None),):
        around = scene(*balanced, taps={ON_ETH0: TAPS[ON_ETH0]} if balanced else {})
        assert ends(*passes, around=around) == [("sent", 1, "sent by bond0")]
    sent = tx("eth0", at=20, seq=7, packet=FORWARDED, again=True)
    assert ends(*passes, sent) == [("sent", 2, "sent by eth0")]


def test_where_no_tap_is_on_that_device_it_is_told_to_which_one_it_was_forwarded():
    words = "forwarded to eth2; what that sends is only seen where a tap is on it"
    [end] = journey(rx("eth0", *IP, forwarded(ETH2))).ends
    assert (end.kind, end.detail) == ("forwarded", words)
    assert end.look_at == "`ip neigh show dev eth2`, `tc -s qdisc show dev eth2`"
    # but not where it is seen to be sent, or dropped after that
    assert ends(nested("eth2", packet=FORWARDED), rx("eth0", *IP, forwarded(ETH2), seq=5, lasts=9)) == [
        ("sent", 1, "sent by eth2")
    ]
    assert ends(rx("eth0", *IP, forwarded(ETH2), drop("NETFILTER_DROP", "nf_hook_slow")))[0][0] == "dropped"


def test_a_route_without_a_device_is_told_as_such():
    [[kind, _, words]] = ends(rx("eth0", *IP, forwarded(0, "ip6_forward")))
    assert (kind, words.partition(";")[0]) == ("forwarded", "forwarded to a device that is not known")


def test_through_several_devices_it_is_sent_by_the_last():
    down = nested("bond0", at=3, seq=6, packet=FORWARDED), nested("eth1", at=5, seq=7, packet=FORWARDED)
    assert ends(*down, rx("eth2", protocol("ip_rcv"), seq=5, lasts=9)) == [("sent", 2, "sent by eth1")]


def test_a_packet_that_is_delivered_here_and_forwarded_has_both_ends():
    # given a multicast that is routed, and wanted by a socket here
    delivered = rx("eth0", *IP, local(17), given(ON_5354), packet=UDP, seq=5, lasts=9)
    routed = nested("eth2", packet=UDP[:22] + b"\x3f" + UDP[23:])

    assert ends(routed, delivered) == [("socket", 0, QUEUED), ("sent", 1, "sent by eth2")]


def test_each_branch_of_a_bridge_has_its_end():
    # given a broadcast that a bridge floods: to the host, to a device, and into another namespace
    flooded = rx("eth2", handler("CONSUMED", function="br_handle_frame"), seq=5, head=7, lasts=20, packet=UDP)
    to_host = rx("br0", protocol("ip_rcv"), local(17), given(ON_5354), at=2, seq=6, parent=5, head=7, packet=UDP)
    to_veth = nested("veth0", at=8, seq=7, skb=SKB + 64, head=7, packet=UDP)
    there = rx("peer0", drop("NO_SOCKET", "__udp4_lib_rcv"), at=30, seq=8, skb=SKB + 64, head=7, packet=UDP)

    assert ends(to_host, to_veth, flooded, there) == [
        ("socket", 1, QUEUED),
        ("dropped", 3, "dropped in __udp4_lib_rcv: NO_SOCKET"),
    ]


def test_a_bridges_copy_that_is_dropped_is_no_end_of_the_packet():
    flooded = rx(
        "eth2",
        handler("CONSUMED", function="br_handle_frame"),
        drop("NETFILTER_DROP", "nf_hook_slow", result=1),
        seq=5,
        lasts=20,
    )
    assert ends(rx("br0", protocol("ip_rcv"), at=2, seq=6, parent=5), flooded, around=scene()) == [
        ("not-watched", 1, module.NOT_WATCHED)
    ]


@pytest.mark.parametrize("watched", [True, False])
def test_a_mirror_does_not_hide_how_the_packet_ended(watched):
    # given tc's mirror on eth0, which sends a copy before the packet goes on
    around = beyond_ip() if watched else scene()
    mirrored = nested("eth2", at=1, skb=SKB + 64, head=7, packet=UDP)
    main = rx("eth0", tap(ON_ANY), *IP, seq=5, head=7, lasts=20, packet=UDP)

    assert ends(mirrored, main, around=around) == [
        ("unknown", 0, "what became of it was not seen") if watched else ("not-watched", 0, module.NOT_WATCHED),
        ("sent", 1, "sent by eth2"),
    ]


def test_that_a_vrf_shows_a_packet_is_no_way_on():
    # given a packet on a device of a VRF, which is shown to the VRF's taps
    devices = [MORE_DEVICES[name] for name in ("red", "eth3")]
    told = [device_event(1, one) for one in devices]
    shown = nested("red", at=3, seq=6)
    passes = shown, rx("eth3", protocol("ip_rcv"), seq=5, lasts=9)

    assert journey(*passes, around=scene(*told)).passes[1].shown
    assert ends(*passes, around=scene(*told)) == [("not-watched", 0, module.NOT_WATCHED)]
    delivered = rx("eth3", protocol("ip_rcv"), local(17), given(ON_5354), seq=5, lasts=9)
    assert ends(shown, delivered, around=beyond_ip(*told)) == [("socket", 0, QUEUED)]


def test_what_is_dropped_after_it_was_offered_to_the_transmit_taps_was_not_sent():
    # given a packet into another namespace whose queue is full
    forwarded = tx("veth0", drop("NOT_SPECIFIED", "ip_rcv_core"), at=4, seq=6, parent=5, packet=FORWARDED)
    assert ends(forwarded, rx("eth0", *IP, seq=5, lasts=9)) == [("dropped", 1, "dropped in ip_rcv_core: NOT_SPECIFIED")]
    copied = tx("veth0", drop("NOT_SPECIFIED", "ip_rcv_core", result=1), at=4, seq=6, parent=5, packet=FORWARDED)
    assert ends(copied, rx("eth0", *IP, seq=5, lasts=9)) == [("sent", 1, "sent by veth0")]


def test_what_an_inactive_slave_received_is_not_told_as_a_type_that_nobody_wants():
    kept = rx("eth1", tap(ON_ANY), handler("EXACT"), drop("UNHANDLED_PROTO"))
    [end] = journeys(kept, around=beyond_ip())[0].ends
    assert end.look_at == (
        "bond_handle_frame keeps what eth1 receives to that device (inactive slave); nobody there asked for it"
    )
    [other] = journeys(rx("eth2", drop("UNHANDLED_PROTO")), around=beyond_ip())[0].ends
    assert other.look_at.startswith("nobody on this device asked for that Ethernet type")
