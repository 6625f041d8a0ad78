# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace check`: handmade recordings and the files that their taps would have written."""

import json

import captures
import pytest

from bondtrace.format import capture_file
from bondtrace.format.events import tap_gone_event
from build import (
    BEGIN_NS,
    EMPTY,
    ESCAPED,
    HOSTILE,
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
    received,
    record,
    refused,
    reply,
    rx,
    sent,
    tap,
    tcpdump,
)

NAMED = {
    LLDP: TAPS[LLDP],
    **{
        inode: tcpdump(inode, dev, "-w", f"/tmp/{dev or 'any'}.pcap", pid=inode - 40000)
        for inode, dev in ((ON_ETH0, "eth0"), (ON_ETH1, "eth1"), (ON_BOND0, "bond0"), (ON_ANY, None))
    },
}
REQUEST = ether(ip4(echo(8), src=2, dst=1))


def ended(at):
    return {"kind": "end", "time_ns": BEGIN_NS + at * 1000 + 5, "not_before_ns": BEGIN_NS + at * 1000}


def trace(path, *passes, until=10_000_000, more=(), **start):
    """A recording of these passes, all of it traced until then."""
    return record(
        path, (EMPTY, events(taps=NAMED, **start)), *((one, []) for one in passes), (EMPTY, [*more, ended(until)])
    )


@pytest.fixture
def recording(tmp_path):
    """A reply received by the bond, an ARP request on the backup slave, two seconds later a request sent."""
    return trace(tmp_path / "trace.arrows", both(received(), refused(30)), sent(2_000_000))


def cooked(frame):
    return bytes([0, 0, 0, 1, 0, 6]) + frame[6:12] + bytes(2) + frame[12:]


@pytest.fixture
def files(tmp_path):
    """What the taps of ``recording`` have written."""
    return [
        captures.pcap(tmp_path / "eth0.pcap", [(-2, reply())]),
        captures.pcap(tmp_path / "bond0.pcap", [(-2, reply())], order=">", nano=False),
        captures.pcapng(tmp_path / "eth1.pcap", [(29, arp())], name=b"eth1"),
        captures.pcap(
            tmp_path / "any.pcap",
            [(at, cooked(one)) for at, one in (((1, reply()), (3, reply()), (29, arp()), *[(2_000_000, REQUEST)] * 2))],
            link=113,
        ),
    ]


AGREEMENT = """\
capture     tap                      packets    has    twice    lacks    outside
----------  -----------------------  ---------  -----  -------  -------  ---------
eth0.pcap   tcpdump -i eth0 [41001]  1          1      0        2        0
bond0.pcap  tcpdump -i bond0 [41003] 1          1      0        2        0
eth1.pcap   tcpdump -i eth1 [41002]  1          1      0        2        0
any.pcap    tcpdump -i any [41004]   5          3      2        0        0

3 packets in the recording; has, twice and lacks count these.
eth0.pcap: lacks 1 bound-elsewhere (#2), 1 full (#3)
bond0.pcap: lacks 1 inactive-slave (#2), 1 filtered (#3)
eth1.pcap: lacks 2 bound-elsewhere (#1)
losses: none
they agree: 8 captured, 8 in the files
"""


def test_files_that_agree(run, recording, files):
    status, out, err = run("check", *files, recording)

    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()[2:]] == [line.split() for line in AGREEMENT.splitlines()[2:]]


def told(run, *words):
    """(status, the captures' objects by name, all of it) of --json."""
    status, out, err = run("check", "--json", *words)
    assert err == "" or "losses" not in err
    whole = json.loads(out.splitlines()[-1])
    assert whole["agrees"] == (status == 0)
    return status, {one["capture"]: one for one in whole["captures"]}, whole


def last_line(run, *words):
    return run("check", *words)[1].splitlines()[-1]


def test_a_captured_packet_that_the_file_lacks_between_others(run, tmp_path):
    path = trace(tmp_path / "t.arrows", both(*(received(at, packet=reply(at)) for at in (0, 1000, 2000, 3000))))
    whole = captures.pcap(tmp_path / "eth0.pcap", [(0, reply(0)), (1000, reply(1000)), (3000, reply(3000))])

    status, captured, _ = told(run, whole, path)

    assert (status, captured["eth0.pcap"]["missing"]) == (1, {"packets": 1, "example": 3})
    assert last_line(run, whole, path) == "they do not agree: eth0.pcap: 1 captured and not in the file"


def test_captured_packets_before_the_first_and_after_the_last_of_a_file_are_a_note(run, tmp_path):
    path = trace(
        tmp_path / "t.arrows", *(received(at, packet=reply(at // 1000)) for at in (0, 2_000_000, 4_000_000, 6_000_000))
    )
    part = captures.pcap(tmp_path / "eth0.pcap", [(2_000_000, reply(2000))])

    status, captured, _ = told(run, part, path)

    assert (status, captured["eth0.pcap"]["unread"], captured["eth0.pcap"]["missing"]["packets"]) == (0, 3, 0)
    assert last_line(run, part, path).endswith("; left out: 3 captured before or after what a file has")
    # but of a file that has none of them this is no excuse
    captures.pcap(tmp_path / "eth0.pcap", [])
    assert told(run, part, path)[1]["eth0.pcap"]["missing"] == {"packets": 4, "example": 1}


def test_a_packet_that_the_recording_calls_otherwise(run, recording, tmp_path):
    # given a file of eth0's tap that has what only the backup slave received, and the request for which it was full
    wrong = captures.pcap(tmp_path / "eth0.pcap", [(-2, reply()), (29, arp()), (2_000_010, REQUEST)])

    status, captured, _ = told(run, wrong, recording)

    assert status == 1
    assert captured["eth0.pcap"]["contradicted"] == {
        "bound-elsewhere": {"packets": 1, "example": 2},
        "full": {"packets": 1, "example": 3},
    }
    assert captured["eth0.pcap"]["untold"] == 0


def test_of_packets_that_are_alike_each_is_called_what_it_was_at_its_time(run, tmp_path):
    # given a file of eth0's tap with two broadcasts that only the backup slave received; between them the tap ended
    gone = tap_gone_event(BEGIN_NS + 600_000, BEGIN_NS + 500_000, ON_ETH0)
    passes = both(refused(30, packet=arp(1)), refused(1000, packet=arp(3)))
    path = record(tmp_path / "t.arrows", (EMPTY, events(taps=NAMED)), (passes, [gone, ended(10_000_000)]))
    wrong = captures.pcap(tmp_path / "eth0.pcap", [(29, arp(1)), (999, arp(3))])

    assert told(run, wrong, path)[1]["eth0.pcap"]["contradicted"] == {
        "bound-elsewhere": {"packets": 1, "example": 1},
        "closed": {"packets": 1, "example": 2},
    }


def test_a_packet_that_is_not_in_the_recording(run, recording, tmp_path):
    wrong = captures.pcap(tmp_path / "eth0.pcap", [(-2, reply()), (40, reply(9)), (9_000_000, reply(7))])

    assert told(run, wrong, recording)[1]["eth0.pcap"]["untold"] == 2
    assert last_line(run, wrong, recording).startswith(
        "they do not agree: eth0.pcap: 2 in the file and not told (a fault"
    )


def test_packets_of_another_time_are_counted_apart(run, recording, tmp_path):
    packets = [(-3_000_000, reply(8)), (-2, reply()), (11_000_000, reply(9)), (500_000_000, reply(9))]

    status, captured, _ = told(run, captures.pcap(tmp_path / "eth0.pcap", packets), recording)

    assert (status, captured["eth0.pcap"]["outside"], captured["eth0.pcap"]["found"]) == (0, 3, 1)


@pytest.mark.parametrize("lost, untold, status", [(2, 2, 0), (1, 2, 1)])
def test_what_was_lost_excuses_as_many(run, tmp_path, lost, untold, status):
    path = trace(tmp_path / "t.arrows", received(), more=[losses(50, lost=[lost])])
    packets = [(-2, reply()), *((40 + nth, reply(9 + nth)) for nth in range(untold))]

    done, captured, _ = told(run, captures.pcap(tmp_path / "eth0.pcap", packets), path)

    assert (done, captured["eth0.pcap"]["excused"]) == (status, 0 if status else untold)


@pytest.mark.parametrize("start, status", [({"filter": "icmp"}, 1), ({"directions": ["tx"]}, 0)])
def test_what_was_not_traced_is_no_disagreement_but_a_contradiction_is(run, tmp_path, start, status):
    path = trace(tmp_path / "t.arrows", both(received(), refused(30)), **start)
    other = captures.pcap(tmp_path / "eth0.pcap", [(-2, reply()), (40, reply(9))])

    assert told(run, other, path)[0] == 0
    captures.pcap(tmp_path / "eth0.pcap", [(-2, reply()), (29, arp())])
    assert told(run, other, path)[0] == status


def test_what_the_recording_does_not_know_is_no_disagreement(run, tmp_path):
    unknown = rx("eth0", tap(ON_ETH0, "unknown"), handler("ANOTHER", "bond0"), packet=reply(3), at=50)
    path = trace(tmp_path / "t.arrows", both(received(), unknown))

    status, captured, _ = told(run, captures.pcap(tmp_path / "eth0.pcap", [(-2, reply()), (50, reply(3))]), path)

    assert (status, captured["eth0.pcap"]["open"], captured["eth0.pcap"]["untold"]) == (0, 1, 0)


def test_many_packets_over_many_batches_and_reads(run, tmp_path, monkeypatch):
    monkeypatch.setattr(capture_file, "_READ_BYTES", 4096)
    times = range(0, 9_000_000, 30_000)
    path = trace(tmp_path / "t.arrows", *(received(at, packet=reply(at // 30_000)) for at in times))
    packets = [(at - 40, reply(at // 30_000)) for at in times]

    status, captured, _ = told(run, captures.pcap(tmp_path / "eth0.pcap", packets), path)
    assert (status, captured["eth0.pcap"]["has"]) == (0, 300)
    captures.pcap(tmp_path / "eth0.pcap", [*packets[:100], *packets[101:200], (5_900_000, arp()), *packets[200:]])
    status, captured, _ = told(run, tmp_path / "eth0.pcap", path)
    assert (status, captured["eth0.pcap"]["missing"], captured["eth0.pcap"]["untold"]) == (
        1,
        {"packets": 1, "example": 101},
        1,
    )


def test_a_list_has_every_packet(run, recording, tmp_path):
    file = captures.pcap(tmp_path / "eth0.pcap", [(-2_000_000, arp()), (-2, reply()), (40, reply(9)), (29, arp())])

    lines = run("check", "--list", file, recording)[1].splitlines()
    objects = [json.loads(line) for line in run("check", "--list", "--json", file, recording)[1].splitlines()[:-1]]

    assert {(one["what"], one["number"], one["journey"], one["reason"]) for one in objects} == {
        ("has", 2, 1, None),
        ("lacks", None, 2, "bound-elsewhere"),
        ("lacks", None, 3, "full"),
        ("untold", 3, None, None),
        ("contradicted", 4, 2, "bound-elsewhere"),
        ("outside", 1, None, None),
    }
    assert len(objects) == 6
    assert "12:00:00.000002 eth0.pcap 2 #1 has" in lines
    assert "12:00:00.000030 eth0.pcap #2 lacks (bound-elsewhere)" in lines
    assert "11:59:58.000000 eth0.pcap 1 not in the traced time" in lines


def test_the_parts_of_one_capture_are_one(run, tmp_path):
    path = trace(tmp_path / "t.arrows", *(received(at, packet=reply(at // 1000)) for at in (0, 2_000_000)))
    later = captures.pcap(tmp_path / "eth0.pcap1", [(2_000_000, reply(2000))])
    first = captures.pcap(tmp_path / "eth0.pcap", [(0, reply(0))])

    status, captured, _ = told(run, later, first, path)

    assert (status, captured["eth0.pcap and 1 more"]["found"]) == (0, 2)
    assert captured["eth0.pcap and 1 more"]["files"] == [str(first), str(later)]


@pytest.mark.parametrize("named", ["41001", "1001", "eth0"])
def test_a_tap_may_be_named(run, recording, tmp_path, named):
    file = captures.pcap(tmp_path / "x.pcap", [(-2, reply())])

    assert told(run, file, recording, "--tap", f"x.pcap={named}")[1]["x.pcap"]["inode"] == ON_ETH0


def refusal(run, *words):
    status, out, err = run("check", *words)
    assert (status, out) == (2, "")
    return err


def test_a_file_that_may_be_of_several_taps_is_refused(run, recording, tmp_path):
    file = captures.pcap(tmp_path / "x.pcap", [(-2, reply())])

    assert refusal(run, file, recording) == (
        f"bondtrace: {file} may be of several taps; --tap x.pcap=INODE names its own, one of lldpd [41005], "
        "tcpdump -i eth0 [41001], tcpdump -i eth1 [41002], tcpdump -i bond0 [41003]\n"
    )
    assert "several taps are 'tcpdump': name the one" in refusal(run, file, recording, "--tap", f"{file}=tcpdump")
    assert "no tap of this recording is '9'" in refusal(run, file, recording, "--tap", f"{file}=9")
    assert "is not CAPTURE=TAP" in refusal(run, file, recording, "--tap", "y.pcap=9")
    # while only one can have written a file of all devices, or one whose interface is named
    captures.pcap(file, [(1, cooked(reply())), (3, cooked(reply()))], link=113)
    assert told(run, file, recording)[1]["x.pcap"]["inode"] == ON_ANY
    captures.pcapng(file, [(-2, reply())], name=b"bond0")
    assert told(run, file, recording)[1]["x.pcap"]["inode"] == ON_BOND0


def test_what_is_needed_is_said(run, recording, files, tmp_path):
    assert "check needs capture files" in refusal(run, recording)
    assert "check needs capture files" in refusal(run, files[0])
    other = captures.pcap(tmp_path / "x.pcap", [(0, b"x")], link=9)
    assert "has the link type 9, which cannot be compared" in refusal(run, other, recording)
    private = trace(tmp_path / "p.arrows", received(), privacy="hash")
    assert "was made with --privacy" in refusal(run, files[0], private)


def test_a_tap_that_was_not_watched_is_left_out(run, tmp_path, files):
    path = trace(tmp_path / "t.arrows", received(), namespaces=[NAMED[ON_ETH0].netns], interfaces=["eth0"])
    outside = trace(tmp_path / "u.arrows", received(), namespaces=[1], interfaces=["eth0"])

    assert told(run, files[0], path)[0] == 0
    assert "does not say what the taps of these captures were given (eth0.pcap, ...)" in refusal(run, files[0], outside)


@pytest.mark.parametrize(
    "start, end",
    [({"wall_offset_ns": -(1 << 62)}, {}), ({"time_ns": "x"}, {}), ({}, {"not_before_ns": "x"}), ({}, {"time_ns": []})],
)
def test_a_damaged_recording_is_refused_or_read(run, tmp_path, files, start, end):
    path = record(tmp_path / "d.arrows", (received(), [*events(taps=NAMED, **start), {**ended(1000), **end}]))

    status, out, err = run("check", *files, path)

    assert (status, err.count("\n")) == (1, 0 if out else 1)


def test_names_from_outside_are_made_printable(run, tmp_path):
    evil = {ON_ETH0: tcpdump(ON_ETH0, "eth0", "-w", "eth0.pcap", HOSTILE)}
    path = record(tmp_path / "t.arrows", (EMPTY, events(taps=evil)), (received(), [ended(1000)]))
    file = captures.pcap(tmp_path / "eth0.pcap", [(-2, reply())])

    out = run("check", file, path)[1]

    assert ESCAPED[:12] in out and "\x1b" not in out
