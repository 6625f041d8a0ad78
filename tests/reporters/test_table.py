# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of taps and devices: counted by hand for a small trace, and compared whole in every form."""

import io
import json
import re
from dataclasses import replace

import pytest
from reading import TAP, counting

from bondtrace.format.events import tap_gone_event
from bondtrace.format.stages import BEYOND_IP
from bondtrace.model import Process, Tap
from bondtrace.reporters import sockets, table
from build import (
    BEGIN_NS,
    ESCAPED,
    FEW,
    HERE,
    HOSTILE,
    ON_5354,
    ON_8080,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    SKB,
    SOCKETS,
    TAPS,
    altered,
    answered,
    arp,
    beyond_ip,
    counted,
    drop,
    echo,
    ether,
    given,
    handler,
    ip4,
    late,
    local,
    losses,
    protocol,
    received,
    refusal,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    tcp,
    tcpdump,
    tx,
    udp,
)

# Three replies through the bond and an ARP request on the backup slave. tcpdump -i any is offered each reply twice
# (eth0, bond0), the ARP request once: 7 captured, 3 packets twice. tcpdump -i bond0 never sees the ARP request.
SMALL = received(), received(20, packet=reply(seq=2)), refused(40), received(60, packet=reply(seq=3))


def written(*passes, form="simple", why=False, around=None):
    """The summary as text, without the spaces that tables have at their ends of lines."""
    summary, around = counted(*passes, around=around)
    stream = io.StringIO()
    table.write(summary, around, stream, form, why)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n"))


# --- the table -----------------------------------------------------------------------------------------


def test_the_table():
    assert (
        written(*SMALL)
        == """\
tap                       bound to    eth0 rx    eth1 rx    bond0 rx    captured    twice    unseen    mostly because
------------------------  ----------  ---------  ---------  ----------  ----------  -------  --------  ----------------
tcpdump -i any [41004]    any         3/3        1/1        3/3         7           3        0
tcpdump -i bond0 [41003]  bond0       -          -          3/3         3           0        1         inactive-slave
tcpdump -i eth0 [41001]   eth0        3/3        -          -           3           0        1         bound-elsewhere
[41002]                   unknown     -          1/1        -           1           0        0
(packets that passed)                 3          1          3

4 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once per device.
beyond IP not watched: --sockets (3 packets went on)
losses: none
"""
    )


def test_the_plain_table_with_reasons_and_losses():
    # given a trace that lost something
    around = scene(losses(0, lost=[2, 1]), taps=FEW)

    assert (
        written(*SMALL, form="plain", why=True, around=around)
        == """\
tap                       bound to    eth0 rx    eth1 rx    bond0 rx    captured    twice    unseen    mostly because
tcpdump -i any [41004]    any         3/3        1/1        3/3         7           3        0
tcpdump -i bond0 [41003]  bond0       -          -          3/3         3           0        1         inactive-slave
tcpdump -i eth0 [41001]   eth0        3/3        -          -           3           0        1         bound-elsewhere
[41002]                   unknown     -          1/1        -           1           0        0
(packets that passed)                 3          1          3

4 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once per device.
beyond IP not watched: --sockets (3 packets went on)

tcpdump -i eth0 [41001] did not see
         1  bound-elsewhere: bound to eth0; the packet passed eth1 (for example #3)
tcpdump -i bond0 [41003] did not see
         1  inactive-slave: bound to bond0, and bond_handle_frame kept the packet on eth1: inactive slave (EXACT) \
(for example #3)
losses: records lost 3 (so an absence may be a loss)
"""
    )


CELLS = [
    ["tap", "bound to", "eth0 rx", "eth1 rx", "bond0 rx", "captured", "twice", "unseen", "mostly because"],
    ["tcpdump -i any [41004]", "any", "3/3", "1/1", "3/3", "7", "3", "0", ""],
    ["tcpdump -i bond0 [41003]", "bond0", "-", "-", "3/3", "3", "0", "1", "inactive-slave"],
    ["tcpdump -i eth0 [41001]", "eth0", "3/3", "-", "-", "3", "0", "1", "bound-elsewhere"],
    ["[41002]", "unknown", "-", "1/1", "-", "1", "0", "0", ""],
    ["(packets that passed)", "", "3", "1", "3", "", "", "", ""],
]


def test_the_table_for_programs_has_its_cells_between_tabs_and_nothing_else():
    summary, around = counted(*SMALL)
    stream = io.StringIO()

    table.write(summary, around, stream, "tsv", why=True)

    assert stream.getvalue() == "".join("\t".join(row) + "\n" for row in CELLS)


def test_the_table_for_github():
    head, *below = written(*SMALL, form="github").split("\n\n")

    rows = [line.strip("|").split("|") for line in head.splitlines()]
    assert [[cell.strip() for cell in row] for row in rows if set(row[0]) != {"-"}] == CELLS
    assert [set(cell) for cell in rows[1]] == [{"-"}] * len(CELLS[0])
    assert below == [
        "4 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once per device.\n"
        "beyond IP not watched: --sockets (3 packets went on)\n"
        "losses: none\n"
    ]


def cells(*passes, around):
    """The table of these passes, as cells."""
    return [line.split("\t") for line in written(*passes, form="tsv", around=around).splitlines()]


def test_what_was_sent_and_what_taps_did_with_it():
    # given a request on the bond (filtered there) and its slave (no room), and another packet that a tap ignored
    around = scene(taps={})

    assert cells(sent(), rx("eth2", tap(9, "ignored"), tap(9, "unknown"), at=90), around=around) == [
        [
            "tap",
            "bound to",
            "eth0 tx",
            "bond0 tx",
            "eth2 rx",
            "captured",
            "filtered",
            "full",
            "ignored",
            "unknown",
            "twice",
            "unseen",
            "mostly because",
        ],
        ["[41001]", "unknown", "1/0", "-", "-", "0", "0", "1", "0", "0", "0", "0"],
        ["[41003]", "unknown", "-", "1/0", "-", "0", "1", "0", "0", "0", "0", "0"],
        ["[41004]", "unknown", "1/1", "1/1", "-", "2", "0", "0", "0", "0", "1", "0"],
        ["[9]", "unknown", "-", "-", "2/0", "0", "0", "0", "1", "1", "0", "0"],
        ["(packets that passed)", "", "1", "1", "1"],
    ]


def test_the_same_ifindex_in_two_namespaces_has_two_columns():
    # given a packet into another namespace, whose device has eth0's ifindex, and one on eth0
    around = scene(taps={})

    assert cells(tx("veth0"), rx("peer0", tap(9), at=5), rx("eth0", at=50, skb=SKB + 64), around=around) == [
        [
            "tap",
            "bound to",
            "eth0 rx (host)",
            "veth0 tx (host)",
            "peer0 rx (blue)",
            "captured",
            "unseen",
            "mostly because",
        ],
        ["[9]", "unknown", "-", "-", "1/1", "1", "0"],
        ["(packets that passed)", "", "1", "1", "1"],
    ]


def test_several_namespaces_are_a_line_above_the_headings():
    passes = tx("veth0"), rx("peer0", tap(9), at=5), rx("eth0", at=50, skb=SKB + 64)
    assert written(*passes, around=scene(taps={})).splitlines()[:3] == [
        "                                   host                   blue",
        "tap                    bound to    eth0 rx    veth0 tx    peer0 rx    captured    unseen    mostly because",
        "---------------------  ----------  ---------  ----------  ----------  ----------  --------  ----------------",
    ]


def test_a_table_is_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    told = written(*SMALL).partition("\n\n")[0].splitlines()

    assert max(map(len, told)) <= 70 and any(one.startswith("(too narrow for: bound to, ") for one in told)


def test_incomplete_journeys_are_counted_and_said():
    # given a pass that lost steps, and a late record that fits nothing
    result = written(rx("eth0", steps_lost=3), late("eth0", tap(ON_ETH0), at=9, frame=7), received(20))

    assert "\n3 packets (2 of them incomplete); a cell is offers/captures" in result


def test_nothing_at_all():
    assert (
        written(around=scene(taps={}))
        == """\
tap                    bound to    unseen    mostly because
---------------------  ----------  --------  ----------------
(packets that passed)

0 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once per device.
losses: none
"""
    )


def test_names_cannot_break_the_table():
    # given a process and a device whose names have line ends, tabs and escape sequences
    evil = Tap(5, HERE, 2, 3, "raw", processes=(Process(1, "a\tb\nc\x1b[31m", ""),))
    around = scene(altered("eth0", name="e\t\r\n0"), taps={5: evil}, devices={})

    assert cells(rx("eth0", tap(5)), around=around) == [
        ["tap", "bound to", "e\\x09\\x0d\\x0a0 rx", "captured", "unseen", "mostly because"],
        ["a\\x09b\\x0ac\\x1b[31m [5]", "e\\x09\\x0d\\x0a0", "1/1", "1", "0"],
        ["(packets that passed)", "", "1"],
    ]


# --- JSON ----------------------------------------------------------------------------------------------


def test_the_summary_as_json():
    # given a reply through the bond and an ARP request on the backup slave, with two taps known
    summary, around = counted(received(), refused(40), around=scene(taps={i: TAPS[i] for i in (ON_BOND0, ON_ANY)}))
    stream = io.StringIO()

    # when written
    table.write_json(summary, around, stream)

    # then it is one line, and this object
    def place(dev, **counts):
        return {"netns": HERE, "dev": dev, "direction": "rx", **counts}

    def devices(*offered):
        return [
            place(dev, passed=1, offered=count, captured=count)
            for dev, count in zip(("eth0", "eth1", "bond0"), offered)
        ]

    def known(name, dev, pid, kind):
        return {
            "pid": pid,
            "comm": "tcpdump",
            "name": name,
            "dev": dev,
            "protocol": "ALL",
            "kind": kind,
            "buffer": "ring",
            "ring_version": None,
            "ring_bytes": None,
            "netns": HERE,
            "uid": None,
            "running": True,
            "fanout_id": None,
            "has_filter": None,
            "promiscuous": None,
            "ignore_outgoing": None,
            "origdev": None,
            "processes": [{"pid": pid, "comm": "tcpdump", "cmdline": name}],
        }

    line, end = stream.getvalue().split("\n")
    assert end == ""
    assert json.loads(line) == {
        "journeys": 2,
        "incomplete": 0,
        "dropped": [],
        "passed": [place("eth0", packets=1), place("eth1", packets=1), place("bond0", packets=1)],
        "taps": {
            str(ON_BOND0): {
                **known("tcpdump -i bond0", "bond0", 803, "raw"),
                "ended": None,
                "watched": True,
                "devices": devices(0, 0, 1),
                "outcomes": {"captured": 1},
                "twice": 0,
                "unseen": {
                    "inactive-slave": {
                        "packets": 1,
                        "trivial": 0,
                        "example": 2,
                        "detail": "bound to bond0, and bond_handle_frame kept the "
                        "packet on eth1: inactive slave (EXACT)",
                    }
                },
            },
            str(ON_ANY): {
                **known("tcpdump -i any", "any", 804, "cooked"),
                "ended": None,
                "watched": True,
                "devices": devices(1, 1, 1),
                "outcomes": {"captured": 3},
                "twice": 1,
                "unseen": {},
            },
            str(ON_ETH0): {
                "ended": None,
                "watched": True,
                "devices": devices(1, 0, 0),
                "outcomes": {"captured": 1},
                "twice": 0,
                "unseen": {},
            },
            str(ON_ETH1): {
                "ended": None,
                "watched": True,
                "devices": devices(0, 1, 0),
                "outcomes": {"captured": 1},
                "twice": 0,
                "unseen": {},
            },
        },
        "sockets": None,
        "no_socket": None,
        "ends": None,
        "not_traced": [],
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
    }


# --- sockets ------------------------------------------------------------------------------------------

UP = handler("ANOTHER", "bond0"), protocol("ip_rcv")
OF_FULL = (
    "the socket's receive buffer was full: `ss -m`, SO_RCVBUF, sysctl net.core.rmem_max; does its program keep up?"
)
FULL = given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF")


def sent_to(port, *steps, at=0, of=udp, number=17):
    """A packet to this port of the host."""
    packet = ether(ip4(of(destination=port), number))
    return rx("eth0", *UP, local(number), *steps, at=at, packet=packet, skb=SKB + 64 * at)


# Three packets to dnsd, of which one found its buffer full; two to closed ports and an echo reply that nobody waits
# for; a connection that is accepted by nobody; two requests of ARP of which one is answered.
ENDED = (
    sent_to(5354, given(ON_5354)),
    sent_to(5354, given(ON_5354), at=20),
    sent_to(5354, *FULL, at=40),
    sent_to(9, drop("NO_SOCKET", "__udp4_lib_rcv"), at=60),
    sent_to(81, drop("NO_SOCKET", "tcp_v4_rcv"), at=80, of=tcp, number=6),
    rx("eth0", *UP, local(1), drop("NO_SOCKET", "icmp_rcv"), at=100, skb=SKB + 6400, packet=ether(ip4(echo()))),
    sent_to(8080, given(ON_8080, "tcp_v4_do_rcv", "LISTEN"), at=120, of=tcp, number=6),
    sent_to(8080, given(0, "tcp_v4_do_rcv"), at=140, of=tcp, number=6),
    sent_to(8080, given(0, "tcp_check_req", "NEW_SYN_RECV"), at=160, of=tcp, number=6),
    rx("eth0", UP[0], protocol("arp_rcv"), answered(), at=180, packet=arp(), skb=SKB + 0x9000),
    rx("eth0", UP[0], protocol("arp_rcv"), at=200, packet=arp(dst=9), skb=SKB + 0x9100),
)


def test_the_table_of_sockets():
    head, drawn, below = written(*ENDED, around=beyond_ip(taps={})).split("\n\n")[-3:]

    assert [re.split(r"\s{2,}", line) for line in drawn.splitlines() if not line.startswith("--")] == [
        ["socket", "on", "given", "queued", "taken", "full", "refused for"],
        ["dnsd's UDP socket *:5354 [12385]", "bond0", "3", "2", "0", "1", "SOCKET_RCVBUFF 1"],
        ["a connection that was not yet accepted, or is closed", "bond0", "1", "0", "1", "0"],
        ["a socket that no process holds (NEW_SYN_RECV)", "bond0", "1", "0", "1", "0"],
        ["TCP socket 10.9.0.2%bond0:8080 [12386]", "bond0", "1", "0", "1", "0"],
    ]
    assert below == (
        "ends of received packets: 5 given to a socket, 1 refused by the socket, 3 dropped (1 by design), 1 answered, "
        "1 not answered\nlosses: none\n"
    )
    *lost, harmless = (one.partition(" on bond0 in ") for one in head.splitlines()[-4:])
    assert {one[0] for one in lost} == {"dropped by the kernel: 1"} and harmless[0] == "dropped by design: 1"
    assert harmless[2].startswith("icmp_rcv: NO_SOCKET (raw sockets (ping's) got copies before")


def test_why_sockets_did_not_get_packets():
    told = written(*ENDED, why=True, around=beyond_ip(taps={})).splitlines()
    advice = "no socket takes it: `ss -anp` for port {}; is a program bound to this address, port and device?"

    assert told[told.index("dnsd's UDP socket *:5354 [12385] did not take") :] == [
        "dnsd's UDP socket *:5354 [12385] did not take",
        "         1  full: no room in its receive buffer (SOCKET_RCVBUFF) (for example #3); look at: " + OF_FULL,
        "sent to a port that no socket has",
        f"         1  UDP port 9 (for example #4); look at: {advice.format(9)}",
        f"         1  TCP port 81 (for example #5); look at: {advice.format(81)}",
        "losses: none",
    ]


def test_sockets_for_programs():
    blocks = written(*ENDED, form="tsv", around=beyond_ip(taps={})).split("\n\n")

    assert len(blocks) == 2 and blocks[0].startswith("tap\t")
    assert blocks[1].splitlines()[:2] == [
        "socket\ton\tgiven\tqueued\ttaken\tfull\trefused for",
        "dnsd's UDP socket *:5354 [12385]\tbond0\t3\t2\t0\t1\tSOCKET_RCVBUFF 1",
    ]


def test_states_of_tcp_without_a_process_that_are_called_the_same_are_one_row():
    states = [given(0, "tcp_v4_do_rcv", state) for state in ("SYN_RECV", "TIME_WAIT", "SYN_RECV")]
    passes = [sent_to(8080, step, at=20 * n, of=tcp, number=6) for n, step in enumerate(states)]
    summary, around = counted(*passes, around=beyond_ip())

    names = {"SYN_RECV": "a connection that is being made", "TIME_WAIT": "a connection that is over (TIME_WAIT)"}
    assert sockets.table(summary, around)[1] == [
        [names["SYN_RECV"], "bond0", "2", "2", ""],
        [names["TIME_WAIT"], "bond0", "1", "1", ""],
    ]


def test_a_kernel_without_reasons_gives_none():
    around = beyond_ip(taps={}, drop_reasons={})
    told = written(sent_to(5354, *FULL), around=around, why=True)

    assert "refused: refused (the kernel gives no reason) (for example #1)\n" in told
    assert re.search(r"\[12385\] +bond0 +1 +1 +the kernel gives no reason 1\n", told)


def test_of_many_sockets_the_table_has_those_that_refused_something_and_the_busiest():
    # given as many sockets as the table has rows and two more: one that refused a packet, and one that was given two
    passes = [sent_to(5354, given(5000 + n), at=20 * n) for n in range(sockets.ROWS_MAX)]
    passes += [sent_to(5354, *FULL, at=9000), sent_to(5354, given(7000), at=9020), sent_to(5354, given(7000), at=9040)]
    summary, around = counted(*passes, around=beyond_ip())

    rows = sockets.table(summary, around)[1]
    assert [row[0] for row in rows[:3]] == [
        "dnsd's UDP socket *:5354 [12385]",
        "socket [7000] (known only by its inode)",
        "socket [5000] (known only by its inode)",
    ]
    assert len(rows) == sockets.ROWS_MAX
    assert sockets.lines_below(summary, around)[0] == "and 2 more sockets, which were given 2 packets"


def test_a_hostile_name_of_a_socket_is_escaped():
    evil = replace(SOCKETS[ON_5354], processes=(Process(7, HOSTILE, HOSTILE),))
    told = written(sent_to(5354, *FULL), why=True, around=beyond_ip(taps={}, sockets={ON_5354: evil}))

    assert HOSTILE not in told and told.count(f"{ESCAPED}'s UDP socket") == 2


def test_sockets_and_ends_as_json():
    summary, around = counted(*ENDED, around=beyond_ip())
    told = table.summary_object(summary, around)

    assert list(told["sockets"]) == [str(ON_5354), "0:ESTABLISHED", "0:NEW_SYN_RECV", str(ON_8080)]
    dnsd = told["sockets"][str(ON_5354)]
    assert {name: dnsd[name] for name in ("name", "given", "outcomes", "devices", "refused")} == {
        "name": "dnsd's UDP socket *:5354",
        "given": 3,
        "outcomes": {"queued": 2, "full": 1},
        "devices": [{"netns": HERE, "dev": "bond0", "packets": 3}],
        "refused": [{"outcome": "full", "reason": "SOCKET_RCVBUFF", "packets": 1, "example": 3, "look_at": OF_FULL}],
    }
    assert told["sockets"]["0:ESTABLISHED"]["name"] == "a connection that was not yet accepted, or is closed"
    ports = [tuple(one[name] for name in ("protocol", "port", "packets", "example")) for one in told["no_socket"]]
    assert ports == [("UDP", 9, 1, 4), ("TCP", 81, 1, 5)]
    assert told["ends"] == {"socket": 5, "refused": 1, "dropped": 3, "answered": 1, "unanswered": 1}


def test_without_the_stages_nothing_is_said_of_sockets_but_that():
    missing = beyond_ip(taps={}, missing=BEYOND_IP)
    told = written(rx("eth0", *UP), around=missing)
    summary, _ = counted(rx("eth0", *UP), around=missing)

    assert "\nbeyond IP not watched: --sockets (1 packet went on)\n" in told and "socket  " not in told
    assert table.summary_object(summary, missing)["ends"] is None


# --- counted in the kernel ----------------------------------------------------------------------------


@pytest.fixture
def pipeline():
    return counting()


def test_the_table_claims_no_absence(pipeline):
    stream = io.StringIO()
    table.write(pipeline.summary, pipeline.scene, stream)
    text = stream.getvalue()
    assert "unseen" not in text and "mostly because" not in text
    assert "90/80" in text and "7/7" in text
    assert "107 passes, counted in the kernel: why a tap was not offered a packet is not known" in text
    assert "dropped by the kernel: 10 on eth0 in __netif_receive_skb_core: NO_SOCKET" in text
    assert "taps known only by inode: 1" in text


def test_json_says_what_is_not_known(pipeline):
    stream = io.StringIO()
    table.write_json(pipeline.summary, pipeline.scene, stream)
    told = json.loads(stream.getvalue())
    assert told["passes"] == 107 and "journeys" not in told and "incomplete" not in told
    assert {tap["unseen"] for tap in told["taps"].values()} == {tap["twice"] for tap in told["taps"].values()} == {None}
    assert told["taps"][str(TAP)]["outcomes"] == {"captured": 87, "full": 10}


def test_a_reason_that_tells_something_is_named_before_a_more_frequent_trivial_one():
    # given a tap on bond0 of which two packets passed elsewhere, and one was kept on the backup slave
    packets = rx("eth2", skb=SKB + 64), rx("eth2", at=20, skb=SKB + 128), refused(40)
    line = next(one for one in written(*packets).splitlines() if one.startswith("tcpdump -i bond0"))

    assert line.endswith("3         inactive-slave (1 of 3)")


def test_why_lists_reasons_that_tell_something_first_and_their_examples():
    # given taps on a bond and its slaves, two packets elsewhere, and one that was sent on the bond and went nowhere
    packets = rx("eth2", skb=SKB + 64), rx("eth2", at=20, skb=SKB + 128), refused(40), tx("bond0", at=60, skb=SKB)
    told = written(*packets, why=True).splitlines()

    place = next(at for at, one in enumerate(told) if one.startswith("tcpdump -i bond0 [41003] did not see"))
    assert [one.split()[:2] for one in told[place + 1 : place + 4]] == [
        ["1", "inactive-slave:"],
        ["1", "unknown:"],
        ["2", "bound-elsewhere:"],
    ]
    [queued] = [one for one in told if "bond0 sent it, and it was not seen to leave by eth0" in one]
    assert queued.split()[0] == "1" and queued.endswith("(for example #4)")
    [elsewhere] = [one for one in told if "bound to eth0; the packet passed eth2" in one]
    assert elsewhere.split()[0] == "3" and elsewhere.endswith("(for example #1)")


def test_a_tap_that_closed_keeps_its_row_with_a_mark():
    around = scene(tap_gone_event(BEGIN_NS + 5_000_000, BEGIN_NS, ON_ETH0), taps=FEW)
    told = written(*SMALL, around=around).splitlines()

    [row] = [one for one in told if one.startswith("tcpdump -i eth0 [41001]")]
    assert row.split()[4:6] == ["eth0", "(closed)"]
    assert "closed: tcpdump -i eth0 [41001] by 12:00:00.005000: its socket was closed" in told


def test_what_is_captured_and_in_no_file_is_noted():
    around = scene(taps={ON_ETH0: tcpdump(ON_ETH0, "eth0", "-Q", "in")})
    told = written(tx("eth0", tap(ON_ETH0)), around=around).splitlines()

    assert "tcpdump -i eth0 [41001]: captured 1 packet sent, which -Q in discards in user space" in told
