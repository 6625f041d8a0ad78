# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording beside the taps' own files: which packet of a file is which step of which journey, and what is wrong.

The scenarios' packets carry marks, ``packet-NNN``, which the files show wherever they are in a packet: behind headers
of a tunnel, after a translation. So what belongs to one packet is known without bondtrace.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from truth import comparable, link_type, read_pcap, traced_time

from bondtrace.analysis.watched import OPEN
from bondtrace.format.recording import Recording
from bondtrace.pipeline import Pipeline

MARK = re.compile(rb"packet-(\d{3})")
ETHERNET_AND_IPV4 = 34  # bytes of their headers
ANSWERS = {(1, 0): " answer", (1, 3): " error", (58, 129): " answer"}  # by type of ICMP and ICMPv6: they repeat marks
COMMAND = 'exec bondtrace record $LAB_TRACE -o "$LAB_OUT/trace.arrows"'
WHOLE = 65536  # bytes of a packet in a file


def plays(make, kernels, scenarios):
    """A fixture for the whole session: what ``make(scenario, its run)`` makes of each of these scenarios on each of
    these kernels, which are played once."""
    done = {}

    @pytest.fixture(
        scope="session",
        params=[(kernel, name) for kernel in kernels for name in scenarios],
        ids=lambda case: f"{case[0] or 'default'}-{case[1]}",
    )
    def played(request, play_all):
        kernel, name = request.param
        if request.param not in done:
            done[request.param] = make(name, play_all(kernel, tuple(scenarios), COMMAND)[name])
        return done[request.param]

    return played


@dataclass
class Stack:
    """A scenario's journeys and its taps by the name of their files."""

    out: object
    journeys: list = field(default_factory=list)

    def __post_init__(self):
        self.recording = self.out / "trace.arrows"
        pipeline = Pipeline(show=self.journeys.append)
        pipeline.run(Recording(self.recording).batches())
        self.scene, self.summary = pipeline.scene, pipeline.summary
        self.kernel = self.scene.start["kernel"]
        named = names_of(self.out)
        self.taps = {}
        for history in self.scene.taps.values():
            tap = history.last_known()
            name = named.get(tap.inode) or file_of(tap)
            if name:
                self.taps[name] = tap
        self.names = {tap.inode: name for name, tap in self.taps.items()}
        self.records = {
            (int(record["time_ns"]), int(record["skb"])): record
            for batch in Recording(self.recording).batches()
            for record in batch.passes.records
        }
        self.journeys = [one for one in self.journeys if self._is_traced(one)]

    def _is_traced(self, journey):
        begin_ns, end_ns = traced_time(self.recording)
        return begin_ns <= journey.wall_ns <= end_ns

    def packet(self, one):
        """(link type, length, first bytes) of a pass, as it was recorded at its begin; a tag beside it is lost."""
        record = self.records[one.time_ns, one.skb]
        return int(record["arphrd"]), int(record["len"]), record["packet"].tobytes()[: int(record["captured"])]

    def said(self):
        """{tap's name: [(journey, length, first bytes)]}: what each tap captured, by the recording."""
        found = {name: [] for name in self.taps}
        for journey in self.journeys:
            for one in journey.passes:
                arphrd, length, data = self.packet(one) if (one.time_ns, one.skb) in self.records else (1, 0, b"")
                for step in one.steps:
                    if step.kind == "tap" and step.outcome == "captured" and step.tap in self.names:
                        name = self.names[step.tap]
                        link = link_type(self.out / f"{name}.pcap")
                        found[name].append((journey, *comparable(length, data, link, arphrd)))
        return found

    def files(self):
        """{tap's name: [(length, comparable bytes, all bytes)]}: what each tap's file has of the traced time."""
        begin_ns, end_ns = traced_time(self.recording)
        found = {}
        for name in self.taps:
            path = self.out / f"{name}.pcap"
            found[name] = [
                (*comparable(length, data, link_type(path)), data)
                for wall_ns, length, data in read_pcap(path, WHOLE)
                if begin_ns <= wall_ns <= end_ns
            ]
        return found

    def matched(self):
        """Pair what was said with what the files have, one to one: see ``Matched``."""
        result = Matched()
        files = self.files()
        for name, said in self.said().items():
            left = list(files[name])
            # the longest prefixes first; among equals in order of time
            for journey, length, prefix in sorted(said, key=lambda one: -len(one[2])):
                alike = (at for at, (size, data, _) in enumerate(left) if size == length and data.startswith(prefix))
                place = next(alike, None)
                if place is None and name.startswith("defrag"):
                    place = _reassembled(left, length, prefix)
                if place is None:
                    result.wrong.append((name, journey.id, length, prefix.hex()))
                else:
                    _, _, whole = left.pop(place)
                    result.pairs.append((name, journey, whole))
            if not self._is_untraced(name):
                result.missed += [(name, length, data[:80].hex()) for length, data, _ in left]
        return result

    def _is_untraced(self, name):
        """Is of this tap always told that it is not known whether it saw a packet?"""
        inode = self.taps[name].inode
        told = [one.reason for journey in self.journeys for one in journey.unseen if one.tap == inode]
        offered = any(step.tap == inode for journey in self.journeys for one in journey.passes for step in one.steps)
        return not offered and set(told) == {"not-traced"}


@dataclass
class Matched:
    """``pairs``: (tap, journey, packet of its file); ``wrong``: said to be captured but not in the file; ``missed``: in
    the file but not said."""

    pairs: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    missed: list = field(default_factory=list)

    def marks(self, stack):
        """{mark: [journey, ...]}, in order; by the bytes of the journeys' passes and of what the taps' files have of
        them: see ``marks_in``."""
        found = defaultdict(dict)
        for journey in stack.journeys:
            for one in journey.passes:
                if (one.time_ns, one.skb) in stack.records:
                    for mark in marks_in(stack.packet(one)[2]):
                        found[mark][journey.id] = journey
        for _, journey, whole in self.pairs:
            for mark in marks_in(whole):
                found[mark][journey.id] = journey
        return {mark: [those[number] for number in sorted(those)] for mark, those in sorted(found.items())}

    def has(self, name, mark):
        """The journeys in which this tap captured packets that have the mark in its file."""
        mine = [(journey, whole) for tap, journey, whole in self.pairs if tap == name]
        return {journey.id for journey, whole in mine if mark in marks_in(whole)}


def _reassembled(left, length, fragment):
    """The place of the datagram that this fragment, an Ethernet frame, made whole: a fanout group may give that to its
    member instead."""
    data = fragment[ETHERNET_AND_IPV4:]
    return next((at for at, (size, whole, _) in enumerate(left) if size > length and data in whole), None)


def marks_in(data):
    """{"NNN", "NNN answer" or "NNN error"}: the mark of a packet, whatever headers are before it."""
    messages = (kind for at in range(len(data) - 20) for kind in _icmp(data, at))
    answer = ANSWERS.get(next(messages, None), "")
    return {mark.decode() + answer for mark in MARK.findall(data)}


def _icmp(data, at):
    """[(protocol, type)] where at this place is the header of an ICMP packet of the scenarios' addresses."""
    if data[at] == 0x45 and data[at + 9] == 1 and _is_ipv4(data[at : at + 20]):
        return [(1, data[at + 20])]
    if data[at] >> 4 == 6 and data[at + 6 : at + 7] == b":" and data[at + 8 :: 16][:2] == b"\xfd\xfd":
        return [(58, one) for one in data[at + 40 : at + 41]]
    return []


def _is_ipv4(header):
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
    return (total & 0xFFFF) + (total >> 16) == 0xFFFF


def names_of(out):
    """{inode: name} of the plain sockets, as they wrote it themselves."""
    return {one["inode"]: one["name"] for path in out.glob("sockets-*.json") for one in json.loads(path.read_text())}


def file_of(tap):
    """The stem of the file that a tcpdump writes."""
    words = tap.processes[0].cmdline.split() if tap.processes else []
    return words[words.index("-w") + 1].rpartition("/")[2].removesuffix(".pcap") if "-w" in words else None


def false_absences(stack, matched, copies):
    """[(tap, mark, journey)]: the tap's file has the packet, and in this journey it is told not to have seen it.

    A packet that came more than once has as many journeys, in any of which a tap may rightly be unseen: ``copies`` says
    how many, for the marks of which there are several."""
    found = []
    for mark, journeys in matched.marks(stack).items():
        if len(journeys) <= copies.get(mark[:3], 1):
            continue
        for journey in journeys:
            for unseen in journey.unseen:
                name = stack.names.get(unseen.tap)
                if name and unseen.reason not in OPEN and matched.has(name, mark) - {journey.id}:
                    found.append((name, mark, journey.id))
    return found


def out_of_order(journeys):
    """["..."]: steps of a pass, or passes of a journey, that run backwards in time."""
    found = []
    for journey in journeys:
        begins = [one.time_ns for one in journey.passes]
        if begins != sorted(begins):
            found.append(f"#{journey.id}: its passes begin at {begins}")
        for one in journey.passes:
            times = [step.t_ns for step in one.steps if not step.inferred]
            if times != sorted(times):
                found.append(f"#{journey.id}: steps at {times}")
    return found


def unknowns(journeys, names):
    """["..."]: every tap of which a journey does not know why it was not offered the packet, or what it did with it,
    with the step that the journey ends with."""
    found = []
    for journey in journeys:
        steps = sorted((step for one in journey.passes for step in one.steps), key=lambda step: step.t_ns)
        taps = [one.tap for one in journey.unseen if one.reason == "unknown"]
        taps += [step.tap for step in steps if step.kind == "tap" and step.outcome == "unknown"]
        end = _words(steps[-1]) if steps else "nothing"
        found += [
            f"#{journey.id} {journey.direction} {journey.packet.protocol}: {names.get(tap, tap)}, after {end}"
            for tap in taps
        ]
    return found


def _words(step):
    said = step.function, step.verdict or step.outcome, step.reason
    return " ".join([step.kind, *(one for one in said if one), "on", step.dev])
