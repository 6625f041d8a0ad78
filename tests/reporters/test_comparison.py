# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels beside one another: from recordings by hand to the table and its JSON."""

import io
import json
from dataclasses import replace

import pytest

from bondtrace.commands.lab import observe
from bondtrace.reporters import comparison
from bondtrace.reporters.comparison import rows
from bondtrace.stats.kernel_comparison import Observation
from build import (
    DEVICES,
    LLDP,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    arp,
    both,
    echo,
    ether,
    events,
    handler,
    ip4,
    losses,
    protocol,
    record,
    rx,
    tap,
)

FEW = {inode: TAPS[inode] for inode in (ON_ETH0, ON_BOND0)}


def seen(at=0, **more):
    """A reply that the taps on eth0 and on bond0 capture."""
    return rx("eth0", tap(ON_ETH0), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"), at=at, **more)


def consumed(at=0, **more):
    """A reply that the bond keeps from its tap."""
    return rx("eth0", tap(ON_ETH0), handler("CONSUMED"), at=at, **more)


def observed(directory, kernel, *passes, happened=(), taps=FEW, **more):
    """A kernel's column, of a recording of these passes."""
    path = record(directory / kernel / "trace.arrows", (both(*passes), [*events(taps=taps, **more), *happened]))
    return observe(kernel, f"{kernel}.0-amd64", path)


@pytest.fixture
def column(tmp_path):
    def column(kernel, *passes, **more):
        (tmp_path / kernel).mkdir()
        return observed(tmp_path, kernel, *passes, **more)

    return column


def failed(kernel, error="it panicked", directory="/out"):
    return Observation(kernel, "", directory, error)


def told(*observations):
    stream = io.StringIO()
    comparison.write(observations, stream)
    return stream.getvalue()


def marks(*observations):
    """[(tap's device, aspect, where, mark)] of the rows that are marked."""
    return [
        (row.tap.dev if row.tap else "", row.aspect, row.where, row.differs)
        for row in rows(observations)
        if row.differs
    ]


# --- rows ----------------------------------------------------------------------------------------------


def test_kernels_that_answer_alike_have_no_marks(column):
    columns = column("6.1", seen(), seen(20)), column("7.3", seen(), seen(20))
    assert [row.aspect for row in rows(columns)] == ["packets", "offered", "offered"]
    assert marks(*columns) == []


def test_a_tap_that_sees_packets_on_one_kernel_only_is_marked(column):
    assert marks(column("6.1", seen()), column("7.3", consumed())) == [
        ("bond0", "offered", "bond0 rx", "answer"),
        ("bond0", "unseen", "", "answer"),
    ]


def test_another_outcome_is_marked(column):
    full = rx("eth0", tap(ON_ETH0, "full"), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"))
    assert marks(column("6.1", seen()), column("7.3", full)) == [
        ("eth0", "offered", "eth0 rx", "answer"),
        ("eth0", "outcome", "", "answer"),
    ]


def test_other_numbers_are_only_numbers(column):
    assert marks(column("6.1", seen()), column("7.3", seen(), seen(20))) == [
        ("", "packets", "", "count"),
        ("bond0", "offered", "bond0 rx", "count"),
        ("eth0", "offered", "eth0 rx", "count"),
    ]


def test_packets_that_one_kernel_never_had_are_only_numbers(column):
    # given background noise: an ARP question on one kernel
    noise = column("6.1", seen(), seen(20, packet=arp()))
    assert {mark for *_, mark in marks(noise, column("7.3", seen()))} == {"count"}


def test_taps_are_matched_though_inodes_pids_and_ifindexes_are_others(column):
    # given the same taps and devices under other numbers, opened in another order
    moved = {
        name: replace(device, ifindex=device.ifindex + 20, master=device.master and device.master + 20)
        for name, device in DEVICES.items()
    }
    taps = {
        inode + 7: replace(
            one,
            inode=inode + 7,
            ifindex=one.ifindex + 20,
            processes=tuple(replace(process, pid=process.pid + 5) for process in one.processes),
        )
        for inode, one in reversed(FEW.items())
    }
    later = seen()
    later.steps["arg"][[0, 2]] += 7
    later.steps["arg"][1] += 20
    for columns in (later.records, later.steps):
        columns["ifindex"] += 20
    later.steps["orig_ifindex"] += 20
    # then nothing differs, as each tap has one row of both
    both_kernels = column("6.1", seen()), column("7.3", later, taps=taps, devices=moved)
    assert [str(row.tap) for row in rows(both_kernels)] == ["None", "tcpdump -i bond0", "tcpdump -i eth0"]
    assert marks(*both_kernels) == []


def test_taps_that_are_alike_are_numbered(column):
    twins = {**FEW, 50001: replace(TAPS[ON_ETH0], inode=50001)}
    names = {str(row.tap) for row in rows([column("6.1", seen(), taps=twins)]) if row.tap}
    assert names == {"tcpdump -i eth0", "tcpdump -i eth0 #2", "tcpdump -i bond0"}


def test_taps_that_are_called_alike_are_told_with_what_tells_them_apart(column):
    both_kinds = {**FEW, LLDP: TAPS[LLDP], 50001: replace(TAPS[LLDP], inode=50001, protocol=0x0806, kind="cooked")}
    lines = [line.split() for line in told(column("6.1", seen(), taps=both_kinds)).splitlines()]
    assert [line[:5] for line in lines if line[:1] == ["lldpd"]] == [
        ["lldpd", "0x0806", "cooked", "queue", "eth1"],
        ["lldpd", "0x88cc", "raw", "queue", "eth1"],
    ]


def test_the_traced_namespace_has_no_name_and_another_has_its_own(column):
    stranger = {ON_ANY: replace(TAPS[ON_ANY], netns=4026532999), LLDP: TAPS[LLDP], ON_ETH1: TAPS[ON_ETH1]}
    [unseen] = [row for row in rows([column("6.1", seen(), taps=stranger)]) if row.tap and row.tap.netns]
    assert (str(unseen.tap), unseen.cells) == ("tcpdump -i any (blue)", ({"netns": 1},))


# --- text ----------------------------------------------------------------------------------------------


def test_the_table(column, tmp_path):
    # given a kernel on which the bond keeps a reply from its tap, one on which records were lost, and one that fails
    request = ether(ip4(echo(8)))
    lossy = column("6.1", consumed(), seen(20, packet=request), seen(40, packet=request), happened=[losses(lost=[3])])
    text = told(
        column("5.10", seen(), seen(20, packet=request)),
        lossy,
        failed("7.3", "kernel 7.3.4-amd64 panicked in the lab", "/out/7.3"),
    )
    assert (
        text.replace(str(tmp_path), "/out")
        == """\
packets            tap               bound to    where        5.10    6.1                7.3
-----------------  ----------------  ----------  -----------  ------  -----------------  ------  --
ICMP echo reply    (packets)                                  1       1
                   tcpdump -i bond0  bond0       bond0 rx     1/1     -                          ≠
                                                 not offered  -       1 consumed-before          ≠
                   tcpdump -i eth0   eth0        eth0 rx      1/1     1/1
ICMP echo request  (packets)                                  1       2                          ~
                   tcpdump -i bond0  bond0       bond0 rx     1/1     2/2                        ~
                   tcpdump -i eth0   eth0        eth0 rx      1/1     2/2                        ~
(losses)                                                      none    see below          failed

a cell is offers/captures, or how many and why; ≠ the kernels answer differently, ~ only the numbers differ.
5.10 (5.10.0-amd64): losses: none; capture files and logs: /out/5.10
6.1 (6.1.0-amd64): losses: records lost 3 (so an absence may be a loss); capture files and logs: /out/6.1
7.3: failed: kernel 7.3.4-amd64 panicked in the lab
"""
    )


def test_when_every_kernel_failed_the_reasons_are_told():
    assert told(failed("6.1"), failed("7.3")).splitlines()[-2:] == [
        "6.1: failed: it panicked",
        "7.3: failed: it panicked",
    ]


# --- JSON ----------------------------------------------------------------------------------------------


def test_the_comparison_as_json(column, tmp_path):
    stream = io.StringIO()
    comparison.write_json([column("6.1", seen()), failed("7.3")], stream, "ping")
    value = json.loads(stream.getvalue())
    tap_object = {
        "dev": "bond0",
        "name": "tcpdump -i bond0",
        "netns": "",
        "protocol": "ALL",
        "kind": "raw",
        "buffer": "ring",
        "number": 1,
    }
    assert value["kernels"] == [
        {
            "kernel": "6.1",
            "release": "6.1.0-amd64",
            "error": None,
            "directory": str(tmp_path / "6.1"),
            "packets": 1,
            "trust": {
                "clean": True,
                "losses": {},
                "not_attached": [],
                "does_not_see": [],
                "unknown_taps": [],
                "filter": None,
                "filter_blind": 0,
                "selection": None,
                "bytes_lost": 0,
            },
        },
        {"kernel": "7.3", "release": None, "error": "it panicked", "directory": "/out", "packets": 0, "trust": None},
    ]
    assert value["rows"][:2] == [
        {
            "packets": "ICMP echo reply",
            "tap": None,
            "aspect": "packets",
            "where": None,
            "differs": None,
            "cells": {"6.1": {"packets": 1}, "7.3": None},
        },
        {
            "packets": "ICMP echo reply",
            "tap": tap_object,
            "aspect": "offered",
            "where": "bond0 rx",
            "differs": None,
            "cells": {"6.1": {"offered": 1, "captured": 1}, "7.3": None},
        },
    ]
    assert (value["scenario"], len(value["rows"])) == ("ping", 3)
