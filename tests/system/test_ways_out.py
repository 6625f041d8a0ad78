# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace of a real bond by other ways than to one file: in parts, and to Prometheus."""

import shutil

import pytest
from prometheus_client.parser import text_string_to_metric_families
from truth import in_file

import bondtrace
from bondtrace.format.trace_set import gather
from bondtrace.lab import find_scenario

pytestmark = pytest.mark.lab

IN_PARTS = "exec bondtrace record --rotate-size 20k --iface bond0 -o $LAB_OUT/trace.arrows"
SCRAPED = """ip link set lo up
(while kill -0 $$ && sleep 1; do
    /usr/bin/python3 -c 'import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9435/metrics", timeout=20).read().decode())' \
        >$LAB_OUT/scrape.new 2>>$LAB_OUT/scrape.log && mv $LAB_OUT/scrape.new $LAB_OUT/scrape.txt
done) &
exec bondtrace exporter --iface bond0"""
EITHER = f"""case $LAB_OUT in
*/in_parts) {IN_PARTS} ;;
*/scraped) {SCRAPED} ;;
esac"""


@pytest.fixture(scope="module")
def mixed_twice(play_all, tmp_path_factory):
    """{name: run} of the scenario `mixed` twice in one machine, traced in either way."""
    directory = tmp_path_factory.mktemp("mixed")
    twice = [directory / "in_parts.sh", directory / "scraped.sh"]
    for path in twice:
        shutil.copy(find_scenario("mixed").path, path)
    return play_all(scenarios=tuple(map(str, twice)), command=EITHER)


def packets_in(run, device, begin_ns=0, end_ns=1 << 63):
    return len(in_file(run.out / f"{device}.pcap", begin_ns, end_ns))


def test_a_trace_in_parts_is_whole(mixed_twice):
    run = mixed_twice["in_parts"]

    [files] = gather((run.out,))
    with bondtrace.open(run.out) as trace:
        summary, taps, events = trace.summary(), trace.taps(), list(trace.events())
    start, end = (next(one for one in events if one["kind"] == kind) for kind in ("start", "end"))
    begin_ns, whole_until_ns, end_ns = (
        time_ns + start["wall_offset_ns"] for time_ns in (start["time_ns"], end["not_before_ns"], end["time_ns"])
    )

    # several parts, each of which opens by itself
    assert len(files.paths) > 1 and files.missing == [] and files.numbers[0] == 1
    for path in files.paths:
        assert run.bondtrace("summary", path.name).returncode == 0
    # together they have every packet that the taps have, and maybe some that came while the probes were taken away
    assert trace.losses() == {}
    for device in ("eth0", "bond0", "eth1"):
        [inode] = [inode for inode, tap in taps.items() if tap.dev == device and tap.processes]
        least, most = (packets_in(run, device, begin_ns, until_ns) for until_ns in (whole_until_ns, end_ns))
        assert least <= summary.outcomes[inode, "captured"] <= most


def test_prometheus_is_answered_while_packets_pass(mixed_twice):
    run = mixed_twice["scraped"]

    samples = [
        one for family in text_string_to_metric_families((run.out / "scrape.txt").read_text()) for one in family.samples
    ]

    captured = {
        one.labels["bound_to"]: int(one.value)
        for one in samples
        if one.name == "bondtrace_tap_captured_total" and one.labels["direction"] == "rx"
    }
    assert 0 < captured["eth0"] <= packets_in(run, "eth0")
    assert 0 < captured["bond0"] <= packets_in(run, "bond0")
    assert sum(one.value for one in samples if one.name == "bondtrace_losses_total") == 0
