# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace does not cover is not told as absent, and is named with the option that would include it."""

import io
from dataclasses import replace

import pytest
from traced import Source

from bondtrace.analysis import coverage, watched
from bondtrace.capture.live import source
from bondtrace.commands import live
from bondtrace.format.batch import Batch
from bondtrace.format.events import device_event, device_gone_event, tap_event
from bondtrace.format.wire import EMPTY
from bondtrace.model import Device, Tap
from bondtrace.reporters import table, text
from bondtrace.stats.summary import Summary
from build import (
    BEGIN_NS,
    DEVICES,
    HERE,
    LLDP,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    THERE,
    altered,
    events,
    journeys,
    received,
    scene,
    stitched,
    tcpdump,
)

ASKED = 7
ETH5 = Device(HERE, 15, "eth5", "ether", up=True)
ON_ETH5 = replace(tcpdump(ASKED, "eth0"), ifindex=15, dev="eth5")
TUNNEL = Device(HERE, 16, "vxlan0", "vxlan", link=4, up=True)
DEVICES_HERE = {**DEVICES, "eth5": ETH5, "vxlan0": TUNNEL}


def covering(*names, taps=TAPS, namespaces=(HERE,), further=()):
    """The scene of a trace of these names."""
    return scene(*further, taps=taps, devices=DEVICES_HERE, interfaces=list(names), namespaces=list(namespaces))


def reasons(around, *passes):
    [journey] = journeys(*(passes or (received(),)), around=around)
    return {one.tap: (one.reason, one.detail) for one in journey.unseen}


def test_the_family_of_the_named_device_is_covered():
    traced = covering("bond0").traced(BEGIN_NS)

    names = {device.name for device in DEVICES_HERE.values() if (device.netns, device.ifindex) in traced}
    assert names == {"bond0", "eth0", "eth1", "bond0.7"}


def test_without_a_name_all_of_the_namespaces_is_covered():
    assert covering().traced(BEGIN_NS) == {key for key in covering().devices if key[0] == HERE}


def test_an_older_recording_does_not_say_and_nothing_is_concluded():
    around = scene(devices=DEVICES_HERE, taps={**TAPS, ASKED: ON_ETH5})

    assert around.traced(BEGIN_NS) is None and coverage.line(around) == ""
    assert reasons(around)[ASKED][0] == "bound-elsewhere"


@pytest.mark.parametrize("dev, ifindex", [("eth5", 15), ("vxlan0", 16)])
def test_a_tap_outside_is_not_told_as_absent(dev, ifindex):
    outside = replace(ON_ETH5, ifindex=ifindex, dev=dev)
    around = covering("bond0", taps={**TAPS, ASKED: outside})

    assert reasons(around)[ASKED] == (
        "not-traced",
        f"bound to {dev}, of which this trace records nothing: bondtrace cannot tell",
    )
    assert {inode: reason for inode, (reason, _) in reasons(around).items() if inode != ASKED} == {
        ON_ETH1: "bound-elsewhere",
        LLDP: "bound-elsewhere",
    }


@pytest.mark.parametrize("ifindex", [0, 2])
def test_a_tap_of_another_namespace_is_outside_where_nothing_of_that_is_traced(ifindex):
    away = Tap(ASKED, THERE, ifindex, 3, "raw", buffer="ring", running=True)

    assert reasons(covering("bond0", taps={**TAPS, ASKED: away}))[ASKED][0] == "not-traced"
    assert reasons(covering(taps={**TAPS, ASKED: away}, namespaces=(HERE, THERE)))[ASKED][0] != "not-traced"


def test_where_the_packet_was_seen_the_answer_is_known_though_the_device_is_not_traced():
    # given a packet that a traced device handed on to one that is not
    around = covering("eth5")

    assert reasons(around)[ON_ETH1][0] == "not-traced"
    assert ON_BOND0 not in reasons(around) and ON_ANY not in reasons(around)


def test_a_device_is_covered_once_it_is_called_so():
    around = covering("lan0", taps={ON_ETH0: TAPS[ON_ETH0]}, further=[altered("eth0", 10, name="lan0")])

    assert (HERE, 2) not in around.traced(BEGIN_NS) and (HERE, 2) in around.traced(BEGIN_NS + 10_000)
    # and a rename does not lose it
    around.apply(altered("eth0", 20, name="old0"))
    assert (HERE, 2) in around.traced(BEGIN_NS + 99_000)


def test_a_tap_that_was_inside_at_the_start_is_not_outside_because_the_bond_was_taken_down():
    around = covering("bond0", further=[altered("eth0", 10, master=None)])
    around.apply(device_gone_event(BEGIN_NS + 20_000, HERE, 4))

    assert watched.outside(TAPS[ON_ETH0], around, 1 << 62) is not None
    assert not watched.is_outside(TAPS[ON_ETH0], around) and watched.totals_known(TAPS[ON_ETH0], around)


def test_one_line_names_devices_taps_and_the_option():
    away = Tap(9, THERE, 0, 3, "raw", buffer="ring", running=True)
    around = covering("bond0", taps={**TAPS, ASKED: ON_ETH5, 8: replace(ON_ETH5, inode=8), 9: away})

    assert coverage.line(around) == (
        "not traced: eth5 (2 taps), network namespace blue ((no process: held by the kernel or hidden) [9]); "
        "`--netns host --netns blue` would include them"
    )
    assert coverage.line(covering("bond0")) == ""


# --- beyond the traced namespaces ----------------------------------------------------------------------

AWAY_VLAN = Device(THERE, 20, "bond0.50", "vlan", link=4, link_netnsid=0, link_netns=HERE, up=True)
AWAY_ETH = Device(THERE, 21, "eth0", "veth", up=True)
AWAY_WG = Device(THERE, 22, "wg0", "wireguard", up=True, underlay=((HERE, 4),))
AWAY_VXLAN = Device(THERE, 23, "vx0", "vxlan", up=True)
BEYOND = [device_event(BEGIN_NS, one) for one in (AWAY_VLAN, AWAY_ETH, AWAY_WG, AWAY_VXLAN)]


def on(device, inode):
    return Tap(inode, device.netns, device.ifindex, 3, "raw", device.name, buffer="ring", running=True)


@pytest.mark.parametrize("more", [{"reaches_out": True}, {}])
def test_what_is_stacked_on_the_named_device_or_runs_over_it_is_covered_in_any_namespace(more):
    around = scene(*BEYOND, devices=DEVICES_HERE, interfaces=["bond0"], namespaces=[HERE], **more)

    away = {key for key in around.traced(BEGIN_NS) if key[0] == THERE}
    assert away == {(THERE, AWAY_VLAN.ifindex), (THERE, AWAY_WG.ifindex)}


@pytest.mark.parametrize("reaches_out, expected", [(True, {20, 22}), (False, set())])
def test_without_names_it_is_covered_where_the_trace_says_so(reaches_out, expected):
    around = scene(*BEYOND, devices=DEVICES_HERE, interfaces=[], namespaces=[HERE], reaches_out=reaches_out)

    assert {ifindex for netns, ifindex in around.traced(BEGIN_NS) if netns == THERE} == expected
    assert {key for key in around.traced(BEGIN_NS) if key[0] == HERE} == {
        key for key in around.devices if key[0] == HERE
    }


def test_what_a_tunnel_runs_over_may_become_known_later():
    around = scene(*BEYOND, devices=DEVICES_HERE, interfaces=["bond0"], namespaces=[HERE])
    around.apply(device_event(BEGIN_NS + 10_000, replace(AWAY_VXLAN, underlay=((HERE, 5),))))

    assert (THERE, 23) not in around.traced(BEGIN_NS) and (THERE, 23) in around.traced(BEGIN_NS + 10_000)


def test_what_comes_to_be_stacked_elsewhere_is_covered_from_when_it_is_found():
    around = scene(devices=DEVICES_HERE, interfaces=["bond0"], namespaces=[HERE])
    around.apply(device_event(BEGIN_NS + 10_000, AWAY_VLAN))
    around.apply(device_event(BEGIN_NS + 10_000, replace(DEVICES["bond0.7"], ifindex=77, name="bond0.77")))

    traced = around.traced(BEGIN_NS + 9_000), around.traced(BEGIN_NS + 10_000)
    assert [(THERE, AWAY_VLAN.ifindex) in one for one in traced] == [False, True]
    # but here a notification tells, and the kernel side has followed before
    assert [(HERE, 77) in one for one in traced] == [True, True]


def test_a_tap_on_what_is_covered_elsewhere_is_answered_for_and_others_there_are_named():
    taps = {**TAPS, 7: on(AWAY_VLAN, 7), 8: on(AWAY_ETH, 8), 9: on(AWAY_VXLAN, 9)}
    around = scene(*BEYOND, devices=DEVICES_HERE, interfaces=["bond0"], namespaces=[HERE], taps=taps)

    assert reasons(around)[7][0] != "not-traced" and watched.outside(taps[7], around, BEGIN_NS) is None
    assert [reasons(around)[inode][0] for inode in (8, 9)] == ["not-traced", "not-traced"]
    held = "(no process: held by the kernel or hidden)"
    assert coverage.line(around) == (
        f"not traced: eth0 in network namespace blue ({held} [8]), vx0 in network namespace blue ({held} [9]; what "
        "this tunnel runs over is not known); `--netns host --netns blue --iface eth0 --iface vx0` would include them"
    )
    assert [(one.netns, one.dev, one.option) for one in coverage.uncovered(around)] == [
        (THERE, "eth0", "--netns host --netns blue --iface eth0"),
        (THERE, "vx0", "--netns host --netns blue --iface vx0"),
    ]


def test_a_namespace_without_a_name_is_given_by_its_number():
    unnamed = {"kind": "namespace", "time_ns": BEGIN_NS, "netns": HERE, "name": "netns of pid 1"}
    around = scene(*BEYOND, unnamed, interfaces=[], namespaces=[HERE], taps={8: on(AWAY_ETH, 8)})

    assert [one.option for one in coverage.uncovered(around)] == [f"--netns {HERE} --netns blue"]


def test_many_are_not_all_named():
    more = {20 + n: replace(ON_ETH5, inode=20 + n, ifindex=50 + n) for n in range(7)}
    further = [device_event(BEGIN_NS, replace(ETH5, ifindex=50 + n, name=f"dummy{n}")) for n in range(7)]
    around = covering("bond0", further=further, taps=more)

    assert "dummy4 (tcpdump -i eth0 [24]) and 2 more; `--iface dummy0" in coverage.line(around)
    assert tap_event(0, more[20])["tap"]["ifindex"] == 50


# --- what people and programs read ---------------------------------------------------------------------

AWAY = {**TAPS, ASKED: ON_ETH5}
LINE = "not traced: eth5 (tcpdump -i eth0 [7]); `--iface eth5` would include it"


def test_the_summary_has_no_zero_for_what_is_not_traced():
    around, summary = covering("bond0", taps=AWAY), Summary()
    summary.add(stitched(received(), received(50), around=around), around)
    stream = io.StringIO()

    table.write(summary, around, stream)
    told = table.summary_object(summary, around)

    [row] = [
        line.split()
        for line in stream.getvalue().splitlines()
        if "[7]" in line and "eth5" in line.split() and "not-traced" in line
    ]
    named = ["tcpdump", "-i", "eth0", "pid", "800", "[7]", "eth5"]
    assert (row[:7], row[-1], set(row[7:-1])) == (named, "not-traced", {"?"})
    assert LINE in stream.getvalue().splitlines() and "?: not traced in this trace." in stream.getvalue()
    asked = told["taps"]["7"]
    assert (asked["watched"], asked["outcomes"], asked["twice"]) == (False, None, None)
    assert {(one["offered"], one["captured"]) for one in asked["devices"]} == {(None, None)}
    assert told["not_traced"] == [{"netns": HERE, "dev": "eth5", "taps": [7], "option": "--iface eth5"}]
    assert told["taps"][str(ON_ETH0)]["watched"] is True


def test_a_journey_does_not_claim_its_absence():
    around = covering("bond0", taps=AWAY)
    stream = io.StringIO()
    [journey] = journeys(received(), around=around)

    text.write(journey, around, stream)
    assert "not seen" not in stream.getvalue()
    assert stream.getvalue().endswith(
        "\n    3 other taps: 2 not on its way, 1 on devices that are not traced (-v lists them)\n"
    )

    text.write(journey, around, stream, detail=text.Detail.VERBOSE)
    assert (
        "not known of tcpdump -i eth0 pid 800 [7]: bound to eth5, of which this trace records nothing"
        in stream.getvalue()
    )


class Traced(Source):
    """In place of the kernel: a packet, and the end."""

    def batches(self):
        begin = events(taps=AWAY, devices=DEVICES_HERE, interfaces=["bond0"], namespaces=[HERE])
        yield Batch(received(), begin, BEGIN_NS + 1_000_000)
        for number in range(2, 4):
            yield Batch(EMPTY, [], BEGIN_NS + number * 10**9)


def test_a_live_trace_says_once_at_its_start_what_it_does_not_cover(run, monkeypatch):
    monkeypatch.setattr(source, "LiveSource", Traced)
    monkeypatch.setattr(live, "require_rights", lambda: None)

    status, out, err = run("--iface", "bond0")

    assert status == 0 and err.splitlines().count(f"bondtrace: {LINE}") == 1
    assert err.splitlines()[1] == f"bondtrace: {LINE}"
    assert LINE in out.splitlines()  # the summary at the end
