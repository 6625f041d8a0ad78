# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace taps`: the taps of a host that is made up here, as a table and as JSON."""

import json
from dataclasses import replace

import pytest

from bondtrace.capture.host.namespaces import Namespace
from bondtrace.commands import taps
from build import HERE, LLDP, ON_ANY, ON_ETH0, TAPS, THERE

FOUND = [
    replace(TAPS[ON_ETH0], ring_version=3, ring_bytes=32768, has_filter=True, promiscuous=True, uid=0),
    replace(TAPS[ON_ANY], running=False, ignore_outgoing=True, fanout_id=7),
    replace(TAPS[LLDP], netns=THERE, has_filter=False, drops=5),
    replace(TAPS[LLDP], inode=9, ifindex=-1, dev="", buffer=None, processes=()),
]


@pytest.fixture
def host(monkeypatch):
    """host(found, problems): the taps that are found, and what is said to go wrong."""

    def host(found, problems=()):
        here = Namespace(HERE, "", "/proc/self/ns/net")
        namespaces = {HERE: here, THERE: Namespace(THERE, "blue", "/run/netns/blue")}
        monkeypatch.setattr(taps, "list_namespaces", lambda: namespaces)
        monkeypatch.setattr(taps, "current_netns", lambda: HERE)
        monkeypatch.setattr(taps, "read_devices", lambda namespaces, told: told.extend(problems) or [])
        monkeypatch.setattr(taps, "read_taps", lambda namespaces, devices, told: found)
        monkeypatch.setattr(taps, "with_all_options", list)

    return host


def test_the_table(run, host):
    host(FOUND)
    status, out, err = run("taps", "--format", "tsv")

    assert (status, err) == (0, "")
    assert [[cell.strip() for cell in line.split("\t")] for line in out.splitlines()] == [
        ["tap", "inode", "pid", "namespace", "bound to", "protocol", "kind", "buffer", "filter", "notes", "drops"],
        [
            "tcpdump -i eth0",
            "41001",
            "801",
            "(this one)",
            "eth0",
            "ALL",
            "raw",
            "ring v3 32 KiB",
            "yes",
            "promiscuous",
            "?",
        ],
        [
            *("tcpdump -i any", "41004", "804", "(this one)", "any", "ALL", "cooked", "ring v?", "?"),
            *("not running, ignores outgoing, fanout 7", "?"),
        ],
        ["lldpd", "41005", "700", "blue", "eth1", "0x88cc", "raw", "queue", "no", "", "5"],
        [
            *("(no process: held by the kernel or hidden)", "9", "-", "(this one)", "gone", "0x88cc", "raw", "?", "?"),
            *("", "?"),
        ],
    ]


def test_json_is_an_object_a_line_with_all_that_is_known(run, host):
    host(FOUND)
    status, out, err = run("taps", "--json")

    assert (status, err) == (0, "")
    first, _, third, last = map(json.loads, out.splitlines())
    assert first == {
        "inode": ON_ETH0,
        "netns": HERE,
        "ifindex": 2,
        "protocol": "ALL",
        "kind": "raw",
        "dev": "eth0",
        "uid": 0,
        "buffer": "ring",
        "ring_version": 3,
        "ring_bytes": 32768,
        "running": True,
        "fanout_id": None,
        "fanout_type": None,
        "has_filter": True,
        "promiscuous": True,
        "ignore_outgoing": None,
        "origdev": None,
        "drops": None,
        "rmem_bytes": None,
        "processes": [{"pid": 801, "comm": "tcpdump", "cmdline": "tcpdump -i eth0"}],
        "name": "tcpdump -i eth0",
        "namespace": "(this one)",
    }
    assert (third["namespace"], third["drops"], last["dev"], last["processes"]) == ("blue", 5, "gone", [])


def test_a_host_without_taps_says_so_and_what_could_not_be_read(run, host):
    host([], ["cannot read the taps of network namespace blue: not permitted"])

    assert run("taps") == (0, "no taps\n", "bondtrace: cannot read the taps of network namespace blue: not permitted\n")
    assert run("taps", "--json")[:2] == (0, "")
