# SPDX-License-Identifier: GPL-2.0-or-later
"""A live trace through pipes: into `show -`, and into tshark, which captures from bondtrace's interface. What comes out
is what is in the recording, and in the taps' own files."""

import json
import shutil
import subprocess
from collections import Counter

import pytest

from bondtrace.exporters import wireshark
from bondtrace.lab import find_scenario

pytestmark = pytest.mark.lab

COMMAND = r"""
set -o pipefail
case $LAB_OUT in
# Ctrl-C reaches all; here show waits for the end of the trace however long that takes.
*/piped)
    bondtrace record -o - --iface "$LAB_IFACE" | tee -i "$LAB_OUT/trace.arrows" |
        env --ignore-signal=INT bondtrace show - --json >"$LAB_OUT/live.jsonl"
    exit ;;
esac
trap : INT
HOME=$(mktemp -d)
export HOME
bondtrace extcap >"$LAB_OUT/how-to.sh"
sh -e "$LAB_OUT/how-to.sh" || exit
env --default-signal=INT tshark -n -i "bondtrace-$LAB_IFACE" -w "$HOME/live.pcapng" 2>"$LAB_OUT/tshark.txt" &
# Once all is attached, a trace gives up the rights that it does not need any more.
until pid=$(pgrep -n -f '[e]xtcap --capture') && grep -qx $'NoNewPrivs:\t1' "/proc/$pid/status"; do
    sleep 0.2
done 2>/dev/null
echo 'bondtrace: attached, says its process' >&2
wait
wait
cp "$HOME/live.pcapng" "$LAB_OUT/"
"""


@pytest.fixture(scope="module")
def runs(play_all, tmp_path_factory):
    """{scenario: run}: the ping, once with tshark and once through pipes, in one machine."""
    piped = tmp_path_factory.mktemp("piped") / "piped.sh"
    shutil.copy(find_scenario("ping").path, piped)
    return play_all(scenarios=("ping", str(piped)), command=COMMAND)


def rows(path, wanted, *fields, script=()):
    """Rows of these fields of the frames that a filter selects, by tshark."""
    words = [word for name in fields for word in ("-e", name)]
    done = subprocess.run(
        ["tshark", "-n", *script, "-r", path, "-Y", wanted, "-T", "fields", "-E", "aggregator=|", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_a_pipe_shows_live_what_the_recording_holds(runs):
    piped = runs["piped"]
    told = (piped.out / "live.jsonl").read_text()

    assert {one["packet"]["protocol"] for one in map(json.loads, told.splitlines())} >= {"ARP", "ICMP"}
    assert told == piped.bondtrace("show", "--json", "trace.arrows").stdout
    assert piped.bondtrace("summary", "trace.arrows").stdout.count("losses: none") == 1


@pytest.mark.parametrize("device", ["eth0", "eth1", "bond0"])
def test_tshark_has_the_packets_of_the_taps_files_with_their_outcome(runs, device):
    ping = runs["ping"]
    script = ("-X", f"lua_script:{wireshark.LUA}")
    wanted = f'(arp or icmp) and bondtrace.captured contains "tcpdump" and frame.interface_name == "{device}"'
    live = rows(ping.out / "live.pcapng", wanted, "frame.len", "bondtrace.captured", "bondtrace.outcome", script=script)
    own = rows(ping.out / f"{device}.pcap", "arp or icmp", "frame.len")

    assert own and Counter(row[0] for row in live) == Counter(row[0] for row in own)
    assert all(f"-i {device} " in taps and outcomes == "captured" for _, taps, outcomes in live), live


def test_tshark_has_the_verdicts_and_the_reasons(runs):
    path, script = runs["ping"].out / "live.pcapng", ("-X", f"lua_script:{wireshark.LUA}")

    kept = rows(path, 'bondtrace.verdict == "EXACT"', "bondtrace.dev", "bondtrace.reason", script=script)
    assert kept and {row[0] for row in kept} == {"eth1"}
    assert all("inactive-slave" in row[1] for row in kept)
    assert rows(path, "frame", "bondtrace.journey", script=script)[0] == ["1"]
