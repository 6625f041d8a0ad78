# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile recordings: makes them from a fuzzer's bytes; and everything that reads recordings, as one function.

``recording_of`` reads bytes as a small program that alters a sound recording: types, sizes, order and references of
its events, fields of its passes and steps, or the bytes of the file. So a coverage-guided fuzzer (scripts/fuzz), or
random bytes from a seed (tests/test_hostile_recordings.py), reaches what is behind the reader, past compression and
schema.
"""

import io
import json
from pathlib import Path

import numpy as np

from bondtrace.analysis.eras import ERAS
from bondtrace.api import open_trace
from bondtrace.commands.lab import observe
from bondtrace.errors import BondtraceError
from bondtrace.exporters.csv_rows import CsvExporter
from bondtrace.exporters.jsonl import JsonLinesExporter
from bondtrace.exporters.parquet import ParquetExporter
from bondtrace.exporters.pcapng import PcapngExporter
from bondtrace.exporters.perfetto import PerfettoExporter, begin_ns
from bondtrace.format import stages
from bondtrace.format.arrow_ipc import END_OF_STREAM, schema_message
from bondtrace.format.batch import SCHEMA, encode
from bondtrace.format.events import ip_settings_event, route_event, socket_event, tap_event
from bondtrace.format.recording import Recording
from bondtrace.format.trace_set import gather
from bondtrace.format.wire import Passes
from bondtrace.model import IpSettings
from bondtrace.pipeline import Pipeline
from bondtrace.reporters import as_if, json_lines, story, table, text
from bondtrace.reporters.html import json_in_html
from bondtrace.reporters.html.figures import report_object
from bondtrace.stats.metrics import NamedCounts
from bondtrace.stats.report_data import ReportData, Sample
from bondtrace.util import untrusted
from build import (
    BEGIN_NS,
    HERE,
    ON_5354,
    ON_8080,
    ON_BOND0,
    RAW,
    SOCKETS,
    TAPS,
    answered,
    arp,
    both,
    drop,
    ether,
    events,
    fanout,
    forwarded,
    given,
    handler,
    hook,
    ip4,
    ip6,
    late,
    local,
    losses,
    protocol,
    received,
    refusal,
    refused,
    reply,
    rx,
    sent,
    stage,
    tap,
    tcp,
    udp,
)

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "examples" / "ping.arrows", ROOT / "tests" / "data" / "first.arrows")
JOURNEYS = 200  # at most this many are written one by one

HOSTILE = (
    -1,
    0,
    1,
    2,
    3,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    1 << 64,
    10**400,
    -(10**30),
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    True,
    False,
    None,
    "",
    "x",
    "eth0",
    "\ud800\x1b[31m\n",
    "9" * 5000,
    [],
    {},
    [[]],
    [None],
    {"a": {"a": []}},
    {"": ""},
    [1] * 1000,
    ["x"] * 50,
    {str(n): n for n in range(50)},
    "bond",
    "veth",
    "start",
    "device",
    "tap",
    "tap-gone",
    "losses",
    "symbol",
    "chain",
    "bytes",
    "stage",
    "end",
)
EXTREMES = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    80,
    127,
    128,
    255,
    256,
    1 << 15,
    (1 << 16) - 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    1_000_000_000_000,
)
REFERENCES = ("master", "link", "ifindex", "netns", "link_netns", "active_slave", "inode", "fanout_id")
KINDS = ("veth", "bond", "vlan", "bridge", "openvswitch", "macvlan", "raw")


class Program:
    """Bytes as a sequence of small numbers, followed by zeros."""

    def __init__(self, data):
        self._data, self._at = data, 0

    def __bool__(self):
        return self._at < len(self._data)

    def number(self, below):
        """Return the next number, at least 0 and less than ``below``."""
        wide = 1 + (below > 256)
        value = int.from_bytes(self._data[self._at : self._at + wide], "little")
        self._at += wide
        return value % max(below, 1)

    def one_of(self, values):
        """Return one of these values, by the next number."""
        return values[self.number(len(values))]

    @property
    def rest(self):
        """Return the bytes that are left."""
        return self._data[self._at :]


def sound():
    """Return (events, passes) of the recording that is altered."""
    told = [
        *events(),
        losses(1, lost=[0, 0]),
        {"kind": "device-gone", "time_ns": 2_000_000_000_000, "netns": 1, "ifindex": 1},
        tap_event(1_000_000_600_000, TAPS[ON_BOND0], 1_000_000_400_000, read_ns=1_000_000_500_000),
        {"kind": "tap-gone", "time_ns": 1_000_000_800_000, "not_before_ns": 1_000_000_700_000, "inode": ON_BOND0},
        {"kind": "stage", "time_ns": 5, "stage": {"name": "s", "missing": "m", "without": "w", "handler": True}},
        {"kind": "note", "time_ns": 5, "text": "n"},
        {"kind": "bytes", "time_ns": 5, "packets": [[0, 1, "AAAA"]]},
        {"kind": "end", "time_ns": 2_000_000_000_000},
    ]
    passes = both(
        received(),
        refused(50),
        sent(100),
        late("bond0", tap(ON_BOND0), at=3),
        hook(ON_BOND0, True, at=90),
        rx("eth0", fanout(), handler("CONSUMED"), at=200, skb=1, in_list=True),
        rx("eth1", drop("TC_INGRESS"), at=300, skb=2, packet=arp(), inside_list=True, parent=1),
        rx("bond0.7", protocol("ip_rcv"), at=400, vlan=7, skb=3),
        rx("eth2", at=500, skb=4),
    )
    return told, passes


#: The choice of programs that alter a recording with what comes beyond IP.
BEYOND_IP = 5


def sound_beyond_ip():
    """Return (events, passes) of another, in which sockets are given packets."""
    packet = ether(ip4(udp(destination=5354), 17))
    refused_by = given(RAW, "raw_rcv"), given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF")
    settings = IpSettings(HERE, 2, ("10.9.0.2",), (("rp_filter", 1, 0), ("arp_ignore", 8, 0)))
    told = [
        *events(stages=[stage(name) for name in (*stages.BEYOND_IP, stages.DROPS)]),
        *(socket_event(BEGIN_NS, one) for one in SOCKETS.values()),
        ip_settings_event(BEGIN_NS, settings),
        route_event(BEGIN_NS, HERE, "10.9.0.1", [3]),
        {"kind": "end", "time_ns": 2_000_000_000_000},
    ]
    passes = both(
        rx("eth0", protocol("ip_rcv"), local(17), *refused_by, packet=packet),
        rx("eth0", protocol("ip_rcv"), drop("NO_SOCKET", "tcp_v4_rcv"), at=50, skb=2, packet=ether(ip4(tcp(), 6))),
        rx("eth0", protocol("arp_rcv"), answered(), at=100, skb=3, packet=arp()),
        rx("eth0", protocol("ip_rcv"), forwarded(6), at=120, skb=8),
        rx("eth2", protocol("arp_rcv"), at=150, skb=4, packet=arp()),
        rx("bond0", protocol("ip_list_rcv"), at=200, skb=5, head=5, packet=packet, in_list=True, frame=9),
        rx("bond0", protocol("ip_list_rcv"), at=201, skb=6, head=6, packet=reply(), in_list=True, frame=9),
        late("bond0", given(0, "tcp_v4_do_rcv", "TIME_WAIT"), at=210, skb=5, head=6, packet=packet, frame=9),
        late("bond0", refusal(ON_8080, "NOT_SPECIFIED"), at=211, skb=6, head=6, packet=reply(), frame=9),
        rx("eth0", local(58, "ip6_protocol_deliver_rcu"), at=300, skb=7, packet=ether(ip6(udp()), 0x86DD)),
    )
    return told, passes


def recording_of(data):
    """Return the recording that these bytes describe."""
    program = Program(data)
    choice = program.number(8)
    if choice == 0:
        return program.rest
    if choice == 1:
        return _altered_bytes(program.one_of(FILES).read_bytes(), program)
    told, passes = sound_beyond_ip() if choice == BEYOND_IP else sound()
    while program:
        told, passes = _altered(told, passes, program)
    cut = len(told) // 2 if choice == 2 else len(told)
    batches = [encode(passes, [_json(one) for one in told[:cut]])]
    if cut < len(told):
        batches.append(encode(passes.take(np.arange(0)), [_json(one) for one in told[cut:]]))
    return schema_message(SCHEMA) + b"".join(batches) + (END_OF_STREAM if choice != 3 else b"")


def _json(event):
    if event == "deep":
        return "[" * 3000 + "]" * 3000
    return json.dumps(event)


def _altered_bytes(data, program):
    data = bytearray(data)
    while program:
        place = program.number(1 << 16) % len(data)
        data[place : place + 1 + program.number(4)] = bytes([program.number(256)])
    return bytes(data)


def _altered(told, passes, program):
    kind = program.number(10)
    if kind <= 3:
        return _with_events(told, kind, program), passes
    if kind == 4:
        return _with_references(told, program), passes
    return told, _with_passes(passes, kind, program)


def _with_events(told, kind, program):
    told = json.loads(json.dumps(told))
    place = program.number(len(told)) if told else 0
    if not told:
        return told
    if kind == 0:  # a hostile value somewhere, or nothing there
        at = told[place]
        while isinstance(at, (dict, list)) and at:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = program.one_of(keys)
            if isinstance(at[key], (dict, list)) and at[key] and program.number(4):
                at = at[key]
                continue
            if program.number(8):
                at[key] = program.one_of(HOSTILE)
            else:
                del at[key]
            break
    elif kind == 1:  # the same again, at another time
        again = json.loads(json.dumps(told[place]))
        if isinstance(again, dict):
            again["time_ns"] = program.one_of(EXTREMES)
        told[program.number(len(told) + 1) : 0] = [again] * (1 + program.number(3))
    elif kind == 2:
        told.insert(0, told.pop(place))
    else:
        told[place] = program.one_of(["deep", [], {}, 5, None, {"kind": program.one_of(HOSTILE)}])
    return told


def _with_references(told, program):
    """Make devices and taps refer to one another, also in circles, and change their kinds."""
    told = json.loads(json.dumps(told))
    things = [
        one[one["kind"]]
        for one in told
        if isinstance(one, dict)
        and one.get("kind") in ("device", "tap", "socket")
        and isinstance(one.get(one["kind"]), dict)
    ]
    if len(things) > 1:
        one, other = program.one_of(things), program.one_of(things)
        one[program.one_of(REFERENCES)] = other.get("ifindex")
        one["kind"] = program.one_of([one.get("kind"), *KINDS])
    return told


def _with_passes(passes, kind, program):
    if not len(passes):
        return passes
    records, steps, offsets = passes.records.copy(), passes.steps.copy(), passes.offsets.copy()
    row = program.number(len(records))
    if kind in (5, 6):
        name = program.one_of([one for one in records.dtype.names if one not in ("packet", "steps")])
        limit = int(np.iinfo(records.dtype[name]).max)
        records[name][row if program.number(4) else slice(None)] = program.one_of(EXTREMES) & limit
    elif kind == 7 and len(steps):
        name = program.one_of(steps.dtype.names)
        place = program.number(len(steps)) if program.number(4) else slice(None)
        steps[name][place] = program.one_of(EXTREMES) & int(np.iinfo(steps.dtype[name]).max)
    elif kind == 8:
        records["packet"][row, program.number(80)] = program.number(256)
    else:  # some twice, some not at all, some without their steps
        order = [program.number(len(records)) for _ in range(1 + program.number(12))]
        taken = Passes(records, steps, offsets).take(np.array(order))
        if program.number(4):
            return taken
        return Passes(taken.records, taken.steps[:0], np.zeros(len(taken) + 1, np.int64))
    return Passes(records, steps, offsets)


# --- all that reads them -------------------------------------------------------------------------------


class _Nowhere(io.StringIO):
    """Takes text, which must be harmless and possible to encode."""

    def write(self, text):
        text.encode()
        assert text.isprintable() or all(char.isprintable() or char in "\n\r\t" for char in text), text
        return len(text)


def read_all(path):
    """Do all that bondtrace does with a recording. Only ``BondtraceError`` is a good answer to a bad one."""
    for reads in (_told, _counted, _as_library, _gathered):
        try:
            reads(path)
        except BondtraceError as error:
            assert untrusted.printable(str(error)) and len(str(error)) < 2000


def _told(path):
    pipeline, out = Pipeline(), _Nowhere()
    told = []
    exporters = [
        CsvExporter(out),
        JsonLinesExporter(out),
        PcapngExporter(io.BytesIO()),
        PerfettoExporter(out, 0),
        ParquetExporter(io.BytesIO()),
    ]
    reporters = [
        lambda one: text.write(one, pipeline.scene, out, more=as_if.lines(one, pipeline.scene, ERAS[0])),
        lambda one: json_lines.write_json(one, pipeline.scene, out),
        lambda one: story.write(one, pipeline.scene, out),
    ]

    def show(journey):
        told.append(journey.id)
        if len(told) <= JOURNEYS:
            for write in reporters:
                write(journey)

    def columns(journeys):
        journeys = journeys.take(np.arange(min(len(journeys), JOURNEYS)))
        for exporter in exporters:
            exporter.take(journeys)

    pipeline.show, pipeline.columns = show, columns
    for exporter in exporters:
        exporter.begin(path, pipeline.scene)
    pipeline.payloads = exporters[2].payloads
    try:
        pipeline.run(Recording(path).batches())
        for exporter in exporters:
            exporter.end()
            exporter.close()
    finally:
        exporters[-1].release()


def _counted(path):
    data = ReportData(Sample(50))
    pipeline = Pipeline(columns=data.add, scene=data.scene, summary=data.summary)
    tally, counts, shape = NamedCounts(pipeline.scene), as_if.Counts(pipeline.scene, ERAS[0]), pipeline.summary.also

    def also(journey, times):
        for count in (shape, tally.count, counts.count):
            count(journey, times)

    pipeline.summary.also = also
    try:
        pipeline.run(Recording(path).batches())
    finally:  # what `live` would still print
        table.write(pipeline.summary, pipeline.scene, _Nowhere(), why=True)
        table.write_json(pipeline.summary, pipeline.scene, _Nowhere())
        as_if.write(counts, _Nowhere())
        json.loads(json_in_html(report_object(data, str(path), [])))


def _as_library(path):
    with open_trace(path) as trace:
        assert isinstance(trace.host, str) and isinstance(trace.kernel, str)
        for _ in zip(range(JOURNEYS), trace.journeys()):
            pass
        trace.taps(), trace.devices(), trace.losses(), trace.summary()


def _gathered(path):
    for batch in Recording(path).batches():
        begin_ns(batch)
        break
    for one in gather((path, FILES[0])):
        assert one.name.isprintable() and one.size_bytes >= 0 and isinstance(one.missing_words, str)
    observe("x", "y", path)
