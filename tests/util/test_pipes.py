# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard input and output as pipes: read in pieces, waited for no longer than is asked, written whole."""

import os
import threading
from pathlib import Path

import pytest

from bondtrace.util.pipes import STDIO, InputPipe, Unusable, input_name, output_descriptor, write_all


@pytest.fixture
def pipe(monkeypatch):
    """(reading, writing): a pipe that standard input reads from."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as stdin, open(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr("sys.stdin", stdin)
        yield stdin, writer


def test_what_comes_in_pieces_is_read_as_asked_for(pipe):
    _, writer = pipe
    with InputPipe() as read:
        writer.write(b"abcdef")
        assert (read.read(2), read.tell()) == (b"ab", 2)
        threading.Timer(0.05, lambda: (writer.write(b"gh"), writer.close())).start()
        assert read.read(5) == b"cdefg"
        assert (read.read(5), read.tell()) == (b"h", 8)
        assert read.read(5) == b""


def test_waiting_ends_when_it_is_asked_to(pipe):
    # given a writer that has written too little and stays
    pipe[1].write(b"ab")
    asked = []

    read = InputPipe(lambda: asked.append(1) or len(asked) < 3)

    assert read.read(5) == b"ab"
    assert len(asked) == 3


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_terminal_and_what_is_closed_are_refused(monkeypatch, stream):
    use = InputPipe if stream == "stdin" else output_descriptor
    leader, terminal = os.openpty()
    with open(leader, "rb"), open(terminal, "rb", buffering=0) as file:
        monkeypatch.setattr(f"sys.{stream}", file)
        with pytest.raises(Unusable, match=r"is a terminal$"):
            use()
    for closed in (file, None):
        monkeypatch.setattr(f"sys.{stream}", closed)
        with pytest.raises(Unusable, match=r"is closed$"):
            use()


def test_all_is_written_to_what_takes_little_and_does_not_wait(pipe):
    reading, writer = pipe
    data = os.urandom(1 << 20)
    os.set_blocking(writer.fileno(), False)
    found = bytearray()

    def read():
        while piece := os.read(reading.fileno(), 10_000):
            found.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    write_all(writer, data)
    writer.close()
    reader.join()

    assert bytes(found) == data


def test_only_the_dash_is_standard_input():
    assert [input_name(one) for one in (STDIO, Path("/tmp/-"))] == ["standard input", "/tmp/-"]
