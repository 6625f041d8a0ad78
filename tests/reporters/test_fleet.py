# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of a fleet: a row a tap, device and direction, and what its absences rest on."""

import io
from dataclasses import replace

import pytest

from bondtrace.model import Process
from bondtrace.reporters import fleet
from bondtrace.stats.fleet import FleetRow
from build import HERE, ON_ETH0, TAPS, THERE, both, events, received, record, refused, rx, sent, tap

pytest.importorskip("duckdb")

TABLE = """\
host tap pid bound to device offered captured filtered full ignored unseen
lab tcpdump -i any [41004] 804 any bond0 rx 1 1 0 0 0
lab tcpdump -i any [41004] 804 any bond0 tx 1 1 0 0 0
lab tcpdump -i any [41004] 804 any eth0 rx 1 1 0 0 0
lab tcpdump -i any [41004] 804 any eth0 tx 1 1 0 0 0
lab tcpdump -i any [41004] 804 any eth1 rx 1 1 0 0 0
lab tcpdump -i bond0 [41003] 803 bond0 bond0 rx 1 1 0 0 0
lab tcpdump -i bond0 [41003] 803 bond0 bond0 tx 1 0 1 0 0
lab tcpdump -i bond0 [41003] 803 bond0 (not offered) 1 inactive-slave
lab tcpdump -i eth0 [41001] 801 eth0 eth0 rx 1 1 0 0 0
lab tcpdump -i eth0 [41001] 801 eth0 eth0 tx 1 0 0 1 0
lab tcpdump -i eth0 [41001] 801 eth0 (not offered) 1 bound-elsewhere
lab lldpd [41005] 700 eth1 (not offered) 2 bound-elsewhere, 1 protocol
lab tcpdump -i eth1 arp [41002] 802 eth1 eth1 rx 1 1 0 0 0
lab tcpdump -i eth1 arp [41002] 802 eth1 (not offered) 2 bound-elsewhere

1 host, 10 offers, 7 absences, none of them in doubt.
"""


def cells(text):
    """A table's cells without the widths of its columns."""
    return [" ".join(line.split()) for line in text.splitlines() if not line.startswith("--")]


NARROW = """\
tap                   device    offered  captured  unseen
--------------------  --------  -------  --------  ---------------------
tcpdump -i eth0 [99]  eth0 rx   2        2
tcpdump -i eth0 [99]  (not                         1234
                      offered)                     outgoing-not-offered,
                                                   7 bound-elsewhere
(too narrow for: host, pid, bound to, filtered, full, ignored; --json
has all)
"""


def test_the_table(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    path = record(tmp_path / "a.arrows", (both(received(), refused(50), sent(100)), events()))
    target = tmp_path / "one.parquet"
    run("export", path, "--format", "parquet", "-o", target)
    status, out, err = run("fleet", "summary", target)
    assert (status, err) == (0, "")
    assert cells(out) == TABLE.splitlines()


def test_on_a_narrow_terminal_what_is_the_same_in_each_row_goes_first_and_reasons_are_wrapped(monkeypatch):
    absent = {"outgoing-not-offered": 1234, "bound-elsewhere": 7}
    here = replace(SEEN, name="tcpdump -i eth0", pid=41, bound="eth0", outcomes={"captured": 2})
    rows = here, replace(here, dev=None, direction=None, offered=0, outcomes={}, unseen=absent)
    monkeypatch.setenv("COLUMNS", "72")
    stream = io.StringIO()
    fleet.write(rows, stream)
    assert "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines()).startswith(NARROW)


def test_hostile_names_do_not_reach_the_terminal(run, tmp_path):
    taps = {ON_ETH0: replace(TAPS[ON_ETH0], processes=(Process(1, "e\x1b[31m\nvil\udcff", ""),))}
    path = record(tmp_path / "a.arrows", (rx("eth0", tap(ON_ETH0)), events(taps=taps, host="h\x9b\n")))
    run("export", path, "--format", "parquet", "-o", f"{tmp_path}/fleet/")
    for words in ((), ("--json",)):
        _, out, _ = run("fleet", "summary", tmp_path / "fleet", *words)
        assert "\x1b" not in out and "\x9b" not in out and "h\\" in out


SEEN = FleetRow(
    "lab", 99, None, None, None, None, HERE, "host", "eth0", "rx", offered=2, outcomes={}, unseen={}, doubtful=0
)
MISSED = replace(SEEN, netns=None, namespace=None, dev=None, direction=None, offered=0)


def written(*rows):
    """The table's lines of these rows, and its last line."""
    stream = io.StringIO()
    fleet.write(rows, stream)
    _, *table, _, last = cells(stream.getvalue())
    return table, last


def test_devices_of_several_namespaces_of_a_host_are_told_apart():
    there = replace(SEEN, netns=THERE, namespace="blue", dev="peer0", outcomes={"unknown": 1, "full": 1})
    elsewhere = replace(SEEN, host="another")

    assert written(SEEN, there, elsewhere)[0] == [
        "lab [99] ? unknown eth0 rx (host) 2 0 0 0 0 0",
        "lab [99] ? unknown peer0 rx (blue) 2 0 0 1 0 1",
        "another [99] ? unknown eth0 rx 2 0 0 0 0 0",
    ]


@pytest.mark.parametrize(
    "unseen, doubtful, line, last",
    [
        ({}, 0, "lab [99] ? unknown (not offered)", "1 host, 0 offers, 0 absences."),
        (
            {"protocol": 3, "netns": 1},
            2,
            "lab [99] ? unknown (not offered) 3 protocol, 1 netns",
            "1 host, 0 offers, 4 absences; 2 of them may be losses.",
        ),
        (
            {"not-watched": 5},
            5,
            "lab [99] ? unknown (not known) 5 not-watched",
            "1 host, 0 offers, 0 absences; 5 times it was not watched.",
        ),
    ],
)
def test_what_absences_rest_on(unseen, doubtful, line, last):
    assert written(replace(MISSED, unseen=unseen, doubtful=doubtful)) == ([line], last)
