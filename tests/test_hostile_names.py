# SPDX-License-Identifier: GPL-2.0-or-later
"""One hostile recording through every reporter and exporter: whatever names hold, what comes out is harmless."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page import BROWSER, FLAGS
from shell import BONDTRACE, PING, ROOT

from bondtrace.commands import doctor, taps
from bondtrace.format.events import chain_event
from bondtrace.format.recording import Recording
from bondtrace.model import Process
from bondtrace.pipeline import Pipeline
from bondtrace.reporters import top
from bondtrace.reporters.prometheus import Metrics
from bondtrace.stats.kernel_counts import KernelCounts
from bondtrace.stats.metrics import NamedCounts
from bondtrace.util import untrusted
from build import (
    ADDRESSES,
    BEGIN_NS,
    DEVICES,
    HERE,
    TAPS,
    THERE,
    arp,
    both,
    drop,
    events,
    losses,
    received,
    record,
    refused,
    rx,
    sent,
)

MARKUP = "</script><img src=x onerror=alert(1)><!--"
FORGED = "forged line"
# Escape sequences in both spellings, a bell, line ends of every kind, marks of writing direction and of no width, bytes
# that are no UTF-8, a surrogate that no text has, markup, a formula, what labels, tables and templates are made of.
EVIL = (
    f"=cmd|' /C calc'!A0\x1b]0;owned\x07\x1b[2J\x9b31m\r\n{FORGED}\x85\u2028{FORGED}\t\0\u202e\u2066\u200b\ufeff"
    f"\udcff\ud800{MARKUP}'\"\\`$(id)${{x}}%s{{0}}|\x7f&lt;"
)


@pytest.fixture
def hostile(tmp_path):
    """A recording in which everything that can be named is named so, in a file that is named so."""
    evil = Process(1, EVIL, f"{EVIL} {EVIL}")
    stage = {"name": EVIL, "tells": EVIL, "without": EVIL, "missing": EVIL, "probes": [EVIL]}
    devices = {
        name: replace(one, name=EVIL + name, kind=EVIL if name == "eth2" else one.kind, address=EVIL)
        for name, one in DEVICES.items()
    }
    known = {inode: replace(one, processes=(evil,), dev=EVIL) for inode, one in TAPS.items()}
    told = [
        one
        for one in events(
            taps=known,
            devices=devices,
            host=EVIL,
            kernel=EVIL,
            filter=EVIL,
            stages=[stage],
            handlers=[EVIL],
            interfaces=[EVIL],
            drop_reasons={"3": EVIL},
            trace=EVIL,
        )
        if one["kind"] not in ("symbol", "namespace")
    ]
    told += [{"kind": "symbol", "time_ns": BEGIN_NS, "address": one, "name": EVIL} for one in ADDRESSES.values()]
    told += [{"kind": "namespace", "time_ns": BEGIN_NS, "netns": netns, "name": EVIL} for netns in (HERE, THERE)]
    told += [chain_event(BEGIN_NS, 9, EVIL, EVIL, EVIL, EVIL)]
    told += [{"kind": "note", "time_ns": BEGIN_NS, "text": EVIL}, {"kind": EVIL, "time_ns": BEGIN_NS, EVIL: EVIL}]
    passes = both(received(), refused(50), sent(100), rx("eth1", drop("NO_SOCKET"), packet=arp(), at=300, skb=7))
    passes = both(passes, rx("eth1", drop("NO_SOCKET", by="nft_do_chain", decided_by=9), at=400, skb=8))
    return record(
        tmp_path / "=a\n\x1b[31m$(id) <b>&amp;'\u202e.arrows",
        (passes, told),
        (passes.take(passes.records["ifindex"] < 0), [losses(900, lost=[1])]),
    )


def assert_harmless(text, also=""):
    """No character that a terminal obeys but line ends (and ``also``), no line that a name began."""
    odd = {char for char in text if not (char.isprintable() or char in "\n" + also)}
    assert odd == set()
    assert not any(line.startswith(FORGED) for line in text.splitlines())
    assert EVIL not in text


# --- terminals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("show", "--json"),
        ("show", "--as-if", "2.6.18"),
        ("show", "--as-if", "2.6.18", "--json"),
        ("summary",),
        ("summary", "--why"),
        ("summary", "--format", "plain"),
        ("summary", "--format", "github"),
        ("summary", "--json"),
        ("summary", "--as-if", "2.6.18"),
        ("summary", "--as-if", "2.6.18", "--json"),
        *(("explain", "--journey", number, "--as-if", "2.6.18") for number in "1234"),
    ],
)
def test_what_reads_recordings_prints_nothing_that_a_terminal_obeys(run, hostile, words):
    status, out, err = run(words[0], hostile, *words[1:])

    assert status == 0 and "owned" in out
    assert_harmless(out)
    assert_harmless(err)
    if "--json" in words:
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())


def test_a_table_with_tabs_has_as_many_cells_in_every_row(run, hostile):
    status, out, err = run("summary", hostile, "--format", "tsv")

    assert status == 0
    assert_harmless(out, "\t")
    assert_harmless(err)
    assert len({line.count("\t") for line in out.splitlines()}) == 1


def test_colours_are_the_only_escapes(run, hostile, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, out, _ = run("show", hostile)

    assert "\x1b[" in out
    assert_harmless(re.sub(r"\x1b\[[0-9;]*m", "", out))


def test_several_traces_have_harmless_headings(run, hostile, tmp_path):
    record(tmp_path / "other.arrows", (received(), events()))
    for command in ("show", "summary"):
        status, out, err = run(command, tmp_path)
        assert status == 0 and out.count("== ") == 2
        assert_harmless(out)
        assert_harmless(err)


def scene_of(path):
    pipeline = Pipeline()
    pipeline.run(Recording(path).batches())
    return pipeline


def test_top(hostile):
    pipeline = scene_of(hostile)
    place, inode = (HERE, 2, "rx"), next(iter(TAPS))
    counted = KernelCounts()
    counted.passed[place] = counted.offers[inode, place, "captured"] = 3
    counted.verdicts[HERE, 2, untrusted.printable(EVIL), "EXACT"] = 1
    counted.drops[HERE, 2, untrusted.printable(EVIL), None] = 1

    lines = top.lines(counted, KernelCounts(), 1.0, pipeline.scene)

    assert any("owned" in line for line in lines)
    for line in lines:
        assert_harmless(line)
        assert "\n" not in line


def test_taps(run, monkeypatch):
    # given taps of this host's that are named so
    evil = [replace(one, processes=(Process(1, EVIL, EVIL),), dev=EVIL) for one in TAPS.values()]
    monkeypatch.setattr(taps, "read_taps", lambda *_: evil)
    monkeypatch.setattr(taps, "with_all_options", lambda found: found)
    monkeypatch.setattr(taps, "read_devices", lambda namespaces, problems: problems.append(EVIL) or [])

    for words in ((), ("--json",), ("--format", "github")):
        status, out, err = run("taps", *words)
        assert status == 0 and "owned" in out and "owned" in err
        assert_harmless(out)
        assert_harmless(err)


def test_the_doctor(capfd):
    doctor._print(
        {
            "kernel": "6.1",
            "machine": "x",
            "can_trace": True,
            "checks": [{"check": "attaching", "ok": False, "detail": EVIL}],
            "stages": [
                {
                    "stage": "rx_handler",
                    "tells": "t",
                    "available": False,
                    "missing": EVIL,
                    "without": "w",
                    "when": "",
                    "probes": [],
                },
                {
                    "stage": "rx_handler",
                    "tells": "t",
                    "available": True,
                    "missing": "",
                    "without": "w",
                    "when": "",
                    "probes": [EVIL],
                },
            ],
            "refusals": [{"probe": EVIL, "program": "p", "said": EVIL, "log": EVIL}],
            "does_not_see": [],
            "filter": None,
        },
        verbose=True,
    )

    out = capfd.readouterr().out
    assert out.count("owned") == 7
    assert_harmless(out)


@pytest.mark.parametrize(
    "words",
    [
        ("show", EVIL.replace("\0", "").replace("\ud800", "")),
        ("summary", f"x{EVIL[:20]}\udcff"),
        (EVIL[:40],),
        ("live", "--" + EVIL[1:20]),
        ("show", str(PING), "--as-if", EVIL[:30]),
        ("live", "icmp or " + EVIL[1:50]),
        ("export", "x", "--format", EVIL[:30], "-o", "y"),
        ("record", "-o", "x", "--max-size", EVIL[:30]),
        ("exporter", "--listen", EVIL[:30]),
        ("fleet", "summary", EVIL[:30]),
    ],
)
def test_errors(run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)

    assert status in (1, 2) and out == "" and "calc'!A0\\x1b]" in err
    odd = {char for char in err if not (char.isprintable() or char == "\n")}
    assert odd == set()


# --- files ---------------------------------------------------------------------------------------------


def exported(run, hostile, tmp_path, form):
    path = tmp_path / f"out.{form}"
    status, out, err = run("export", hostile, "--format", form, "-o", path)
    assert (status, out) == (0, "")
    assert_harmless(err)
    return path


def test_csv(run, hostile, tmp_path):
    text = exported(run, hostile, tmp_path, "csv").read_bytes().decode()

    assert_harmless(text.replace("\r\n", "\n"))
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert rows and {len(row) for row in rows} == {len(head)}
    # nothing that a spreadsheet would compute, and yet readable
    assert [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t")] == []
    assert {row[head.index("host")] for row in rows} == {"\\x3d" + untrusted.printable(EVIL)[1:]}


def test_json_lines(run, hostile, tmp_path):
    text = exported(run, hostile, tmp_path, "jsonl").read_bytes().decode()

    assert_harmless(text)
    assert [json.loads(line)["id"] for line in text.splitlines()] == [1, 2, 3, 4, 5]
    assert_texts_harmless([json.loads(line) for line in text.splitlines()])


def assert_texts_harmless(value):
    """Every text of a JSON value, keys too."""
    if isinstance(value, dict):
        for key, one in value.items():
            assert key.isprintable()
            assert_texts_harmless(one)
    elif isinstance(value, list):
        for one in value:
            assert_texts_harmless(one)
    elif isinstance(value, str):
        assert value.isprintable(), value


def test_perfetto(run, hostile, tmp_path):
    text = exported(run, hostile, tmp_path, "perfetto").read_bytes().decode()

    assert_harmless(text)
    assert_texts_harmless(json.loads(text))


def test_parquet_and_the_fleet(run, hostile, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("duckdb")
    table = parquet.read_table(exported(run, hostile, tmp_path, "parquet"))
    assert table.num_rows > 10
    assert_texts_harmless(
        [{key: value for key, value in row.items() if isinstance(value, str)} for row in table.to_pylist()]
    )
    assert_texts_harmless(json.loads(parquet.read_metadata(tmp_path / "out.parquet").metadata[b"bondtrace"]))

    # and a dataset, whose directory is named after the host, as long as a directory's name can be
    status, _, err = run("export", hostile, "--format", "parquet", "-o", f"{tmp_path}/long/")
    assert status == 1 and err.endswith("File name too long; name another file\n") and not (tmp_path / "long").exists()
    assert_harmless(err)
    hostile = record(
        tmp_path / "short.arrows",
        (
            both(received(), refused(50)),
            events(
                host=f"{EVIL[:28]}/../..",
                taps={inode: replace(one, processes=(Process(1, EVIL, EVIL),)) for inode, one in TAPS.items()},
            ),
        ),
    )
    status, out, err = run("export", hostile, "--format", "parquet", "-o", f"{tmp_path}/data/")
    assert (status, out) == (0, "")
    assert_harmless(err)
    for words in ((), ("--json",)):
        status, out, err = run("fleet", "summary", tmp_path / "data", *words)
        assert (status, err) == (0, "") and "owned" in out
        assert_harmless(out)


def test_a_dataset_that_others_wrote(run, tmp_path):
    # given a dataset whose names nobody has made printable
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("duckdb")
    import pyarrow.parquet as parquet

    evil = EVIL.replace("\udcff", "").replace("\ud800", "")
    directory = tmp_path / "host=x" / "day=2026-11-24"
    directory.mkdir(parents=True)
    row = {
        "tap": 1,
        "tap_comm": evil,
        "tap_pid": 1,
        "tap_dev": evil,
        "netns": 1,
        "dev": evil,
        "pass_direction": evil,
        "netns_name": evil,
        "tap_name": evil,
        "kind": "tap",
        "outcome": evil,
        "reason": evil,
        "clean": True,
    }
    parquet.write_table(pa.Table.from_pylist([row, {**row, "netns": 2}]), directory / "x.parquet")

    for words in ((), ("--json",)):
        status, out, err = run("fleet", "summary", tmp_path, *words)
        assert (status, err) == (0, "") and "owned" in out
        assert_harmless(out)


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_pcapng(run, hostile, tmp_path):
    path = exported(run, hostile, tmp_path, "pcapng")

    fields = [
        word
        for name in ("number", "interface_name", "interface_description", "comment")
        for word in ("-e", f"frame.{name}")
    ]
    done = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", *fields], capture_output=True, check=False)
    assert done.returncode == 0 and b"damaged" not in done.stderr
    text = done.stdout.decode()
    assert text.count("owned") > 10
    assert_harmless(text, "\t")
    assert not re.search(rb"\x1b[\[\]]|\xc2\x9b|\xe2\x80\xae", path.read_bytes())


def test_prometheus(hostile):
    parser = pytest.importorskip("prometheus_client.parser")
    import prometheus_client

    pipeline = Pipeline()
    tally = NamedCounts(pipeline.scene)
    pipeline.summary.also = tally.count
    pipeline.run(Recording(hostile).batches())
    metrics = Metrics()
    metrics.update(tally, pipeline.scene)
    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(metrics)

    text = prometheus_client.generate_latest(registry).decode()

    assert_harmless(text)
    labels = [
        value
        for family in parser.text_string_to_metric_families(text)
        for one in family.samples
        for value in one.labels.values()
    ]
    assert untrusted.printable(EVIL) in labels
    assert all(value.isprintable() for value in labels)


class _Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]


@pytest.fixture
def page(run, hostile, tmp_path):
    pytest.importorskip("plotly")
    path = tmp_path / "page.html"
    status, out, err = run("report", hostile, "-o", path)
    assert (status, out) == (0, "")
    assert_harmless(err)
    return path


def test_the_page_has_no_markup_but_its_own(page, tmp_path):
    text = page.read_text()
    mine = text[: text.index("<script>")] + text[text.rindex("</script>") :]  # without plotly's own text

    found = _Parsed(mine)
    assert found.tags.count("script") == 2 and "img" not in found.tags
    assert found.attributes and not any(name.startswith("on") for name in found.attributes)
    assert_harmless(mine)


@pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")
def test_the_page_in_a_browser_runs_nothing_but_its_own(page, tmp_path):
    done = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = _Parsed(done.stdout)
    assert "data-drawn" in found.attributes  # its own script ran to its end
    assert "img" not in found.tags and [name for name in found.attributes if name.startswith("on")] == []


# --- the one mechanism ---------------------------------------------------------------------------------


def test_a_scene_holds_only_printable_text(hostile):
    scene = scene_of(hostile).scene
    named = (scene.stages, scene.namespaces, scene.symbols, scene.devices, scene.taps)
    assert scene.start["host"] == untrusted.printable(EVIL) and all(named) and scene.notes

    assert_texts_harmless(
        json.loads(
            json.dumps(
                [
                    scene.start,
                    *scene.stages.values(),
                    *scene.namespaces.values(),
                    *scene.symbols.values(),
                    *(text for _, text in scene.notes),
                ]
            )
        )
    )
    for history in (*scene.devices.values(), *scene.taps.values()):
        assert repr(history.last_known()).isprintable()


def test_what_is_recorded_is_what_was_said(hostile):
    """Making printable is the business of who shows: a recording keeps the kernel's own words."""
    hosts = [
        event["host"] for batch in Recording(hostile).batches() for event in batch.events if event["kind"] == "start"
    ]
    assert hosts == [EVIL]
    assert Path(hostile).name.startswith("=a\n")


# --- names of files -----------------------------------------------------------------------------------

NAMES = [
    "$(touch pwned)",
    "`touch pwned`;|touch pwned",
    "--help",
    "new\nline",
    "\x1b[31mred\udcff\u202e",
    "%s%n{0}'\"\\",
    " ",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_files_are_only_names(tmp_path, name):
    """A recording of that name is read, an export of it written; what is said of them is one harmless line each."""
    shutil.copy(PING, tmp_path / name)
    for command, target in ((["show"], None), (["summary"], None), (["export", "--format", "csv"], f"{name}.csv")):
        more = ["-o", target] if target else []
        done = subprocess.run(
            [*BONDTRACE, *command, *more, "--", name],
            cwd=tmp_path,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            check=False,
            timeout=60,
        )
        assert done.returncode == 0 and done.stdout + done.stderr, done.stderr
        assert all(char.isprintable() or char in "\n" for char in (done.stdout + done.stderr).decode())
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.csv"}
