# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace check`, as a user would run it: the taps' own files beside a recording of the same traffic."""

import json

import pytest

pytestmark = pytest.mark.lab


@pytest.fixture
def played(play_all):
    """A ping; packets of a bond and its slaves, also as a tap of all devices has them; lists of received packets."""
    return play_all(scenarios=("ping", "any", "gro"))


@pytest.mark.parametrize("name", ["ping", "any", "gro"])
def test_a_recording_agrees_with_the_taps_files(played, name):
    run = played[name]
    files = sorted(path.name for path in run.out.glob("*.pcap"))
    sockets = [one for path in run.out.glob("sockets-*.json") for one in json.loads(path.read_text())]
    named = [word for one in sockets for word in ("--tap", f"{one['name']}.pcap={one['inode']}")]

    done = run.bondtrace("check", *named, *files, "trace.arrows")
    told = json.loads(run.bondtrace("check", "--json", *named, *files, "trace.arrows").stdout)

    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1][:12]) == (0, "", "they agree: ")
    assert sum(one["found"] for one in told["captures"]) >= 10
    assert {(one["missing"]["packets"], one["untold"], one["unread"]) for one in told["captures"]} == {(0, 0, 0)}


def test_a_file_of_another_tap_does_not_agree(played):
    inodes = {
        one["tap"]["dev"]: one["inode"]
        for name in ("eth0", "eth1")
        for one in json.loads(played["ping"].bondtrace("check", "--json", f"{name}.pcap", "trace.arrows").stdout)[
            "captures"
        ]
    }

    done = played["ping"].bondtrace("check", "eth0.pcap", "--tap", f"eth0.pcap={inodes['eth1']}", "trace.arrows")

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("they do not agree: eth0.pcap: ")
