# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts by name, as Prometheus gets them: the number of names is bounded, and no count falls."""

from dataclasses import replace

import pytest
from scrape import by, offered_to, series_of, tally_of, taps_called

from bondtrace.format.events import device_event, tap_event
from build import DEVICES, HERE, ON_ETH0, TAPS, drop, journeys, received, rx, scene, tap


def test_the_number_of_names_is_bounded_and_nothing_goes_uncounted():
    # given more taps, and more devices, than are admitted
    taps = taps_called(*(f"p{n}" for n in range(9)))
    around = scene(taps=taps)
    told = [
        one
        for n, dev in enumerate(("eth0", "eth1", "eth2"))
        for one in journeys(rx(dev, *(tap(inode) for inode in taps), at=100 * n, skb=n + 1), around=around)
    ]

    found = series_of(tally_of(around, told, limit=2))

    assert by(found["bondtrace_tap_captured_total"], "tap", "kind") == {
        ("p0", "raw"): 3,
        ("p1", "raw"): 3,
        ("other", "other"): 21,
    }
    assert by(found["bondtrace_device_packets_total"], "device", "namespace") == {
        ("eth0", "host"): 1,
        ("eth1", "host"): 1,
        ("other", "other"): 1,
    }


def test_taps_of_the_same_program_come_and_go_in_one_series():
    taps = taps_called(*["tcpdump"] * 5)
    around = scene(taps=taps)
    assert list(series_of(tally_of(around, offered_to(taps, around)))["bondtrace_tap_captured_total"].values()) == [5]


def test_a_count_stays_where_it_was_when_a_device_is_renamed_and_a_tap_bound_anew():
    # given a packet before and one after eth0 got another name and its tap another device
    around = scene()
    told = list(journeys(received(), around=around))
    tally = tally_of(around, told)
    before = series_of(tally)
    around.apply(device_event(told[0].time_ns + 1000, replace(DEVICES["eth0"], name="lan0")))
    around.apply(tap_event(told[0].time_ns + 1000, replace(TAPS[ON_ETH0], ifindex=0)))
    tally.count(next(iter(journeys(received(5000), around=around))))

    # then no series has fallen or is gone
    after = series_of(tally)
    counts = {
        (name, labels): value
        for name, series in before.items()
        if name.endswith("_total")
        for labels, value in series.items()
    }
    assert len(counts) > 10
    assert [one for one, value in counts.items() if after[one[0]].get(one[1], 0) < value] == []
    assert by(after["bondtrace_device_packets_total"], "device") == {("eth0",): 1, ("lan0",): 1, ("bond0",): 2}
    bound = by(after["bondtrace_tap_captured_total"], "bound_to")
    assert bound["eth0",] == 1 and bound["any",] > by(before["bondtrace_tap_captured_total"], "bound_to")["any",]


def test_a_drop_without_a_reason_is_told():
    around = scene()
    around.start["drop_reasons"] = {}
    found = series_of(tally_of(around, journeys(rx("eth0", drop("NO_SOCKET")), around=around)))
    assert by(found["bondtrace_drops_total"], "reason", "device") == {("", "eth0"): 1}


@pytest.mark.parametrize(
    "given, label",
    [
        ("blue", "blue"),
        ("netns of pid 4711", str(HERE)),
        ("netns of pid 4711 (a (b)\n)", str(HERE)),
        ("container 0123456789ab", str(HERE)),
        (f"net:[{HERE}]", str(HERE)),
        ("", str(HERE)),
    ],
)
def test_a_namespace_without_a_name_is_its_inode_for_pids_change(given, label):
    around = scene()
    around.namespaces[HERE] = given
    found = series_of(tally_of(around, journeys(received(), around=around)))
    assert {dict(names)["namespace"] for names in found["bondtrace_device_packets_total"]} == {label}
