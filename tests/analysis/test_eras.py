# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of older kernels, against tables worked out by hand from their sources.

A table has a row for each binding of a tap and a column for each kind of frame; a cell is what the tap is told
skb->dev is, or "-" where it is not offered the frame. The frames come by eth0 or eth1, slaves of bond0.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bondtrace.analysis.eras import ERAS, Frame, Offer, answers, by_null_or_orig, by_skb_bond, era_of, find_era
from bondtrace.cli import cli
from bondtrace.errors import UsageError
from bondtrace.format.events import tap_event
from build import (
    BEGIN_NS,
    DEVICES,
    LLDP,
    ON_5354,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    answered,
    beyond_ip,
    both,
    ether,
    fanout,
    given,
    handler,
    hook,
    journeys,
    local,
    protocol,
    received,
    refusal,
    refused,
    rx,
    scene,
    sent,
    tap,
    vlan,
)

# What arrives, how it is treated (by the bond's mode and the slave's state), for taps bound to nothing, to the slave it
# came by, to the bond, to the other slave. "inactive" frames are those that skb_bond_should_drop() is asked about.
FRAMES = {
    "active": (False, 0x0800, "active-backup"),
    "inactive": (True, 0x0800, "active-backup"),
    "inactive 802.3ad": (True, 0x0800, "802.3ad"),
    "LACP, inactive 802.3ad": (True, 0x8809, "802.3ad"),
    "LACP, active-backup": (True, 0x8809, "active-backup"),
    "broadcast, inactive alb": (True, 0x0806, "balance-alb"),
    "active alb": (False, 0x0800, "balance-alb"),
}
#                             any      slave    bond     other
SKB_BOND = {
    "active": ("bond0", "-", "bond0", "-"),
    "inactive": ("-", "-", "-", "-"),
    "inactive 802.3ad": ("-", "-", "-", "-"),
    "LACP, inactive 802.3ad": ("bond0", "-", "bond0", "-"),
    "LACP, active-backup": ("-", "-", "-", "-"),
    "broadcast, inactive alb": ("-", "-", "-", "-"),
    "active alb": ("bond0", "-", "bond0", "-"),
}
NULL_OR_ORIG = {
    "active": ("bond0", "bond0", "bond0", "-"),
    "inactive": ("-", "eth0", "-", "-"),
    "inactive 802.3ad": ("-", "eth0", "-", "-"),
    "LACP, inactive 802.3ad": ("bond0", "bond0", "bond0", "-"),
    "LACP, active-backup": ("-", "eth0", "-", "-"),
    "broadcast, inactive alb": ("-", "eth0", "-", "-"),
    "active alb": ("bond0", "bond0", "bond0", "-"),
}
BINDINGS = {"any": 0, "slave": 2, "bond": 4, "other": 3}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("rule", "table"), [(by_skb_bond, SKB_BOND), (by_null_or_orig, NULL_OR_ORIG)])
def test_a_rule_is_its_table(rule, table, frame):
    inactive, ethertype, mode = FRAMES[frame]
    bond = replace(DEVICES["bond0"], bond_mode=mode, arp_interval_ms=0)
    given = Frame("eth0", 2, bond.netns, ethertype, bond, inactive)

    found = {name: rule(ifindex, given)[0] for name, ifindex in BINDINGS.items()}

    expected = {name: [] if cell == "-" else [Offer(cell, "rx")] for name, cell in zip(BINDINGS, table[frame])}
    assert found == expected


BEYOND = local(17), given(ON_5354)


@pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
@pytest.mark.parametrize(
    "steps",
    [(protocol("ip_rcv"),), (handler("ANOTHER", "bond0"), protocol("ip_rcv")), (vlan("bond0.7"), protocol("ip_rcv"))],
)
def test_what_comes_beyond_ip_is_no_round_of_any_kernel(era, steps):
    """Nor is a refusal by a socket a drop before the taps."""
    refused_ = refusal(ON_5354, "SOCKET_RCVBUFF")
    told = []
    for more in ((), BEYOND, (*BEYOND, refused_), (answered(),)):
        around = beyond_ip(taps=TAPS)
        [journey] = journeys(rx("eth0", tap(ON_ANY), *steps, *more), around=around)
        told.append(answers(journey, around, era))
    assert told[1:] == told[:1] * 3 and len(told[0]) == len(TAPS)


@pytest.mark.parametrize("rule", [by_skb_bond, by_null_or_orig])
def test_without_a_bond_a_tap_matches_its_device_or_is_unbound(rule):
    given = Frame("eth2", 6, 1, 0x0800)

    assert {bound: rule(bound, given)[0] for bound in (0, 6, 7)} == {
        0: [Offer("eth2", "rx")],
        6: [Offer("eth2", "rx")],
        7: [],
    }


def around(**bond):
    """The scene of tests/build.py with what the old rules ask of the bond."""
    return scene(devices={**DEVICES, "bond0": replace(DEVICES["bond0"], arp_interval_ms=0, **bond)})


def told(journey, era, surroundings):
    """{tap: "rx eth0, rx bond0"}, "-" for not offered, "?" for unknown."""
    return {
        one.tap: "?"
        if one.modelled is None
        else ", ".join(f"{offer.direction} {offer.dev}" for offer in one.modelled) or "-"
        for one in answers(journey, surroundings, find_era(era))
    }


MODERN = ("2.6.39", "4.0", "4.19", "4.20", "6.15")
# A reply through the active slave; a broadcast on the backup slave; a request that is sent.
REPLY = {
    "2.6.18": {ON_ETH0: "-", ON_ETH1: "-", ON_BOND0: "rx bond0", ON_ANY: "rx bond0"},
    "2.6.32": {ON_ETH0: "rx bond0", ON_ETH1: "-", ON_BOND0: "rx bond0", ON_ANY: "rx bond0"},
    **{era: {ON_ETH0: "rx eth0", ON_ETH1: "-", ON_BOND0: "rx bond0", ON_ANY: "rx eth0, rx bond0"} for era in MODERN},
}
BROADCAST = {
    "2.6.18": dict.fromkeys((ON_ETH0, ON_ETH1, ON_BOND0, ON_ANY), "-"),
    "2.6.32": {ON_ETH0: "-", ON_ETH1: "rx eth1", ON_BOND0: "-", ON_ANY: "-"},
    **{era: {ON_ETH0: "-", ON_ETH1: "rx eth1", ON_BOND0: "-", ON_ANY: "rx eth1"} for era in MODERN},
}
REQUEST = {ON_ETH0: "tx eth0", ON_ETH1: "-", ON_BOND0: "tx bond0", ON_ANY: "tx bond0, tx eth0"}


@pytest.mark.parametrize("era", [one.name for one in ERAS])
def test_the_three_packets_of_the_ping_test(era):
    surroundings = around()
    reply, broadcast, request = journeys(received(), refused(50), sent(100), around=surroundings)

    like = "2.6.32" if era.startswith("rhel6") else era
    for journey, expected in ((reply, REPLY[like]), (broadcast, BROADCAST[like]), (request, REQUEST)):
        found = told(journey, era, surroundings)
        assert {inode: found[inode] for inode in expected} == expected


@pytest.mark.parametrize(
    ("era", "expected"),
    [("2.6.18", "-"), ("2.6.32", "rx eth1"), ("2.6.39", "rx eth1"), ("4.0", "rx eth1"), ("4.19", "rx eth1")],
)
def test_a_tap_for_lldp_on_the_backup_slave(era, expected):
    frame = ether(b"lldp", 0x88CC)
    surroundings = around()
    [journey] = journeys(rx("eth1", handler("PASS"), tap(LLDP), packet=frame), around=surroundings)

    assert told(journey, era, surroundings)[LLDP] == expected


@pytest.mark.parametrize(("era", "expected"), [("4.0", "-"), ("4.19", "rx eth1")])
def test_an_unbound_tap_for_lldp_gets_link_local_frames_of_the_backup_slave_since_4_19(era, expected):
    unbound = replace(TAPS[LLDP], ifindex=0, dev="")
    surroundings = scene(taps={**TAPS, LLDP: unbound})
    [journey] = journeys(rx("eth1", handler("PASS"), tap(LLDP), packet=ether(b"lldp", 0x88CC)), around=surroundings)

    assert told(journey, era, surroundings)[LLDP] == expected


@pytest.mark.parametrize(("era", "expected"), [("4.19", "tx bond0"), ("4.20", "-")])
def test_a_tap_can_refuse_what_is_sent_since_4_20(era, expected):
    taps = {**TAPS, ON_BOND0: replace(TAPS[ON_BOND0], ignore_outgoing=True)}
    surroundings = scene(taps=taps)
    [journey] = journeys(sent(), around=surroundings)

    assert told(journey, era, surroundings)[ON_BOND0] == expected


def test_what_is_not_known_is_unknown_and_says_why():
    # given an ARP monitor that may be on, a VLAN device, a fanout group, and an answer of the bond that is missing
    surroundings = scene()  # a recording that does not tell of the ARP monitor
    grouped = scene(taps={**TAPS, ON_ETH0: replace(TAPS[ON_ETH0], fanout_id=7)})
    cases = [
        (refused(), surroundings, ON_ETH1, "whether the ARP monitor wanted this frame is not recorded"),
        (
            rx("bond0", vlan("bond0.7"), protocol("ip_rcv")),
            surroundings,
            ON_BOND0,
            "how vlan_do_receive and its like were done then is not modelled",
        ),
        (
            rx("eth0", fanout(), tap(ON_ETH0)),
            grouped,
            ON_ETH0,
            "which member of a fanout group is chosen is not modelled",
        ),
        (rx("eth0", tap(ON_ETH0)), surroundings, ON_ETH0, "the bond's answer for eth0 was not recorded"),
    ]
    for passes, where, inode, why in cases:
        [journey] = journeys(passes, around=where)
        [answer] = [one for one in answers(journey, where, find_era("2.6.32")) if one.tap == inode]
        assert (answer.modelled, answer.why, answer.differs) == (None, why, False)


def test_an_era_that_is_not_there_is_wrong_use():
    with pytest.raises(UsageError) as raised:
        find_era("3.2")
    assert str(raised.value) == (
        "no era '3.2' is modelled: give one of 2.6.18, 2.6.32, rhel6.0, rhel6, 2.6.39, 4.0, 4.19, 4.20, 6.15"
    )


@pytest.mark.parametrize(
    ("release", "era"),
    [
        ("5.10.0-46-amd64", "4.20"),
        ("6.1.0-56-amd64", "4.20"),
        ("6.12.117+deb13-rt-amd64", "4.20"),
        ("6.18.15+deb13-amd64", "6.15"),
        ("7.3.4+deb13-amd64", "6.15"),
        ("4.18.0-553.el8", "4.0"),
    ],
)
def test_the_era_of_a_release(release, era):
    assert era_of(release).name == era


# --- as a user asks ------------------------------------------------------------------------------------

PING = Path(__file__).parents[2] / "examples" / "ping.arrows"


def said(*words):
    result = CliRunner().invoke(cli, [*map(str, words)], prog_name="bondtrace", catch_exceptions=True)
    assert result.exit_code == 0, result.output
    return result.output


def offers(era):
    """{(tap's device, "rx eth0"): modelled offers} of the ping recording, those that are not 0."""
    answer = json.loads(said("summary", PING, "--as-if", era, "--json"))
    device = {int(inode): tap["dev"] for inode, tap in answer["taps"].items()}
    return {
        (device[one["tap"]], f"{one['direction']} {one['dev']}"): one["modelled"]
        for one in answer["as_if"]["taps"]
        if one["modelled"]
    }


SENT = {("eth0", "tx eth0"): 4, ("bond0", "tx bond0"): 4}


@pytest.mark.parametrize(
    ("era", "received_there"),
    [
        # the symptom: eth0's tap has only what is sent, eth1's nothing
        ("2.6.18", {("bond0", "rx bond0"): 4}),
        ("2.6.32", {("bond0", "rx bond0"): 4, ("eth0", "rx bond0"): 4, ("eth1", "rx eth1"): 2}),
        ("rhel6", {("bond0", "rx bond0"): 4, ("eth0", "rx bond0"): 4, ("eth1", "rx eth1"): 2}),
        ("2.6.39", {("bond0", "rx bond0"): 4, ("eth0", "rx eth0"): 4, ("eth1", "rx eth1"): 2}),
        ("6.15", {("bond0", "rx bond0"): 4, ("eth0", "rx eth0"): 4, ("eth1", "rx eth1"): 2}),
    ],
)
def test_the_ping_as_if_on_an_older_kernel(era, received_there):
    assert offers(era) == {**SENT, **received_there}


def test_explain_names_the_rule_its_source_and_that_it_is_a_model():
    told = " ".join(said("explain", PING, "--journey", 5, "--as-if", "2.6.32").split())
    for words in (
        "null_or_orig, skb->dev or orig_dev",
        "netif_receive_skb in net/core/dev.c",
        "modelled from source, not run",
        "is told bond0: a libpcap from 1.0 to 1.9.1",
    ):
        assert words in told


def test_show_marks_what_differs_and_nothing_where_the_kernel_is_of_that_era():
    assert said("show", PING, "--as-if", "2.6.18").count("    ≠ ") == 6  # four for eth0's tap, two for eth1's
    assert said("show", PING, "--as-if", "4.20").count("    ≠ ") == 0
    assert said("show", PING, "--as-if", "4.20").count("modelled from source, not run") == 10


@pytest.mark.parametrize(
    "words",
    [
        ["show", PING, "--as-if", "3.2"],
        ["summary", "--iface", "lo", "--as-if", "2.6.18"],
        ["explain", "--iface", "lo", "--as-if", "2.6.18"],
    ],
)
def test_an_unknown_era_and_a_live_trace_are_wrong_use(words):
    result = CliRunner().invoke(cli, [*map(str, words)], prog_name="bondtrace")
    assert isinstance(result.exception, UsageError)
    assert "2.6.18" in str(result.exception)


def test_of_a_tap_that_was_not_read_as_it_was_bound_nothing_is_modelled():
    # given a tap that is bound anew and not read since
    around = scene(tap_event(BEGIN_NS, TAPS[ON_ETH0], read_ns=BEGIN_NS), taps={})
    around.take_hooks(both(hook(ON_ETH0, False, at=10_000), hook(ON_ETH0, True, at=10_100)))
    [journey] = journeys(received(at=30_000), around=around)

    [answer] = answers(journey, around, find_era("2.6.18"))
    assert (answer.tap, answer.recorded, answer.modelled) == (ON_ETH0, (Offer("eth0", "rx"),), None)
    assert answer.why == "how it was bound then was not read"
