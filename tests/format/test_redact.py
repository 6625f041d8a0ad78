# SPDX-License-Identifier: GPL-2.0-or-later
"""`--privacy`: what stays of packets and surroundings, byte by byte, and that journeys stay journeys."""

import json
import random
import struct
from dataclasses import replace
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path

import pytest
from traced import Source

from bondtrace.format.batch import Batch
from bondtrace.format.events import ip_settings_event, read_socket, route_event, socket_event
from bondtrace.format.recording import Recording
from bondtrace.format.redact import MODES, Privacy
from bondtrace.format.wire import EMPTY, PACKET_BYTES
from bondtrace.model import IpSettings, Packet, Process
from bondtrace.pipeline import Pipeline
from build import (
    DEVICES,
    HERE,
    ON_5354,
    ON_ANY,
    ON_BOND0,
    SOCKETS,
    TAPS,
    B,
    arp,
    both,
    echo,
    ether,
    events,
    ip4,
    ip6,
    late,
    losses,
    received,
    record,
    refused,
    rx,
    sent,
    tap,
    tcp,
    udp,
    vlan,
)

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "examples" / "ping.arrows", ROOT / "tests" / "data" / "first.arrows")


def kept(packet, mode="hash", privacy=None, **more):
    """What is kept of a packet's bytes."""
    one = (privacy or Privacy(mode)).passes(rx("eth0", packet=packet, **more)).records[0]
    return one["packet"].tobytes()[: int(one["captured"])]


# --- packets, byte by byte -----------------------------------------------------------------------------


def span(*parts):
    return {place for begin, end in parts for place in range(begin, end)}


PAYLOAD = bytes(range(100, 180))
UDP4 = ip4(udp(data=PAYLOAD), protocol=17)
ROUTE = b"\x83\x07\x04\x0a\x09\0\0\0"
SOLICITATION = ip6(struct.pack("!BBHI", 135, 0, 0, 7) + PAYLOAD, following=58)
LAYOUTS = {  # name: (packet, the bytes that stay as they are, how many there are)
    "tcp": (ether(ip4(tcp() + PAYLOAD, protocol=6)), span((12, 24), (34, 50), (52, 54)), 54),
    "udp": (ether(ip4(udp(data=PAYLOAD), protocol=17)), span((12, 24), (34, 40)), 42),
    "echo": (ether(ip4(echo())), span((12, 24), (34, 36), (38, 42)), 42),
    "redirect": (ether(ip4(echo(5))), span((12, 24), (34, 36)), 42),
    "fragment": (ether(UDP4[:6] + b"\x00\x10" + UDP4[8:]), span((12, 24)), 34),
    "options": (ether(b"\x46" + ip4(ROUTE + PAYLOAD, protocol=47)[1:]), span((12, 24)), 38),
    "gre": (ether(ip4(PAYLOAD, protocol=47)), span((12, 24)), 34),
    "tagged": (ether(UDP4, tag=7), span((12, 28), (38, 44)), 46),
    "udp6": (ether(ip6(udp(data=PAYLOAD)), 0x86DD), span((12, 22), (54, 60)), 62),
    "neighbour": (ether(SOLICITATION, 0x86DD), span((12, 22), (54, 56)), 62),
    "extension": (ether(ip6(PAYLOAD, following=0), 0x86DD), span((12, 22)), 54),
    "arp": (B + arp()[6:], span((12, 22)), 42),
    "rarp of others": (ether(struct.pack("!HHBBH", 6, 0x0800, 6, 4, 1) + PAYLOAD, 0x0806), span((12, 22)), 22),
    "lldp": (ether(b"\x02\x07\x04" + PAYLOAD, 0x88CC), span((12, 14)), 14),
    "llc": (ether(PAYLOAD, len(PAYLOAD)), span((12, 14)), 14),
    "short": (ether(b"")[:13], span((12, 13)), 13),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_nothing_of_a_packet_stays_but_what_is_documented(name):
    # given a packet, whose addresses are unlike all that stays as it is
    packet, stay, size = LAYOUTS[name]
    privacy = Privacy("drop")
    plain = kept(packet, privacy=privacy)

    # when each of its bytes is another, then what is kept is another only where that byte is one that may stay
    told = set()
    for place in range(min(len(packet), PACKET_BYTES)):
        other = bytearray(packet)
        other[place] ^= 0x10 if place in span((0, 12)) else 0x40
        if kept(bytes(other), privacy=privacy) != plain:
            told.add(place)
    assert told - stay == set(), f"{sorted(told - stay)} can be read"
    assert all(plain[place] == packet[place] for place in stay)
    assert len(plain) == (size if name != "arp" else 22)
    assert len(kept(packet)) == size


def test_addresses_have_pseudonyms_that_nobody_has():
    frame = kept(ether(ip4(echo(), src=7, dst=9)))
    assert frame[0] == frame[6] == 2 and frame[26] >> 4 == frame[30] >> 4 == 0xF
    six = kept(ether(ip6(udp()), 0x86DD))
    assert six[22:26] == six[38:42] == b"\x20\x01\x0d\xb8"
    # a group stays a group; broadcast, nobody, and control protocols' addresses are no one's
    assert kept(ether(b"", dst=bytes.fromhex("3333ff123456")))[0] == 3
    for one in (b"\xff" * 6, bytes(6), bytes.fromhex("0180c2000002")):
        assert kept(ether(b"", dst=one))[:6] == one
    question = kept(arp())
    assert question[:6] == b"\xff" * 6 and question[32:38] == bytes(6)


def test_a_pseudonym_is_the_same_in_a_recording_and_another_in_the_next():
    one, other = Privacy("hash"), Privacy("hash")
    first = kept(ether(ip4(echo(), src=1, dst=2)), privacy=one)
    back = kept(ether(ip4(udp(), protocol=17, src=2, dst=1)), privacy=one)
    assert first[26:30] == back[30:34] and first[30:34] == back[26:30] and first[26:30] != first[30:34]
    asked = kept(arp(1, 2), privacy=one)
    assert asked[28:32] == first[26:30] and asked[38:42] == first[30:34]
    assert kept(ether(ip4(echo(), src=1, dst=2)), privacy=other)[26:30] != first[26:30]


@pytest.mark.parametrize("mode", MODES)
def test_any_bytes_may_come(mode):
    chance, privacy = random.Random(3), Privacy(mode)
    for _ in range(300):
        packet = bytearray(chance.choice(list(LAYOUTS.values()))[0][: chance.randrange(90)] or b"\0")
        for _ in range(chance.randrange(8)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        passes = rx("eth0", packet=bytes(packet).ljust(14, b"\0"))
        passes.records["captured"] = chance.randrange(256)
        passes.records["arphrd"] = chance.choice((1, 772, 65534, 512, 6, 803))
        told = privacy.passes(passes).records[0]
        assert told["captured"] <= PACKET_BYTES and not told["packet"][int(told["captured"]) :].any()


# --- surroundings --------------------------------------------------------------------------------------

SECRETS = ("10.1.2.3", "2a01:db8::a1", "de:ad:be:ef:00:01", "de:ad:be:ef:00:02", "secret-host", "hunter2")


def secret_events():
    addresses = {"address": "de:ad:be:ef:00:01", "ad_partner": "de:ad:be:ef:00:02"}
    devices = {name: replace(one, **addresses) for name, one in DEVICES.items()}
    evil = Process(7, "tcpdump", "/usr/sbin/tcpdump -i eth0 host 10.1.2.3 --password hunter2")
    taps = {inode: replace(one, processes=(evil,)) for inode, one in TAPS.items()}
    secret = {"address": "10.1.2.3", "remote": "2a01:db8::a1", "processes": (evil,)}
    settings = IpSettings(HERE, 2, ("10.1.2.3", "2a01:db8::a1"), (("rp_filter", 1, 0),))
    return [
        *events(taps=taps, devices=devices, host="secret-host", filter="host 10.1.2.3"),
        socket_event(5, replace(SOCKETS[ON_5354], **secret)),
        ip_settings_event(5, settings),
        route_event(5, HERE, "10.1.2.3", [2]),
        {"kind": "bytes", "time_ns": 5, "packets": [[0, 1, "aHVudGVyMg=="]]},
    ]


def everything():
    return both(
        received(),
        refused(50),
        sent(100),
        late("bond0", tap(ON_BOND0), at=3),
        rx(
            "eth0",
            tap(ON_ANY),
            vlan("bond0.7"),
            tap(ON_ANY),
            at=300,
            vlan=7,
            skb=9,
            packet=ether(ip4(udp(), protocol=17)),
        ),
    )


@pytest.mark.parametrize("mode", MODES)
def test_what_surrounds_the_packets_tells_no_secrets(mode):
    plain = json.dumps(secret_events())
    assert [one for one in (*SECRETS, "aHVudGVyMg==") if one not in plain] == []

    [batch] = Privacy(mode).batches([Batch(everything(), secret_events(), 0)])

    text = json.dumps(batch.events)
    assert [one for one in (*SECRETS, "aHVudGVyMg==") if one in text] == []
    assert batch.events[0]["privacy"] == mode and batch.events[0]["filter"] == "(withheld)"
    assert {
        process["cmdline"]
        for event in batch.events
        if event["kind"] in ("tap", "socket")
        for process in event[event["kind"]]["processes"]
    } == {"tcpdump"}
    assert not any(event["kind"] == "bytes" for event in batch.events)
    if mode == "drop":
        assert batch.events[0]["host"] == "(withheld)"
    else:
        assert batch.events[0]["host"].startswith("host-")


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "device", "device": 5},
        {"kind": "device", "device": {"address": 5, "ad_partner": 5}},
        {"kind": "tap", "tap": None},
        {"kind": "tap", "tap": {"processes": [5, {}]}},
        {"kind": "tap", "tap": {"processes": 5}},
        {"kind": "socket", "socket": None},
        {"kind": "socket", "socket": {"address": 5, "remote": ["10.1.2.3"], "processes": 5}},
        {"kind": "socket", "socket": {"processes": [5, {}]}},
        {"kind": "ip-settings", "ip_settings": []},
        {"kind": "ip-settings", "ip_settings": {"addresses": 5}},
        {"kind": "ip-settings", "ip_settings": {"addresses": [5, None]}},
        {"kind": "route"},
        {"kind": "start"},
        {},
    ],
)
def test_events_of_hostile_recordings_are_left_to_who_checks_them(event):
    assert len(list(Privacy("hash").batches([Batch(received(), [event], 0)]))) == 1


def socket_as_told(privacy, **more):
    """A socket after its event was treated."""
    event = socket_event(5, replace(SOCKETS[ON_5354], **more))
    [batch] = privacy.batches([Batch(EMPTY, [json.loads(json.dumps(event))], 0)])
    return read_socket(batch.events[0]["socket"])


@pytest.mark.parametrize("mode", MODES)
def test_addresses_of_sockets_are_those_of_their_packets(mode):
    # given a packet of IPv4 and one of IPv6, and the sockets that they are sent to
    privacy = Privacy(mode)
    packet4 = kept(ether(ip4(udp(), protocol=17, src=1, dst=2)), privacy=privacy)
    packet6 = kept(ether(ip6(udp(), src=1, dst=2), 0x86DD), privacy=privacy)
    source4, target4 = (str(ip_address(packet4[at : at + 4])) for at in (26, 30))
    source6, target6 = (str(ip_address(packet6[at : at + 16])) for at in (22, 38))

    four = socket_as_told(privacy, address="10.9.0.2", remote="10.9.0.1", ifindex=4)
    six = socket_as_told(privacy, family=10, address="fe80::2", remote="fe80::1")
    mapped = socket_as_told(privacy, family=10, address="::ffff:10.9.0.2", remote="::ffff:10.9.0.1")

    assert (four.address, four.remote) == (target4, source4) and four.address.startswith("2")
    assert (six.address, six.remote) == (target6, source6) and six.address.startswith("2001:db8:")
    assert (mapped.address, mapped.remote) == (f"::ffff:{target4}", f"::ffff:{source4}")
    # and what is no secret stays
    assert (four.inode, four.port, four.ifindex, four.protocol) == (ON_5354, 5354, 4, 17)


def test_an_address_that_a_socket_has_not_stays_none():
    assert (socket_as_told(Privacy("hash")).address, socket_as_told(Privacy("hash")).remote) == ("", "")


def test_what_is_no_address_is_not_kept():
    told = socket_as_told(Privacy("hash"), address="hunter2", remote="10.1.2.3.4")
    assert (told.address, told.remote) == ("", "")


@pytest.mark.parametrize("mode", MODES)
def test_the_ways_back_and_settings_have_the_packets_addresses(mode):
    privacy = Privacy(mode)
    packet = kept(ether(ip4(udp(), protocol=17, src=1, dst=2)), privacy=privacy)
    settings = IpSettings(HERE, 2, ("10.9.0.2", "fe80::2"), (("rp_filter", 1, 0),))

    [batch] = privacy.batches(
        [Batch(EMPTY, [ip_settings_event(5, settings), route_event(5, HERE, "10.9.0.1", [2])], 0)]
    )

    own, route = batch.events
    assert route == {**route_event(5, HERE, str(ip_address(packet[26:30])), [2])}
    assert own["ip_settings"]["addresses"][0] == str(ip_address(packet[30:34]))
    assert own["ip_settings"]["settings"] == [["rp_filter", 1, 0]]


# --- journeys ------------------------------------------------------------------------------------------


NO_PACKET = Packet(0, 0, "", "", "", "")


def shapes(batches):
    """All of the journeys but for packets and names of taps."""
    found = []
    pipeline = Pipeline(
        show=lambda one: found.append(
            (
                one.id,
                one.time_ns,
                one.duration_ns,
                one.complete,
                [replace(part, packet=NO_PACKET) for part in one.passes],
                [(part.packet.protocol, part.packet.length, part.packet.tags) for part in one.passes],
                [(m.tap, m.reason) for m in one.unseen],
                (one.packet.protocol, one.packet.length, one.packet.vlan),
            )
        )
    )
    pipeline.run(batches)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_recorded_journeys_are_the_same(file, mode):
    plain = shapes(Recording(file).batches())
    assert plain and shapes(Privacy(mode).batches(Recording(file).batches())) == plain


@pytest.mark.parametrize("mode", MODES)
def test_journeys_of_every_kind_are_the_same(mode):
    many = both(
        everything(),
        *(received(1000 + n, skb=7 + n, packet=ether(ip4(tcp(seq=n), protocol=6, ident=n))) for n in range(50)),
    )
    plain = shapes([Batch(many, events(), 0)])
    assert len(plain) > 50 and shapes(Privacy(mode).batches([Batch(many, events(), 0)])) == plain


# --- commands ------------------------------------------------------------------------------------------


class FakeSource(Source):
    """A trace of two batches in the place of the kernel's."""

    def batches(self):
        yield Batch(everything(), secret_events(), 0)
        yield Batch(received(900, packet=ether(ip4(udp(data=b"hunter2" * 9), protocol=17))), [losses(5, lost=[0])], 0)


@pytest.fixture
def traced(monkeypatch):
    import bondtrace.capture.live.source

    monkeypatch.setattr(bondtrace.capture.live.source, "LiveSource", FakeSource)
    for name in ("live", "record"):
        monkeypatch.setattr(import_module(f"bondtrace.commands.{name}"), "require_rights", lambda: None)
    monkeypatch.setattr(import_module("bondtrace.commands.live"), "end_on_signals", lambda *_: None)


@pytest.mark.parametrize("mode", [None, *MODES])
def test_no_secret_is_written_to_disk_or_shown(run, traced, tmp_path, mode):
    path = tmp_path / "x.arrows"
    options = ["--privacy", mode] if mode else []
    status, out, err = run("live", "--write", path, *options)
    assert status == 0, err
    status, _, err = run("record", "-o", tmp_path / "y.arrows", *options)
    assert status == 0, err

    found = set()
    for one in (path, tmp_path / "y.arrows"):
        for batch in Recording(one).batches():
            stored = json.dumps(batch.events).encode() + batch.passes.records.tobytes()
            found |= {word for word in (*SECRETS, "\n\x09\0\x01", "hunter2hunter2") if word.encode() in stored}
    found |= {word for word in (*SECRETS, "10.9.0.1") if word in out + err}
    assert found == (set() if mode else {*SECRETS, "\n\x09\0\x01", "hunter2hunter2", "10.9.0.1"})


def secrets_in(path):
    """What of the recording's secrets stands in a file."""
    data = path.read_bytes()
    return {one for one in (*SECRETS, "10.9.0.1", "\n\x09\0\x01", "02:00:00:00:00:0a") if one.encode() in data}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["csv", "jsonl", "pcapng", "perfetto"])
def test_no_secret_is_exported(run, tmp_path, form, mode):
    path, plain, private = (tmp_path / name for name in ("x.arrows", "plain", "private"))
    record(path, (everything(), secret_events()))
    for target, options in ((plain, ()), (private, ("--privacy", mode))):
        status, _, err = run("export", path, "--format", form, "-o", target, *options)
        assert status == 0, err

    # given an export that tells some of them, one with privacy tells none
    assert {"10.1.2.3", "hunter2"} < secrets_in(plain)
    assert secrets_in(private) == set()


@pytest.mark.parametrize("mode", MODES)
def test_no_secret_is_reported(run, tmp_path, mode):
    pytest.importorskip("plotly")
    path, plain, private = (tmp_path / name for name in ("x.arrows", "plain", "private"))
    record(path, (everything(), secret_events()))
    for target, options in ((plain, ()), (private, ("--privacy", mode))):
        status, _, err = run("report", path, "-o", target, *options)
        assert status == 0, err

    assert secrets_in(plain) == {"10.1.2.3", "secret-host", "hunter2", "10.9.0.1"}
    assert secrets_in(private) == set()
