# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: what is written is what is read, by bondtrace and by any Arrow reader; and whatever happened to the
file, every whole batch is read or the error is clear."""

import json
import os
import signal
import stat
import struct
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bondtrace.analysis.scene import Scene
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.format.events import tap_event
from bondtrace.format.recording import Recorder, Recording
from bondtrace.format.wire import EMPTY, concatenate
from bondtrace.model import Process
from build import (
    BEGIN_NS,
    HERE,
    LLDP,
    ON_ANY,
    ON_ETH0,
    SKB,
    TAPS,
    arp,
    both,
    events,
    hook,
    late,
    losses,
    protocol,
    received,
    record,
    refused,
    reply,
    rx,
    sent,
    start,
    tap,
)

ROOT = Path(__file__).parents[2]
EVERYTHING = both(
    received(vlan=7, sender=LLDP),
    refused(20),
    sent(30),
    hook(ON_ETH0, True, at=60),
    hook(ON_ETH0, False, at=70),
    late("bond0", protocol("ip_list_rcv"), at=80, frame=9),
    rx("eth2", at=90, packet=b""),
    rx("eth0", *(tap(41000 + n, "captured") for n in range(40)), at=100, steps_lost=3, cpu=5, parent=2, in_list=True),
)


def batches_of(path):
    """Every batch as comparable values, and whether the file was cut off."""
    recording = Recording(path)
    return [whole(batch.passes, batch.events) for batch in recording.batches()], recording.cut_off


def whole(passes, happened):
    return (passes.records.tobytes(), passes.steps.tobytes(), passes.offsets.tolist(), json.loads(json.dumps(happened)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.arrows"


# --- what is written is what is read -------------------------------------------------------------------


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([(EVERYTHING, events())], id="everything at once"),
        pytest.param(
            [(EMPTY, events()), (received(), []), (refused(), [losses(5, lost=[1, 2])]), (sent(), [])], id="several"
        ),
        pytest.param([(received(), [])], id="passes alone"),
        pytest.param([(EMPTY, [start()])], id="an event alone"),
    ],
)
def test_what_was_written_is_read(path, batches):
    record(path, *batches)

    assert batches_of(path) == ([whole(*batch) for batch in batches], False)


def test_a_batch_of_nothing_is_not_written(path):
    record(path, (EMPTY, [start()]), (EMPTY, []), (received(), []))

    assert len(batches_of(path)[0]) == 2


def test_names_that_are_no_text_survive(path):
    # given a process whose name is not UTF-8, and one that has JSON's own characters
    strange = Process(7, "\udcff\x1b[31m", 'a "b" \\ \n {µ')
    event = tap_event(BEGIN_NS, TAPS[ON_ANY].__class__(1, HERE, 0, 3, "raw", processes=(strange,)))

    # when its event is written and read
    record(path, (EMPTY, [event]))
    scene = Scene()
    for batch in Recording(path).batches():
        for one in batch.events:
            scene.apply(one)

    # then it is the same, with what a terminal would obey as escapes
    assert scene.tap(1, BEGIN_NS).processes == (Process(7, r"\xff\x1b[31m", r'a "b" \ \x0a {µ'),)


def test_the_time_of_a_batch_is_that_of_its_last_word(path):
    # given a batch whose passes end later than its event, and one the other way round
    record(path, (received(10), [losses(12, lost=[0])]), (received(20), [losses(900, lost=[0])]))

    assert [batch.now_ns for batch in Recording(path).batches()] == [BEGIN_NS + 17_000, BEGIN_NS + 900_000]


def test_the_recorder_tells_how_much_it_wrote(path):
    with Recorder(path) as recorder:
        recorder.write(both(received(), sent()), events())
        size = path.stat().st_size
        assert (recorder.passes, recorder.bytes) == (3, size)
        recorder.write(refused(), [])
        recorder.flush()
        assert recorder.passes == 4 and recorder.bytes == path.stat().st_size > size


def test_any_arrow_reader_reads_it(path):
    # given a recording of an event, a received packet and a late step
    event = losses(0, lost=[0, 1])
    record(
        path,
        (
            both(
                rx("eth0", tap(ON_ETH0, "filtered"), packet=arp(), cpu=3, vlan=7, frame=4, sender=9, head=0x8102),
                late("bond0", protocol("ip_rcv"), at=5, skb=SKB + 64),
            ),
            [event],
        ),
    )

    # when pyarrow reads it
    with open(path, "rb") as file:
        table = pa.ipc.open_stream(file).read_all()

    # then the schema is the documented one
    numbers = {
        "kind": pa.uint8(),
        "time_ns": pa.uint64(),
        "skb": pa.uint64(),
        "netns": pa.uint32(),
        "ifindex": pa.uint32(),
        "len": pa.uint32(),
        "cpu": pa.uint16(),
        "protocol": pa.uint16(),
        "vlan_tci": pa.uint16(),
        "flags": pa.uint8(),
        "steps_lost": pa.uint16(),
        "seq": pa.uint32(),
        "parent": pa.uint32(),
        "duration_ns": pa.uint32(),
        "arphrd": pa.uint16(),
        "pkt_type": pa.uint8(),
        "last_skb": pa.uint32(),
        "frame": pa.uint32(),
        "sender": pa.uint32(),
        "head": pa.uint32(),
        "captured": pa.uint8(),
        "packet": pa.binary(80),
    }
    of_step = {
        "t_ns": pa.uint32(),
        "ifindex": pa.uint32(),
        "orig_ifindex": pa.uint32(),
        "arg": pa.uint32(),
        "kind": pa.uint8(),
        "round": pa.uint8(),
        "result": pa.uint8(),
        "func": pa.uint8(),
        "skb_low": pa.uint32(),
    }
    step = pa.struct([pa.field(name, kind, nullable=name == "skb_low") for name, kind in of_step.items()])
    assert table.schema == pa.schema(
        [
            *(pa.field(name, kind, nullable=name == "last_skb") for name, kind in numbers.items()),
            pa.field("steps", pa.list_(pa.field("item", step, nullable=False)), nullable=False),
            pa.field("event", pa.string()),
        ]
    )

    # and the values are what was written, addresses that are the low half of the pass's skb null
    nothing = {**dict.fromkeys(numbers, 0), "last_skb": None, "packet": bytes(80)}
    assert table.to_pylist() == [
        {**nothing, "steps": [], "event": json.dumps(event, separators=(",", ":"))},
        {
            **nothing,
            "kind": 1,
            "time_ns": BEGIN_NS,
            "skb": SKB,
            "netns": HERE,
            "ifindex": 2,
            "len": 42,
            "cpu": 3,
            "protocol": 0x0806,
            "vlan_tci": 7,
            "flags": 1,
            "seq": 1,
            "duration_ns": 2000,
            "arphrd": 1,
            "frame": 4,
            "sender": 9,
            "head": 0x8102,
            "captured": len(arp()),
            "packet": arp().ljust(80, b"\0"),
            "event": None,
            "steps": [
                {
                    "t_ns": 1000,
                    "ifindex": 2,
                    "orig_ifindex": 2,
                    "arg": ON_ETH0,
                    "kind": 1,
                    "round": 1,
                    "result": 2,
                    "func": 2,
                    "skb_low": None,
                }
            ],
        },
        {
            **nothing,
            "kind": 3,
            "time_ns": BEGIN_NS + 5000,
            "skb": SKB + 64,
            "netns": HERE,
            "ifindex": 4,
            "seq": 1,
            "duration_ns": 2000,
            "arphrd": 1,
            "frame": 1,
            "event": None,
            "steps": [
                {
                    "t_ns": 1000,
                    "ifindex": 4,
                    "orig_ifindex": 4,
                    "arg": 0,
                    "kind": 4,
                    "round": 0,
                    "result": 0,
                    "func": 16,
                    "skb_low": None,
                }
            ],
        },
    ]


def test_other_addresses_than_the_skbs_are_kept(path):
    # given passes, every second of which ends with another skb, or none, and has steps with others still
    passes = both(*(received(n) for n in range(6)))
    passes.records["last_skb"][::2] = [0, 1, 0xFFFFFFFF]
    passes.steps["skb_low"][::3] = np.arange(len(passes.steps[::3]))
    record(path, (passes, [start()]))

    # then they are read again, and what is null in the file is the low half of the pass's skb
    assert batches_of(path) == ([whole(passes, [start()])], False)
    assert table_of(path)["last_skb"].to_pylist() == [None, 0, None, 1, None, 0xFFFFFFFF, None]
    found = [step["skb_low"] for steps in table_of(path)["steps"].to_pylist() for step in steps]
    low = SKB & 0xFFFFFFFF
    assert [low if one is None else one for one in found] == passes.steps["skb_low"].tolist()
    assert found.count(None) == passes.steps["skb_low"].tolist().count(low) > 0


def test_bytes_behind_a_packets_end_are_not_kept(path):
    # given a packet with others' bytes behind it, as a record of the kernel may have
    passes = rx("eth0", packet=arp())
    passes.records["packet"][0, len(arp()) :] = 0xAA
    record(path, (passes, []))

    assert table_of(path)["packet"].to_pylist() == [arp().ljust(80, b"\0")]
    assert batches_of(path) == ([whole(rx("eth0", packet=arp()), [])], False)


def test_columns_of_a_newer_writer_are_passed_over(path):
    # given a recording to which a column was added in front
    record(path, (EVERYTHING, events()))
    table = table_of(path)
    rewrite(path, table.add_column(0, "newer", pa.array(["?"] * len(table))))

    assert batches_of(path) == ([whole(EVERYTHING, events())], False)


def test_a_recording_of_the_first_version_opens():
    # given the example as it was written before the column head, when it is read
    path = Path(__file__).parents[1] / "data" / "first.arrows"
    names = table_of(path).schema.names
    passes = concatenate([batch.passes for batch in Recording(path).batches()])

    # then all is there, and what was not recorded is 0
    assert "head" not in names
    assert (len(passes), set(passes.records["head"].tolist())) == (14, {0})


def test_what_format_1_has_otherwise_is_read(path):
    record(path, (EVERYTHING, events()), (received(), []))
    rewrite(path, of_format_1(table_of(path)))

    assert batches_of(path) == ([whole(EVERYTHING, events()), whole(received(), [])], False)


# --- the file ------------------------------------------------------------------------------------------


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_reads_it(path):
    old = os.umask(0)
    try:
        record(path, (received(), []))
    finally:
        os.umask(old)

    assert mode(path) == 0o600


def test_an_existing_file_is_refused(path):
    path.write_bytes(b"precious")

    with pytest.raises(UsageError) as caught:
        Recorder(path)

    assert str(caught.value) == f"{path} already exists; name another file, or use --force to overwrite it"
    assert path.read_bytes() == b"precious"


def test_force_overwrites_and_takes_others_rights_away(path):
    path.write_bytes(bytes(100_000))
    path.chmod(0o666)

    record(path, (received(), []), force=True)

    assert batches_of(path) == ([whole(received(), [])], False)
    assert mode(path) == 0o600


def test_force_leaves_an_older_file_untouched_until_there_is_something_to_write(path):
    # given an older file, longer than the recording that takes its place
    older = b"precious" * 10_000
    path.write_bytes(older)

    # when a recorder is opened on it, and given nothing, then it is as it was
    with Recorder(path, force=True) as recorder:
        assert path.read_bytes() == older
        recorder.write(EMPTY, [])
        assert path.read_bytes() == older

        # and when given something, it is that and nothing of the older one
        recorder.write(received(), [])
        recorder.flush()
        assert (path.stat().st_size, batches_of(path)) == (recorder.bytes, ([whole(received(), [])], True))
    assert batches_of(path) == ([whole(received(), [])], False)


class Interrupted(Exception):
    """What ends a trace before its first batch."""


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_recorder_that_wrote_nothing_leaves_no_new_file(path, force, fails):
    with pytest.raises(Interrupted) if fails else nullcontext(), Recorder(path, force) as recorder:
        assert path.exists()
        recorder.write(EMPTY, [])
        if fails:
            raise Interrupted

    assert not path.exists()


@pytest.mark.parametrize("fails", [False, True])
def test_a_recorder_that_wrote_nothing_leaves_an_older_file(path, fails):
    path.write_bytes(b"precious")
    with pytest.raises(Interrupted) if fails else nullcontext(), Recorder(path, force=True) as recorder:
        recorder.write(EMPTY, [])
        if fails:
            raise Interrupted

    assert path.read_bytes() == b"precious"


def test_a_recorder_that_fails_after_it_wrote_keeps_what_it_wrote(path):
    with pytest.raises(Interrupted), Recorder(path) as recorder:
        recorder.write(received(), [])
        raise Interrupted

    assert batches_of(path) == ([whole(received(), [])], False)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_symbolic_link_is_never_followed(tmp_path, path, force, exists):
    # given a link to somebody's file (or to none yet)
    target = tmp_path / "passwd"
    if exists:
        target.write_bytes(b"precious")
    path.symlink_to(target)

    # when it is to be recorded to, then it is refused and the target untouched
    with pytest.raises(BondtraceError) as caught:
        Recorder(path, force)
    assert str(caught.value) in (
        f"{path} is a symbolic link, not a regular file; name another file",
        f"{path} already exists; name another file, or use --force to overwrite it",
    )
    assert target.exists() == exists and (not exists or target.read_bytes() == b"precious")


def test_a_device_is_refused_and_keeps_its_rights():
    # given /dev/null, whose mode and owner a recording would change
    null = Path("/dev/null")
    before = null.stat()

    with pytest.raises(UsageError) as caught:
        Recorder(null, force=True)

    assert str(caught.value) == "/dev/null is a device, not a regular file; name another file"
    assert (null.stat().st_mode, null.stat().st_uid) == (before.st_mode, before.st_uid)


def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(UsageError) as caught:
        Recorder(pipe, force=True)

    assert str(caught.value) == f"{pipe} is a pipe, not a regular file; name another file"


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BondtraceError) as caught:
        Recorder(tmp_path / "nosuch" / "x")

    assert str(caught.value) == f"cannot create {tmp_path}/nosuch/x: No such file or directory; name another file"


# --- files that stop short -----------------------------------------------------------------------------


def test_cut_off_anywhere_it_gives_exactly_the_whole_batches(path, tmp_path):
    # given a recording of four batches, and where each of them ends
    batches = [(EMPTY, events()), (EVERYTHING, []), (received(), [losses(5, lost=[1])]), (sent(500), [])]
    ends = []
    with Recorder(path) as recorder:
        for batch in batches:
            recorder.write(*batch)
            recorder.flush()
            ends.append(recorder.bytes)
    data, expected = path.read_bytes(), [whole(*batch) for batch in batches]
    assert len(data) == ends[-1] + 8
    begin = len(schema_message(data))

    # when it is cut at every 64th byte, and around the end of every batch
    cut = tmp_path / "cut.arrows"
    lengths = {*range(0, len(data), 64), *(end + near for end in ends for near in (-8, -1, 0, 1, 4, 7))}
    for length in sorted(lengths):
        cut.write_bytes(data[:length])

        # then the whole batches are read, and it is said that it was cut off; without its schema it is nothing
        if length < begin:
            with pytest.raises(BondtraceError, match="is not a bondtrace recording: it is not an Arrow stream"):
                batches_of(cut)
        else:
            count = sum(end <= length for end in ends)
            assert (length, *batches_of(cut)) == (length, expected[:count], True)


def schema_message(data):
    """The first message of a stream, without what follows its head: a mark, a length, and so many bytes."""
    assert data[:4] == b"\xff\xff\xff\xff"
    return data[: 8 + struct.unpack_from("<i", data, 4)[0]]


def test_a_recorder_that_is_killed_leaves_every_batch_that_was_written(path):
    # given a process that writes batch after batch and says so after each
    program = """
        import sys
        from pathlib import Path
        from build import received, losses
        from bondtrace.format.recording import Recorder
        recorder = Recorder(Path(sys.argv[1]))
        number = 0
        while True:
            recorder.write(received(number, seq=number + 1), [losses(number, lost=[number])])
            number += 1
            print(number, flush=True)
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )

    # when it is killed somewhere after the 50th
    with writer:
        for _ in range(50):
            assert writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        said = 50 + len(writer.stdout.read().splitlines())
    assert writer.returncode == -signal.SIGKILL

    # then all that it had said are there and whole, the one that it was writing may be
    found, cut_off = batches_of(path)
    assert len(found) in (said, said + 1)
    assert found == [whole(received(n, seq=n + 1), [losses(n, lost=[n])]) for n in range(len(found))]
    assert cut_off


def test_a_full_disk_is_told_and_what_was_written_is_read(path):
    # given a process that may write no more than 30000 bytes a file
    program = """
        import resource, sys
        from pathlib import Path
        from build import received, events
        from bondtrace.errors import BondtraceError
        from bondtrace.format.recording import Recorder
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
        number = 0
        try:
            with Recorder(Path(sys.argv[1])) as recorder:
                while True:
                    recorder.write(received(number), [])
                    recorder.flush()
                    number += 1
        except BondtraceError as error:
            print(number)
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )

    # then it says why it ends, and every batch before is read
    number, message = done.stdout.splitlines()
    assert message == f"cannot write to {path}: File too large; what was written before is whole"
    assert batches_of(path) == ([whole(received(n), []) for n in range(int(number))], True)
    assert int(number) > 3


# --- files that are something else ---------------------------------------------------------------------


def error_of(path):
    """The message of reading it, without the file's name and the remedy, which are always there."""
    with pytest.raises(BondtraceError) as caught:
        list(Recording(path).batches())
    before, after = f"{path} is not a bondtrace recording: ", "; `bondtrace record -o FILE` makes one"
    text = str(caught.value)
    assert text.startswith(before) and text.endswith(after) and "\n" not in text
    return text[len(before) : -len(after)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hello\n" * 100,
        b"\xff\xff\xff\xff",
        b"\xff" * 4096,
        b"ARROW1\0\0",
        b"\xd4\xc3\xb2\xa1" + bytes(200),
    ],
)
def test_a_file_that_is_no_arrow_stream_is_told(path, content):
    path.write_bytes(content)

    assert error_of(path) == "it is not an Arrow stream"


def test_another_arrow_stream_is_told(path):
    rewrite(path, pa.table({"time_ns": [1], "skb": [2]}))

    assert error_of(path) == "it has no column 'kind'"


def test_a_file_that_is_not_there_and_a_directory_are_told(tmp_path):
    for path, why in ((tmp_path / "nosuch", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(BondtraceError) as caught:
            list(Recording(path).batches())
        assert str(caught.value) == f"cannot read {path}: {why}"


def table_of(path):
    with open(path, "rb") as file:
        return pa.ipc.open_stream(file).read_all()


def rewrite(path, table):
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def of_format_1(table):
    """The same as format 1 had it: packets of a size each, addresses without nulls."""
    packets = [packet[:size] for packet, size in zip(table["packet"].to_pylist(), table["captured"].to_pylist())]
    last = [
        skb & 0xFFFFFFFF if last is None else last
        for skb, last in zip(table["skb"].to_pylist(), table["last_skb"].to_pylist())
    ]
    steps = [
        [{**step, "skb_low": skb & 0xFFFFFFFF if step["skb_low"] is None else step["skb_low"]} for step in steps]
        for skb, steps in zip(table["skb"].to_pylist(), table["steps"].to_pylist())
    ]
    columns = {
        "packet": pa.array(packets, pa.binary()),
        "last_skb": pa.array(last, pa.uint64()),
        "steps": pa.array(steps, table["steps"].type),
    }
    for name, column in columns.items():
        column = pa.chunked_array([column.slice(begin, len(chunk)) for begin, chunk in _chunks(table)])
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table.drop_columns(["captured"])


def _chunks(table):
    """Where each batch begins, and its kinds of rows."""
    begin = 0
    for chunk in table["kind"].chunks:
        yield begin, chunk
        begin += len(chunk)


def with_column(path, name, kind, values):
    """Write a recording of four rows (an event, three passes) with other values in one column."""
    record(path, (both(received(), sent()), [start()]))
    table = table_of(path)
    place = table.schema.get_field_index(name)
    rewrite(path, table.set_column(place, pa.field(name, kind), pa.array(values, kind)))


@pytest.mark.parametrize(
    "name, kind, values",
    [
        ("time_ns", pa.int64(), [1, 2, 3, 4]),
        ("time_ns", pa.string(), ["a", "b", "c", "d"]),
        ("time_ns", pa.null(), [None] * 4),
        ("kind", pa.uint32(), [1] * 4),
        ("event", pa.large_string(), ["{}"] * 4),
        ("packet", pa.string(), ["x"] * 4),
        ("packet", pa.large_binary(), [b"x"] * 4),
        ("packet", pa.binary(79), [b"x" * 79] * 4),
        ("captured", pa.uint16(), [1] * 4),
        ("steps", pa.list_(pa.int32()), [[1]] * 4),
        ("steps", pa.large_list(pa.struct([("t_ns", pa.uint32())])), [[]] * 4),
    ],
)
def test_a_column_of_another_type_is_told(path, name, kind, values):
    with_column(path, name, kind, values)

    assert error_of(path) == f"its column {name!r} has another type"


@pytest.mark.parametrize(
    "name, kind, values",
    [
        pytest.param("captured", pa.uint8(), [0, 80, 81, 0], id="format 2"),
        pytest.param("packet", pa.binary(), [b"", reply(), b"x" * 81, b""], id="format 1"),
    ],
)
def test_a_packet_longer_than_a_record_holds_is_told(path, name, kind, values):
    with_column(path, name, kind, values)

    assert error_of(path) == "a batch is malformed (packet too long)"


@pytest.mark.parametrize(
    "event, why",
    [
        ("[1]", "an event is not an object"),
        ("5", "an event is not an object"),
        ("null", "an event is not an object"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"time_ns": "soon"}', "invalid literal for int() with base 10: 'soon'"),
        ('{"time_ns": 1e999}', "cannot convert float infinity to integer"),
    ],
)
def test_an_event_that_is_no_object_with_a_time_is_told(path, event, why):
    with_column(path, "event", pa.string(), [event, None, None, None])

    assert error_of(path) == f"a batch is malformed ({why})"


def test_an_event_that_is_nested_without_end_is_told(path):
    with_column(path, "event", pa.string(), ["[" * 200_000, None, None, None])

    assert error_of(path).startswith("a batch is malformed (maximum recursion depth exceeded")


def test_sizes_of_packets_must_be_there(path):
    record(path, (received(), [start()]))
    rewrite(path, table_of(path).drop_columns(["captured"]))

    assert error_of(path) == "a batch is malformed (it has no column 'captured')"


@pytest.mark.parametrize("column", ["packet", "steps", "event"])
@pytest.mark.parametrize("value", [-1, 1 << 20, 0x7FFFFFFF])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_offsets_out_of_order_are_told(path, column, value, place):
    # given a recording of two batches, in the second of which one offset of a column is wrong
    record(path, (EMPTY, events()), (both(received(), sent()), [start()]))
    if column == "packet":
        rewrite(path, of_format_1(table_of(path)))
    chunk = table_of(path).column(column).chunk(1)
    data, offsets = bytearray(path.read_bytes()), chunk.buffers()[1].to_pybytes()
    where = data.rfind(offsets)
    assert where > 0 and len(chunk) == 4
    data[where + 4 * place : where + 4 * place + 4] = struct.pack("<i", value)
    path.write_bytes(data)

    # when it is read, then the first batch comes, and for the second an error
    batches = Recording(path).batches()
    assert whole(*next(batches)[:2]) == whole(EMPTY, events())
    assert error_of(path).startswith("a batch is malformed (")


def test_every_byte_may_be_wrong(path):
    # given a small recording, in which one byte after the other is turned round
    record(path, (received(), [start()]))
    data = path.read_bytes()
    outcomes = set()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])

        # when it is read, then it is read, or there is a clear error: nothing else is raised
        try:
            outcomes.add(len(batches_of(path)[0]))
        except BondtraceError:
            outcomes.add("error")
    assert outcomes == {0, 1, "error"}  # a head of length 0 is the end of a stream


def test_passes_wait_for_company_but_not_for_ever(tmp_path):
    # given three batches of passes alone
    path = tmp_path / "trace.arrows"
    with Recorder(path) as recorder:
        for number in range(3):
            recorder.write(received(number * 100), [])
        assert (recorder.bytes, recorder.passes) == (0, 3)

        # when an event comes, they are written in front of it, as one batch
        recorder.write(sent(900), [start()])
        assert recorder.bytes > 0

    assert [(len(one.passes), len(one.events)) for one in Recording(path).batches()] == [(5, 1)]
