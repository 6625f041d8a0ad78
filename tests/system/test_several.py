# SPDX-License-Identifier: GPL-2.0-or-later
"""Several scenarios in one machine: none meets what another left, and none is ended by another's failure."""

import re
from pathlib import Path

import pytest
from test_scenario import example

from bondtrace.commands.lab import observe

pytestmark = pytest.mark.lab

FAILS = "setup() { ip link add left type veth peer name over; false; }\nplay() { :; }\n"
# Leaves devices, namespaces and processes with ping's names behind, and settings of its namespace.
LITTERS = """\
setup() {
    make_namespace gw
    ip link add bond0 type dummy
    ip link set bond0 up
    ip link add eth0 type dummy
    echo 1 >/proc/sys/net/ipv4/ip_forward
    sleep 1000 &
    setsid tcpdump -i bond0 -w /dev/null &
}
play() { ip link >devices; }
"""
# Tells what it finds.
LOOKS = """\
setup() { ip link add bond0 type dummy; ip link set bond0 up; }
play() {
    cd "$LAB_OUT"
    ls /sys/class/net >devices
    ls /run/netns >namespaces
    ps -e -o comm= >processes
    cat /proc/sys/net/ipv4/ip_forward >forward
}
"""
RECORD = 'exec bondtrace record --iface bond0 -o "$LAB_OUT/trace.arrows"'
# The machine does not ask what the command is: two scenarios need none that traces.
SOME_RECORD = f"""case $LAB_OUT in */litters|*/looks)
    trap 'exit 0' INT
    echo 'bondtrace: attached to nothing' >&2
    tail -f /dev/null &
    wait ;;
esac
{RECORD}"""


@pytest.fixture(scope="module")
def runs(play_all, tmp_path_factory):
    directory = tmp_path_factory.mktemp("scenarios")
    for name, text in (("fails", FAILS), ("litters", LITTERS), ("looks", LOOKS), ("lldp", example())):
        (directory / f"{name}.sh").write_text(text)
    own = [str(directory / f"{one}.sh") for one in ("fails", "litters", "looks", "lldp")]
    return play_all(scenarios=("ping", *own), command=SOME_RECORD)


def counted(run):
    """{class of packets: {outcome or reason: count}}, of all taps together."""
    column = observe("here", "", run.out / "trace.arrows")
    assert column.error == ""
    found = {}
    for packets, summary in column.classes.items():
        counts = found.setdefault(packets, {})
        for (_, name), count in [*summary.outcomes.items(), *summary.unseen.items()]:
            counts[name] = counts.get(name, 0) + count
    return found


def test_a_scenario_that_fails_ends_only_itself(runs):
    assert {name: one.status for name, one in runs.items()} == {
        "ping": 0,
        "fails": 1,
        "litters": 0,
        "looks": 0,
        "lldp": 0,
    }
    assert re.search(
        r"^bondtrace lab: the scenario failed in its setup at: false; ", runs.get("fails").output, re.MULTILINE
    )


def test_nothing_that_a_scenario_leaves_meets_the_next(runs):
    found = {
        name: (runs["looks"].out / name).read_text().split()
        for name in ("devices", "namespaces", "processes", "forward")
    }
    # bonding_masters is the module's file
    assert set(found["devices"]) - {"bonding_masters"} == {"bond0", "lo"}
    assert (found["namespaces"], found["forward"]) == ([], ["0"])
    assert set(found["processes"]) & {"sleep", "tcpdump"} == set()


def test_a_scenario_shows_among_others_what_it_shows_alone(runs, play):
    alone = play("ping", RECORD)
    assert counted(runs["ping"]) == counted(alone)


def test_the_documents_example_plays(runs):
    told = counted(runs["lldp"])
    assert list(told) == ["LLDP"]
    # both slaves' taps saw their frame, and the other's reason is told
    assert told["LLDP"]["captured"] >= 2


def test_every_run_has_its_own_files(runs):
    assert all((one.out / "play.log").exists() for one in runs.values())
    assert {Path(one.out).name for one in runs.values()} == set(runs)
