# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents say what the program does: every name that a user meets is in them, and every name in their tables is
one that the program has. What is compared comes from the program itself: schemas, reporters, click, the sources of the
events."""

import ast
import importlib
import json
import re
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import captures
import click
import pyarrow as pa
import pytest
from click.testing import CliRunner

from bondtrace import errors
from bondtrace.analysis import verdicts
from bondtrace.analysis.bonds import Asked
from bondtrace.analysis.ends import REFUSED
from bondtrace.analysis.eras import ERAS, find_era
from bondtrace.analysis.select import Criteria, Selection
from bondtrace.analysis.why_unseen import REASONS
from bondtrace.capture.host.devices import BOND_MODES
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.kernel import compiler, loader, plan
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.capture.kernel.verifier import Refusal
from bondtrace.cli import COMMANDS, cli
from bondtrace.commands.lab import observe
from bondtrace.format.events import socket_event
from bondtrace.format.recording import FORMAT
from bondtrace.format.stages import BEYOND_IP, DROPS
from bondtrace.format.wire import COUNTERS, FUNC_HANDLER, FUNC_SOCKET, FUNCTIONS, OUTCOMES, VERDICTS
from bondtrace.model import ENDS, SOCKET_OUTCOMES, Device, Process, Socket, Tap
from bondtrace.net import rx_handlers
from bondtrace.reporters.as_if import Counts, answer_objects, counts_object
from bondtrace.reporters.comparison import comparison_object
from bondtrace.reporters.fitting import FORMATS
from bondtrace.reporters.fleet import fleet_object
from bondtrace.reporters.json_lines import journey_object
from bondtrace.reporters.table import summary_object
from bondtrace.stats.fleet import FleetRow
from bondtrace.stats.kernel_comparison import Observation
from bondtrace.stats.summary import Summary
from build import (
    ALL_DEVICES,
    BEGIN_NS,
    DEVICES,
    HERE,
    LLDP,
    ON_ANY,
    TAPS,
    THERE,
    answered,
    arp,
    both,
    drop,
    enters,
    ether,
    events,
    fanout,
    forwarded,
    given,
    handler,
    ip4,
    journeys,
    late,
    local,
    losses,
    protocol,
    queued,
    received,
    record,
    refusal,
    refused,
    reply,
    rx,
    scene,
    segments,
    sent,
    stage,
    tap,
    tx,
    udp,
    vlan,
)

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "bondtrace"
PAGES = sorted(page.name for page in DOCS.glob("*.md"))


# --- reading the documents -----------------------------------------------------------------------------


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(name):
    return re.findall(r"^#+ (.*)$", without_code(read(name)), re.MULTILINE)


def section(name, title):
    """The text under a heading, up to the next one of its level or above."""
    text = read(name)
    match = re.search(rf"^(#+) `?{re.escape(title)}`?$", text, re.MULTILINE)
    assert match, f"docs/{name} has no section {title!r}"
    level = len(match.group(1))
    following = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(text, match.end())
    return text[match.end() : following.start() if following else len(text)]


def own(text):
    """A section without its subsections."""
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """The cells of every row of the tables, without their heads."""
    found = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        for line in text.splitlines()
        if line.strip().startswith("|")
    ]
    rules = [place for place, cells in enumerate(found) if all(re.fullmatch(r":?-+:?", cell) for cell in cells)]
    return [cells for place, cells in enumerate(found) if place not in rules and place + 1 not in rules]


def names(text):
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def numbered(text):
    """{number: name} of a table whose first two cells are those."""
    table = [(cells[0], re.match(r"`?([^`:]*)", cells[1]).group(1)) for cells in rows(text)]
    return {int(number): name for number, name in table if number.isdigit()}


# --- words ---------------------------------------------------------------------------------------------


def test_every_word_of_the_project_is_explained_with_an_example():
    wanted = ["Tap", "Pass", "Round", "Step", "Verdict", "Outcome", "Unseen", "Socket", "Given", "End", "Journey"]
    assert headings("words.md")[1:] == [*wanted, "Words of the code"]
    assert [word for word in wanted if "\n> " not in section("words.md", word)] == []


def test_every_kind_of_end_has_a_row_and_every_row_is_one():
    assert [cells[0].strip("`") for cells in rows(section("words.md", "End"))] == list(ENDS)


# --- the receive path ----------------------------------------------------------------------------------


def test_every_reason_has_a_row_and_every_row_is_a_reason():
    told = [
        cells[0].strip("`") for cells in rows(own(section("receive-path.md", "Why a tap was not offered a packet")))
    ]
    assert sorted(told) == sorted(REASONS)


def test_every_outcome_has_a_row_and_every_row_is_an_outcome():
    assert sorted(cells[0].strip("`") for cells in rows(section("receive-path.md", "Outcomes"))) == sorted(
        OUTCOMES.values()
    )


def test_every_outcome_of_a_socket_has_a_row_and_every_row_is_one():
    told = [cells[0].strip("`") for cells in rows(section("receive-path.md", "Outcomes of sockets"))]
    assert told == list(SOCKET_OUTCOMES)


FIRST_BEYOND_IP = 48  # of the functions' numbers


def test_every_function_beyond_ip_is_described():
    beyond = {name for number, name in FUNCTIONS.items() if number >= FIRST_BEYOND_IP}
    assert len(beyond) == 14 and beyond - names(without_arguments(section("receive-path.md", "Beyond IP"))) == set()


def without_arguments(text):
    return re.sub(r"\([a-z, ]+\)`", "`", text)


def test_every_rx_handler_of_the_plan_is_described():
    told = [cells[0].strip("`") for cells in rows(section("receive-path.md", "Other rx_handlers"))]
    assert set(told) - {"any other, and where a field is empty"} == set(rx_handlers.FUNCTIONS)


def test_every_receive_function_is_described():
    told = [cells[0].strip("`") for cells in rows(own(section("receive-path.md", "Taps")))]
    assert sorted(told) == sorted(name for number, name in FUNCTIONS.items() if number < 16)


OWN = b"\2\0\0\0\0\1"
LOWER, MASTER = Device(1, 2, "eth0", "ether", address=OWN.hex(":")), Device(1, 1, "bond0", "bond")


@pytest.mark.parametrize("function", [*rx_handlers.FUNCTIONS, "vlan_do_receive"])
def test_every_phrase_of_a_verdict_is_in_the_document(function):
    phrases = {
        verdicts.reason(function, verdict, Asked(number, destination, LOWER, replace(MASTER, bond_mode=mode)))
        for verdict in VERDICTS.values()
        for number in (0x0800, 0x8809, 0x88E5)
        for destination in (b"", OWN, bytes(6), b"\xff" * 6, b"\1\0\x5e\0\0\1", b"\1\x80\xc2\0\0\x0e")
        for mode in (None, *BOND_MODES)
    } - {None}
    assert phrases - names(read("receive-path.md")) == set()


def test_every_verdict_is_in_the_documents_with_its_number():
    told = {
        int(cells[1]): cells[0].strip("`")
        for cells in rows(section("receive-path.md", "Receiving: `__netif_receive_skb_core`"))
        if cells[1:2] and cells[1].isdigit()
    }
    assert told == {number: name for number, name in VERDICTS.items() if name != "unknown"}


# --- recordings ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    path = record(tmp_path_factory.mktemp("docs") / "trace.arrows", (received(), events()))
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_stream(file).schema


def test_every_column_is_documented_with_its_type(schema):
    told = {cells[0].strip("`"): cells[1] for cells in rows(own(section("recording.md", "Columns")))}
    kinds = {field.name: "list of struct" if field.name == "steps" else str(field.type) for field in schema}
    assert told == kinds


def test_every_field_of_a_step_is_documented_with_its_type(schema):
    told = {cells[0].strip("`"): cells[1] for cells in rows(section("recording.md", "Steps"))}
    assert told == {field.name: str(field.type) for field in schema.field("steps").type.value_type}


def test_the_numbers_are_those_of_the_wire():
    functions = {
        0: "none",
        **FUNCTIONS,
        FUNC_SOCKET: "a socket",
        FUNC_HANDLER: "an rx_handler, given by its address in ",
    }
    assert numbered(section("recording.md", "Functions")) == functions
    assert numbered(section("recording.md", "Outcomes")) == OUTCOMES
    assert numbered(section("recording.md", "Verdicts")) == VERDICTS


@pytest.mark.parametrize("title, prefix", [("Kinds of rows", "RECORD_"), ("Kinds of steps", "STEP_")])
def test_every_kind_of_the_wire_is_numbered(title, prefix):
    header = (ROOT / "bpf" / "wire.h").read_text()
    enum = re.search(rf"enum \w*_kind {{\s+({prefix}[^}}]*)}}", header).group(1)
    wire = {int(number): name.lower() for name, number in re.findall(rf"{prefix}(\w+) = (\d+)", enum)}
    told = numbered(section("recording.md", title))
    alias = {"handler": "rx_handler"}
    assert {number: alias.get(name, name) for number, name in wire.items()} == {
        number: re.match(r"\w+", name).group(0) for number, name in told.items() if name != "event"
    }


def test_every_flag_of_the_wire_is_numbered():
    enum = re.search(r"enum record_flag {(.*?)};", (ROOT / "bpf" / "wire.h").read_text(), re.DOTALL).group(1)
    assert {int(number) for number in re.findall(r"RECORD_\w+ = (\d+)", enum)} == set(
        numbered(section("recording.md", "Flags"))
    )


def written_events():
    """{kind: keys, those of objects in it included}, from every dict in the sources that is an event."""
    found = {}
    for path in [
        *(PACKAGE / "format").glob("*.py"),
        *(PACKAGE / "capture" / "live").glob("*.py"),
        PACKAGE / "analysis" / "scene.py",
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Dict):
                continue
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            if {"kind", "time_ns"} <= set(keys):
                kind = node.values[keys.index("kind")].value
                inner = [
                    key.value
                    for part in ast.walk(node)
                    if isinstance(part, ast.Dict)
                    for key in part.keys
                    if isinstance(key, ast.Constant)
                ]
                found.setdefault(kind, set()).update(inner)
    return found


def read_keys():
    """The kinds and keys that a scene looks for in events."""
    source = (PACKAGE / "analysis" / "scene.py").read_text(encoding="utf-8")
    keys = set(re.findall(r'event(?:\.get\(|\[)"(\w+)"', source)) | set(re.findall(r'"(\w+)" in event', source))
    return set(re.findall(r'if kind == "([\w-]+)"', source)), keys


def test_every_kind_of_event_is_documented_with_its_keys():
    written = written_events()
    told = [title.strip("`") for title in re.findall(r"^### (`.*`)$", section("recording.md", "Events"), re.MULTILINE)]
    assert sorted(told) == sorted(written)
    assert read_keys()[0] <= set(told)
    assert "losses" in written  # the sources are read
    for kind, keys in written.items():
        missing = keys - {"kind", "time_ns"} - names(section("recording.md", kind))
        assert missing == set(), f"the event {kind} has undocumented keys"
    assert read_keys()[1] - names(section("recording.md", "Events")) == set()


def test_the_format_of_recordings_is_the_one_that_is_written():
    [row] = [cells for cells in rows(section("recording.md", "start")) if cells[0] == "`format`"]
    assert row[2].startswith(f"{FORMAT};")
    assert section("recording.md", "Versions").strip().startswith(f"`format` is {FORMAT}.")


@pytest.mark.parametrize(
    "kind, value, inner",
    [
        ("device", Device, ()),
        *((name, one, Process.__dataclass_fields__) for name, one in (("tap", Tap), ("socket", Socket))),
    ],
)
def test_every_field_of_devices_taps_and_sockets_is_documented(kind, value, inner):
    text = section("recording.md", kind)
    assert {cells[0].strip("`") for cells in rows(text)} == {field.name for field in fields(value)}
    assert set(inner) - names(text) == set()


def test_every_counter_is_documented():
    told = [cells[0].strip("`") for cells in rows(section("recording.md", "losses"))]
    assert sorted(told) == sorted([*COUNTERS, "probe_misses"])


def examples(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", read(name), re.DOTALL | re.MULTILINE)


def run_example(directory):
    [code] = examples("recording.md", "python")
    return subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False)


EXPECTED = """\
tcpdump [41001] on eth0: captured 2
tcpdump [41002] on eth1: captured 1
tcpdump [41003] on bond0: captured 2
tcpdump [41004] on bond0: captured 2
tcpdump [41004] on eth0: captured 2
tcpdump [41004] on eth1: captured 1
"""


def test_the_python_example_runs(tmp_path):
    record(tmp_path / "trace.arrows", (both(received(), refused(20), received(40)), events()))
    result = run_example(tmp_path)
    assert (result.stdout, result.stderr, result.returncode) == (EXPECTED, "", 0)


def test_the_python_example_reads_what_is_whole_of_a_file_that_was_cut_off(tmp_path):
    path = record(tmp_path / "trace.arrows", (both(received(), refused(20), received(40)), events()), (sent(), []))
    path.write_bytes(path.read_bytes()[:-200])
    result = run_example(tmp_path)
    assert (result.stdout, result.stderr, result.returncode) == (
        "the file was cut off; what is whole of it:\n" + EXPECTED,
        "",
        0,
    )


# --- JSON ----------------------------------------------------------------------------------------------

MAPS = {
    "taps",
    "trust.losses",
    "sockets",
    "ends",
    "sockets.*.outcomes",
    "taps.*.outcomes",
    "taps.*.unseen",
    "rows[].cells",
    "rows[].cells.*",
    "rows[].outcomes",
    "rows[].unseen",
    "captures[].lacks",
    "captures[].contradicted",
}
TYPES = {bool: "boolean", int: "integer", str: "string", type(None): "null", dict: "object"}


def paths(value, path=""):
    """{path: types} of a JSON value; elements of arrays as [], keys of MAPS as *."""
    found = {}
    if isinstance(value, dict):
        parts = [(f"{path}.*" if path in MAPS else f"{path}.{key}".lstrip("."), one) for key, one in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[]", one) for one in value]
    else:
        return {path: {TYPES[type(value)]}}
    kind = "object" if isinstance(value, dict) else "array"
    if path and not (path.endswith("[]") and kind == "object"):
        found[path] = {kind}
    for inner_path, inner in parts:
        for name, kinds in paths(inner, inner_path).items():
            found.setdefault(name, set()).update(kinds)
    return found


def merged(values):
    found = {}
    for value in values:
        for name, kinds in paths(value).items():
            found.setdefault(name, set()).update(kinds)
    return found


def documented(title):
    """{path: types} of a section's tables, in the form of ``paths``."""
    found = {}
    for path, kind, *_ in rows(section("json.md", title)):
        kind, _, elements = kind.partition(" of ")
        found[path.strip("`")] = set(kind.split(" or "))
        if elements and elements != "objects":
            found[f"{path.strip('`')}[]"] = {elements.removesuffix("s")}
    return found


def documented_journey():
    """The keys of a journey, with those of the packets that have the keys of ``packet``."""
    found = documented("Journeys")
    packet = {path: kinds for path, kinds in found.items() if path.startswith(("packet.", "packet["))}
    for other in ("passes[].packet", "packet.inner", "passes[].packet.inner"):
        left_out = {"packet.inner"} | ({"packet.segments"} if "inner" in other else set())
        found[other] = {"object"}
        found.update({path.replace("packet", other, 1): packet[path] for path in set(packet) - left_out})
    return found


def undocumented(values, told):
    """Paths, or types of them, that occur and are not told; objects in arrays and maps are told by their keys."""
    there = merged(values)
    silent = {path for path in there if path.endswith((".*", "[]")) and there[path] == {"object"}}
    return {
        path: kinds - told.get(path, set())
        for path, kinds in there.items()
        if path not in silent and kinds - told.get(path, set())
    }


def receiving(missing=""):
    return {"name": "receive", "tells": "packets received", "without": "none is seen", "missing": missing, "probes": []}


STRANGER = Tap(42001, DEVICES["bond0"].netns, 4, 0x0800, "raw", "bond0")


def beyond_ip_kinds():
    """Packets that sockets are given and refuse, that nobody has a socket for, that are answered, that are several."""
    datagram = {"packet": ether(ip4(udp(), 17))}
    return [
        rx("eth2", protocol("ip_rcv"), local(6), given(1, "tcp_v4_do_rcv"), at=700, skb=30),
        rx("eth2", given(2), refusal(2, "SOCKET_RCVBUFF"), at=720, skb=31, **datagram),
        rx("eth2", given(3), refusal(3, "PFMEMALLOC"), at=740, skb=32, **datagram),
        rx("eth2", local(17), drop("NO_SOCKET"), at=760, skb=33, **datagram),
        rx("eth2", protocol("arp_rcv"), answered(), at=780, skb=34, packet=arp()),
        rx("eth2", protocol("ip_rcv"), forwarded(2), at=790, skb=37),
        rx("eth2", protocol("ip_rcv"), drop("OTHERHOST", "ip_rcv_core"), at=795, skb=38),
        rx("eth2", segments(0), at=800, skb=35, packet=reply() + bytes(2000)),
        rx("eth2", segments(3), at=820, skb=36, packet=reply() + bytes(3000)),
    ]


def everything():
    """Journeys and their scene that have every key, with and without what is optional."""
    whole = Socket(1, HERE, 2, 1, 6, "10.9.0.2", 22, "10.9.0.1", 4000, 4, 0, (Process(1, "sshd", "sshd -D"),))
    around = scene(
        losses(lost=[1, 0]),
        *(socket_event(BEGIN_NS, one) for one in (whole, Socket(2, HERE, 2, 2, 17))),
        taps={**TAPS, STRANGER.inode: STRANGER},
        devices=ALL_DEVICES,
        stages=[receiving("not there"), *map(stage, (*BEYOND_IP, DROPS))],
    )
    told = journeys(
        received(vlan=7),
        refused(50),
        sent(100),
        rx("eth0", fanout(), tap(77), handler("CONSUMED"), at=200, skb=9),
        rx("bond0", vlan("bond0.7"), drop("NO_SOCKET"), at=210, skb=10),
        rx(
            "eth2",
            handler("ANOTHER", "peer0", "macvlan_handle_frame"),
            enters(THERE),
            protocol("ip_rcv"),
            at=220,
            skb=11,
        ),
        rx("eth0", tap(LLDP), in_list=True, at=300, skb=17, frame=5),
        late("eth0", protocol("ip_list_rcv"), at=310, skb=17, frame=5),
        late("eth0", tap(ON_ANY), at=400, frame=8),
        rx(
            "eth0", queued("vx0"), at=500, skb=18, packet=ether(ip4(b"\0\0\x65\x58" + ether(ip4(udp(), 17), tag=7), 47))
        ),
        rx("eth3", drop("NETFILTER_DROP", "nf_hook_slow", by="nft_do_chain", decided_by=9), at=550, skb=23, seq=8),
        rx("eth3", drop("TC_INGRESS", by="tcf_classify", decided_by=9), at=580, skb=24, seq=11),
        rx("eth3", drop("NO_SOCKET", result=1), at=600, packet=ether(ip4(udp(), 17)), skb=19, seq=9, lasts=20),
        tx("red", at=610, packet=ether(ip4(udp(), 17)), skb=19, seq=10, parent=9),
        *beyond_ip_kinds(),
        around=around,
    )
    around.meet(rx("eth0", tap(77)))
    told.append(replace(told[0], passes=tuple(replace(one, inferred=True) for one in told[0].passes)))
    return around, told


def test_every_key_of_a_journey_is_documented_with_its_type_and_every_documented_one_is_there():
    around, told = everything()
    values = [json.loads(json.dumps(journey_object(one, around))) for one in told]
    wanted = documented_journey()
    assert undocumented(values, wanted) == {}
    assert set(wanted) - set(merged(values)) == set()


def test_every_key_of_a_summary_is_documented_with_its_type():
    around, told = everything()
    summary = Summary()
    for one in told:
        summary.count(one)
    by_kernel = replace(summary, counted=True)
    outside = {9: Tap(9, THERE, 0, 3, "raw"), 10: Tap(10, HERE, 6, 3, "raw")}
    partly = scene(taps={**TAPS, **outside}, namespaces=[HERE])
    several = ((summary, around), (by_kernel, around), (Summary(), partly))
    values = [json.loads(json.dumps(summary_object(*one))) for one in several]
    wanted = documented("Summary")
    shared = {path: kinds for path, kinds in documented("Journeys").items() if path.startswith(SHARED)}
    assert undocumented(values, {**shared, **wanted}) == {}
    assert set(wanted) - set(merged(values)) == set()


SHARED = ("taps.", "sockets.", "trust.")


def test_every_key_of_as_if_is_documented_with_its_type():
    around, told = everything()
    counts = Counts(around, find_era("2.6.32"))
    for one in told:
        counts.count(one, 1)
    values = [*(answer_objects(one, around, counts.era) for one in told), counts_object(counts)]
    values = json.loads(json.dumps(values))
    wanted = documented("As if")
    assert undocumented(values, wanted) == {}
    assert set(wanted) - set(merged(values)) == set()


def test_every_key_of_a_selection_is_documented_with_its_type():
    value = {"selection": Selection(Criteria(taps=("1",))).object()}
    wanted = documented("Selection")
    assert undocumented([value], wanted) == {}
    assert set(wanted) - set(merged([value])) == set()


def test_every_era_is_documented_with_its_kernels():
    told = {cells[0].strip("`"): cells[1] for cells in rows(section("eras.md", "2.6.39 to today: rounds"))}
    assert sorted(told) == sorted(era.name for era in ERAS)
    assert all(f"`{era.name}`" in read("cli.md") for era in ERAS)


def test_every_key_of_taps_is_documented_with_its_type(monkeypatch):
    # given one tap of which everything is known and one of which little is
    known = Tap(
        *(7, 1, 2, 3, "raw", "eth0", 0, "ring", 3, 4096, True, 5, 1, True, True, True, True, 9, 0),
        processes=(Process(1, "tcpdump", "tcpdump -i eth0"),),
    )
    assert [name for name, value in vars(known).items() if value is None] == []
    module = importlib.import_module("bondtrace.commands.taps")
    monkeypatch.setattr(module, "list_namespaces", lambda: {1: Namespace(1, "blue", "")})
    monkeypatch.setattr(module, "read_devices", lambda *_: [])
    monkeypatch.setattr(module, "read_taps", lambda *_: [known, Tap(8, 2, 0, 0, "cooked")])
    monkeypatch.setattr(module, "with_all_options", list)
    # when they are listed
    result = CliRunner().invoke(module.taps, ["--json"], catch_exceptions=False)
    values = [json.loads(line) for line in result.output.splitlines()]
    # then
    wanted = documented("Taps")
    assert undocumented(values, wanted) == {}
    assert {path: kinds for path, kinds in merged(values).items() if path in wanted} == wanted


def test_every_key_of_doctor_is_documented_with_its_type(monkeypatch):
    # given a kernel that has transmit taps only
    made = plan.make(plan.Abilities({"dev_queue_xmit_nit": Symbol("dev_queue_xmit_nit")}))

    class Tracer:
        def __init__(self, *_, **__):
            self.plan, self.refused = made, frozenset()
            self.refusals = [Refusal("fentry packet_rcv", "tap_queue_enter", "R6 invalid mem access")]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def attach(self):
            pass

        def attach_stage(self, name):
            self.plan = self.plan.with_stage(self.plan.stage(name))

        def require_packets(self):
            pass

    module = importlib.import_module("bondtrace.commands.doctor")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("bondtrace.capture.capabilities.has", lambda _: True)
    monkeypatch.setattr(compiler, "import_bcc", lambda: SimpleNamespace(__version__="0.26.0"))
    monkeypatch.setattr(
        loader, "read_kernel", lambda: SimpleNamespace(btf=SimpleNamespace(type_count=1, drop_reasons=dict))
    )
    monkeypatch.setattr(loader, "make_plan", lambda *_, **__: made)
    monkeypatch.setattr(loader, "Tracer", Tracer)
    value = json.loads(CliRunner().invoke(module.doctor, ["--json"], catch_exceptions=False).output)
    assert undocumented([value], documented("Doctor")) == {}
    assert value["refusals"] and value["does_not_see"]
    assert set(documented("Doctor")) - set(merged([value])) == set()


def test_every_key_of_lab_is_documented_with_its_type(tmp_path):
    path = record(tmp_path / "trace.arrows", (both(received(), refused(20), sent(40)), events()))
    value = comparison_object([observe("6.1", "6.1.0", path), Observation("7.3", "", "/out", "it panicked")], "ping")
    value = json.loads(json.dumps(value))
    wanted = documented("Lab")
    trust = {f"kernels[].{path}": kinds for path, kinds in documented("Journeys").items() if path.startswith("trust.")}
    assert undocumented([value], {**trust, **wanted}) == {}
    assert set(wanted) - set(merged([value])) == set()


def test_every_key_of_check_is_documented_with_its_type(tmp_path, run):
    told = events(taps={**TAPS, 9: Tap(9, HERE, 6, 3, "raw", "eth2")}, filter="icmp", namespaces=[HERE])
    path = record(tmp_path / "trace.arrows", (both(received(), refused(20), sent(40)), told))
    file = captures.pcap(tmp_path / "x.pcap", [(-9, arp()), (0, reply()), (19, arp()), (30, reply(2)), (31, arp())])
    file.write_bytes(file.read_bytes()[:-1])
    other = captures.pcap(tmp_path / "y.pcap", [])
    words = ["check", "--list", "--json", file, other, path, "--tap", "y.pcap=9", "--tap"]
    printed = [run(*words, f"x.pcap={inode}")[1].splitlines() for inode in (41001, 41004)]
    wholes = [json.loads(lines[-1]) for lines in printed]
    packets = [json.loads(line) for lines in printed for line in lines[:-1]]
    wanted = documented("Check")
    shared = {path: kinds for path, kinds in documented("Journeys").items() if path.startswith("trust.")}
    taps = {
        path.replace("taps.*", "captures[].tap"): kinds
        for path, kinds in documented("Journeys").items()
        if path.startswith("taps.*.")
    }
    assert undocumented([*wholes, *packets], {**shared, **taps, **wanted}) == {}
    assert set(wanted) - set(merged([*wholes, *packets])) == set()


def test_every_key_of_a_fleet_is_documented_with_its_type():
    values = [
        FleetRow("lab", 7, "tcpdump", 1, "tcpdump", "eth0", HERE, "host", "eth0", "rx", 2, {"captured": 2}, {}, 0),
        FleetRow("lab", 8, *[None] * 8, 0, {}, {"protocol": 1}, 1),
    ]
    value = json.loads(json.dumps(fleet_object(values)))
    wanted = documented("Fleet")
    assert undocumented([value], wanted) == {}
    assert set(wanted) - set(merged([value])) == set()


def test_the_closed_lists_are_those_of_the_program():
    cells = {path.strip("`"): names(meaning) for path, _, meaning in rows(section("json.md", "Journeys"))}
    assert cells["unseen[].reason"] == set(REASONS)
    assert cells["passes[].steps[].outcome"] == {"tap", "socket", *OUTCOMES.values(), *SOCKET_OUTCOMES}
    assert cells["ends[].kind"] == set(ENDS)
    assert set(SOCKET_OUTCOMES) - names(section("json.md", "Summary")) <= set(SOCKET_OUTCOMES) - REFUSED
    assert cells["passes[].steps[].verdict"] == {"rx_handler", "vlan", *VERDICTS.values()}
    assert {step.kind for one in everything()[1] for part in one.passes for step in part.steps} == cells[
        "passes[].steps[].kind"
    ]
    every = scene(losses(lost=[1], steps_lost=[1], too_deep=[1], unbalanced=[1], probe_misses=[1])).losses()
    assert set(every) - names(section("json.md", "Journeys")) == set()


def test_the_example_journey_has_every_key_that_it_should_and_no_other():
    [example] = [json.loads(text) for text in examples("json.md", "json")]
    wanted = documented_journey()
    assert undocumented([example], wanted) == {}
    around = scene()
    [like] = [journey_object(one, around) for one in journeys(received(), around=around)]
    assert list(example) == list(like)


# --- the command line ----------------------------------------------------------------------------------


def command(name):
    return cli.get_command(click.Context(cli), name)


def options(one):
    if isinstance(one, click.Group):
        return [option for inner in one.commands.values() for option in options(inner)]
    return [
        option
        for parameter in one.params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    ]


def told_of(name):
    """The section of a command and those that it takes its options from."""
    text = section("cli.md", name)
    linked = re.findall(r"Takes [^.]*?\[([^\]]*)\]\(#", text)
    return "".join([text, *(section("cli.md", title[0].upper() + title[1:]) for title in linked)])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_a_section_with_an_example(name):
    assert f"bondtrace {name}" in "".join(
        line for line in section("cli.md", name).splitlines() if line.startswith("    ")
    )
    assert f"[`{name}`](#{name})" in read("cli.md")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_every_documented_one_is_there(name):
    there = options(command(name))
    told = {
        word
        for cells in rows(told_of(name))
        for text in names(cells[0])
        for word in text.split()
        if word.startswith("-")
    }
    assert told == set(there)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_documented_with_a_value_if_it_takes_one_and_only_then(name):
    told = {}  # {option: its value}
    for cells in rows(told_of(name)):
        words = [text.partition(" ") for text in re.findall(r"`([^`\n]+)`", cells[0])]
        value = next((value for _, _, value in words if value), "")
        told.update({option: value for option, _, _ in words if option.startswith("-")})
    for one in command(name).params:
        if isinstance(one, click.Option):
            [value] = {told[option] for option in one.opts}
            assert bool(value) != one.is_flag, one.opts
            assert isinstance(one.type, click.Choice) or (one.metavar or "").startswith(value), one.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_every_choice_is_documented(name):
    text = told_of(name)
    for one in command(name).params:
        if isinstance(one.type, click.Choice):
            assert set(one.type.choices) - names(text) == set()
        elif isinstance(one, click.Argument):
            for word in re.findall(r"\w+", one.metavar or one.name):
                assert re.search(rf"\b{word.upper()}S?\b", text), one.name


def test_the_tables_of_commands_are_whole():
    in_docs = [next(iter(names(cells[0]))) for cells in rows(read("cli.md").partition("\n## ")[0])]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    in_readme = [
        cells[0].strip("`")
        for cells in rows(readme.partition("| command | what it does")[2])
        if cells[0].strip("`") in COMMANDS
    ]
    assert in_docs == in_readme == list(COMMANDS)


def test_no_section_is_of_a_command_that_is_gone():
    sections = [title for title in headings("cli.md") if title == title.lower()]
    assert sections == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    one = command(name)
    every = [one, *(one.commands.values() if isinstance(one, click.Group) else ())]
    assert [inner.name for inner in every if not inner.help] == []
    assert [
        parameter.name
        for inner in every
        for parameter in inner.params
        if isinstance(parameter, click.Option) and not parameter.help
    ] == []


def test_the_options_of_bondtrace_itself_are_documented():
    there = {"--help", *options(cli)}
    assert there - names(section("cli.md", "Common to all")) == set()


def test_every_choice_and_default_is_documented():
    assert set(FORMATS) - names(section("cli.md", "summary")) == set()
    assert set(FORMATS) - names(section("cli.md", "taps")) == set()
    defaults = {parameter.default for parameter in command("lab").params if parameter.name in ("scenario", "cpus")}
    assert {str(one) for one in defaults} - set(re.findall(r"Default: `?(\w+)", section("cli.md", "lab"))) == set()


def test_every_exit_status_is_documented():
    told = {int(one) for cells in rows(section("cli.md", "Exit status")) for one in cells[0].split(", ")}
    classes = [errors.BondtraceError, errors.UsageError]
    assert told == {
        0,
        *(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)),
        *(one.exit_status for one in classes),
    }


def test_every_environment_variable_is_documented():
    read_by = set()
    for path in PACKAGE.rglob("*.py"):
        if "scenarios" not in path.parts:
            read_by |= set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', path.read_text(encoding="utf-8")))
    assert read_by >= {"NO_COLOR", "BONDTRACE_CACHE"}  # the sources are read
    assert read_by - names(section("cli.md", "Environment")) == set()


# --- all of them ---------------------------------------------------------------------------------------


def anchor(title):
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", [*PAGES, "../README.md"])
def test_links_lead_somewhere(name):
    base = (DOCS / name).resolve()
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(base.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        page = (base.parent / path).resolve() if path else base
        readable = page.suffix == ".md"
        there = None if not page.exists() else without_code(page.read_text(encoding="utf-8")) if readable else ""
        if there is None or (fragment and fragment not in map(anchor, re.findall(r"^#+ (.*)$", there, re.MULTILINE))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_lines_are_short_but_for_tables(name):
    prose = re.sub(r"^```.*?^```", "", read(name), flags=re.DOTALL | re.MULTILINE)  # output is as wide as it is
    long = [line for line in prose.splitlines() if len(line) > 120 and not line.lstrip().startswith("|")]
    assert long == []
