# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace why`: answers about taps and about packets."""

from dataclasses import replace

import pytest
from shell import PING, bondtrace, failure

from build import HERE, ON_ANY, ON_BOND0, ON_ETH0, TAPS, both, drop, events, handler, protocol, record, rx, tap


@pytest.fixture
def trace(tmp_path):
    """A ping's reply, and two frames of the backup slave, one of which tc dropped."""
    passes = both(
        *(
            rx("eth0", tap(ON_ETH0), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"), at=at, skb=at)
            for at in (1, 100, 200)
        ),
        rx("eth1", handler("EXACT"), drop("UNHANDLED_PROTO"), at=300, skb=9),
        rx("eth0", tap(ON_ETH0, "full"), drop("TC_INGRESS"), at=400, skb=10),
    )
    return record(tmp_path / "trace.arrows", (passes, events()))


def answer(*words):
    done = bondtrace("why", *words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return " ".join(done.stdout.split())


def test_of_a_tap_it_is_told_what_it_got_what_it_did_not_why_and_what_to_change(trace):
    told = answer("tcpdump -i bond0", trace)

    assert told.startswith(f"tcpdump -i bond0 [{ON_BOND0}] listens on bond0 for all protocols.")
    assert "It captured 3 of the 5 packets of this recording." in told
    # the backup slave's frame came first among the absences, as often as the dropped one
    assert "It was not offered 2 packets, mostly (1) because of" in told
    assert "What to change: " in told and f"`bondtrace explain {trace} --journey " in told


def test_what_was_offered_and_not_captured_is_told_with_its_remedy(trace):
    told = answer(f"tcpdump -i eth0 [{ON_ETH0}]", trace)
    assert "It captured 3 of the 5 packets" in told and "1 found no room in its buffer: give it a larger" in told


@pytest.mark.parametrize("name", ["801", str(ON_ETH0), "tcpdump -i eth0"])
def test_a_tap_is_meant_by_its_pid_its_inode_or_its_name(trace, name):
    assert answer(name, trace).startswith(f"tcpdump -i eth0 [{ON_ETH0}] listens")


def test_a_program_with_several_taps_has_an_answer_for_each(trace):
    told = bondtrace("why", "tcpdump", trace).stdout
    assert told.count(" listens on ") == 4 and "\n\n" in told


def test_what_no_tap_is_called_is_a_filter(trace):
    told = answer("icmp", trace)

    assert told.startswith("5 packets match 'icmp': 5 received, on eth0 (4), bond0 (3), eth1 (1).")
    losses = "The kernel dropped 1 of them on eth0 in sch_handle_ingress: TC_INGRESS (#5). Look at: `tc filter show dev"
    assert losses in told
    assert f"tcpdump -i bond0 [{ON_BOND0}] captured 3 of them." in told


def test_a_tap_on_no_device_is_told_to_have_packets_several_times(tmp_path):
    twice = rx("eth0", tap(ON_ANY), handler("ANOTHER", "bond0"), tap(ON_ANY), at=1)
    told = answer("tcpdump -i any", record(tmp_path / "trace.arrows", (twice, events())))
    assert "It captured 1 of the 1 packet of this recording, 1 of them several times: " in told


def test_that_a_tap_did_not_listen_to_the_end_is_told(trace):
    assert "It did not listen to the end" not in answer("tcpdump -i bond0", trace)
    told = answer("dhclient", PING.with_name("daemons.arrows"))
    assert "captured 2 of the 46 packets" in told and "did not listen to the end (closed by " in told
    assert "080571: its socket was closed). It was not offered 36" in told


def test_that_a_file_was_cut_off_is_told_once(tmp_path):
    cut = tmp_path / "cut.arrows"
    cut.write_bytes(PING.read_bytes()[:-20])
    done = bondtrace("why", "icmp", cut)
    assert (done.returncode, done.stderr.count("was cut off")) == (0, 1) and "packets match 'icmp'" in done.stdout


def test_packets_that_there_are_none_of(trace):
    assert answer("arp", trace) == "No packet of this recording matches 'arp'."


def test_what_is_neither_names_the_taps_that_there_are(trace):
    message = failure(bondtrace("why", "tcpdunp -i", trace), 2)
    assert (
        "'tcpdunp -i' is no tap of" in message and "'tcpdump -i eth0'" in message and "not a tcpdump filter" in message
    )
    assert "no tap of" in failure(bondtrace("why", "4711", trace), 2)


def test_what_a_tap_got_that_is_not_traced_is_not_known(tmp_path):
    # given a tap in a namespace of which the trace has nothing
    outside = replace(TAPS[ON_ETH0], inode=5, netns=77)
    around = events({**TAPS, 5: outside}, interfaces=["bond0"], namespaces=[HERE])
    told = answer("5", record(tmp_path / "trace.arrows", (rx("eth0", tap(ON_ETH0)), around)))
    assert "What it got is not known from this recording (not-traced)" in told and "captured" not in told
