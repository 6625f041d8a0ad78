# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring buffer read in blocks, from an ordinary file laid out as the kernel lays its ring out."""

import mmap
import os
import struct

import numpy as np
import pytest

from bondtrace.capture.kernel.ring import Ring

PAGE = mmap.PAGESIZE
SLOT = 256
SIZE = PAGE  # the smallest ring
SLOTS = SIZE // SLOT
CONTINUES = struct.pack("<Q", 0x0B07D7AC)
BUSY = 1 << 31


class KernelSide:
    """What the kernel does to the ring: reserve, write, commit. The data is in the file twice."""

    def __init__(self):
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self._produced = 0

    def start_at(self, slots):
        """As if so many slots had been written and read before."""
        self._produced = slots * SLOT
        os.pwrite(self.fd, struct.pack("<Q", self._produced), 0)
        os.pwrite(self.fd, struct.pack("<Q", self._produced), PAGE)

    def add(self, text, slots=1, busy=False):
        """A record of so many slots full of one letter. Answers where it is, for ``commit``."""
        begin = self._produced
        self._write(begin, self._head(slots, busy) + text.encode() * (SLOT - 8))
        for nth in range(1, slots):
            self._write(begin + nth * SLOT, CONTINUES + text.encode() * (SLOT - 8))
        self._produced += slots * SLOT
        os.pwrite(self.fd, struct.pack("<Q", self._produced), PAGE)
        return begin

    def reserve(self):
        """One more slot, of which only the position is written. Answers where it is."""
        begin = self._produced
        self._produced += SLOT
        os.pwrite(self.fd, struct.pack("<Q", self._produced), PAGE)
        return begin

    def fill(self, begin, text):
        """Write the bytes of a slot behind its header."""
        self._write(begin + 8, text.encode() * (SLOT - 8))

    def commit(self, begin, slots=1):
        """Take the busy bit away."""
        self._write(begin, self._head(slots, False))

    @staticmethod
    def _head(slots, busy):
        return struct.pack("<II", slots * SLOT - 8 | (BUSY if busy else 0), 0)

    def _write(self, position, data):
        for copy in (0, SIZE):
            os.pwrite(self.fd, data, 2 * PAGE + copy + position % SIZE)

    @property
    def room(self):
        """Free slots, by the position that the reader has written."""
        (consumed,) = struct.unpack("<Q", os.pread(self.fd, 8, 0))
        return SLOTS - (self._produced - consumed) // SLOT


@pytest.fixture
def kernel():
    side = KernelSide()
    yield side
    os.close(side.fd)


@pytest.fixture
def ring(kernel):
    opened = Ring(kernel.fd, SIZE)
    yield opened
    opened.close()


def text(block):
    """A block as a letter a slot, in capitals where a record begins."""
    assert (block.dtype, block.shape[1:]) == (np.uint8, (SLOT,))
    letters = [chr(slot[-1]) for slot in block]
    return "".join(letter if bytes(slot[:8]) == CONTINUES else letter.upper() for letter, slot in zip(letters, block))


def test_an_empty_ring_has_nothing(kernel, ring):
    assert (text(ring.read()), kernel.room) == ("", SLOTS)


def test_what_was_written_is_read_once_and_its_room_given_back(kernel, ring):
    # given three records of one, two and four slots
    for letter, slots in (("a", 1), ("b", 2), ("c", 4)):
        kernel.add(letter, slots)
    room_before = kernel.room
    # when the ring is read twice
    first, second = ring.read(), ring.read()
    # then all is in the first block, whole and in order, and the kernel may use the room
    assert (text(first), text(second)) == ("ABbCccc", "")
    assert (room_before, kernel.room) == (SLOTS - 7, SLOTS)
    # and not a byte is changed
    assert bytes(first[1]) == struct.pack("<II", 2 * SLOT - 8, 0) + b"b" * 248


def test_reading_stops_before_a_record_that_is_being_written(kernel, ring):
    # given a record that is not finished between two that are
    kernel.add("a")
    begin = kernel.add("b", busy=True)
    kernel.add("c")
    # when the ring is read before and after it is finished
    before = text(ring.read())
    room_before = kernel.room
    kernel.commit(begin)
    after = text(ring.read())
    # then it holds back what is behind it, and nothing is out of order
    assert (before, after) == ("A", "BC")
    assert (room_before, kernel.room) == (SLOTS - 2, SLOTS)


def test_a_first_record_that_is_being_written_holds_back_everything(kernel, ring):
    begin = kernel.add("a", 3, busy=True)
    kernel.add("b")
    assert (text(ring.read()), kernel.room) == ("", SLOTS - 4)
    kernel.commit(begin, 3)
    assert (text(ring.read()), kernel.room) == ("AaaB", SLOTS)


def test_a_finished_long_record_before_a_busy_one_is_read(kernel, ring):
    kernel.add("a", 8)
    kernel.add("b", 2, busy=True)
    assert (text(ring.read()), kernel.room) == ("Aaaaaaaa", SLOTS - 2)


@pytest.mark.parametrize("start", [0, 1, SLOTS - 3, SLOTS - 2, SLOTS - 1, 7 * SLOTS - 1, (1 << 40) - 1])
def test_a_block_goes_on_over_the_end_of_the_ring(kernel, start):
    # given a ring that has been used up to a place near its end, with records over the end
    kernel.start_at(start)
    ring = Ring(kernel.fd, SIZE)
    for letter, slots in (("a", 2), ("b", 3), ("c", 1)):
        kernel.add(letter, slots)
    # when it is read, then it is one block
    assert (text(ring.read()), kernel.room) == ("AaBbbC", SLOTS)
    ring.close()


def test_many_rounds_of_the_ring(kernel, ring):
    # given records of one to eight slots, more than the ring holds
    letters = "abcdefghijklmnopqrstuvwxyz" * 8
    sizes = [1 + nth * 5 % 8 for nth in range(len(letters))]
    # when they are read whenever there is no more room
    read = ""
    for letter, slots in zip(letters, sizes):
        if kernel.room < slots:
            read += text(ring.read())
        kernel.add(letter, slots)
    read += text(ring.read())
    # then every one was read, once and in order
    assert read == "".join(letter.upper() + letter * (slots - 1) for letter, slots in zip(letters, sizes))


def test_a_full_ring_is_read_whole(kernel, ring):
    kernel.start_at(5)
    for _ in range(SLOTS):
        kernel.add("a")
    assert (kernel.room, text(ring.read()), kernel.room) == (0, "A" * SLOTS, SLOTS)


@pytest.mark.parametrize(
    ("slots_max", "blocks"),
    [
        (1, ["A", "", ""]),  # never a part of a record
        (2, ["A", "", ""]),
        (3, ["A", "Bbb", "CDd"]),
        (4, ["ABbb", "CDd", ""]),
        (5, ["ABbbC", "Dd", ""]),
        (6, ["ABbbC", "Dd", ""]),
        (7, ["ABbbCDd", "", ""]),
    ],
)
def test_a_record_that_the_end_of_a_block_would_cut_stays_for_the_next(kernel, ring, slots_max, blocks):
    # given records of one, three, one and two slots
    for letter, slots in (("a", 1), ("b", 3), ("c", 1), ("d", 2)):
        kernel.add(letter, slots)
    # when blocks of at most so many slots are read
    read = [text(ring.read(slots_max)) for _ in range(3)]
    # then each ends with a whole record, and the room of these alone is given back
    assert read == blocks
    assert kernel.room == SLOTS - 7 + sum(map(len, blocks))


def test_blocks_are_copies(kernel):
    # given a block and an empty one
    ring = Ring(kernel.fd, SIZE)
    kernel.add("a")
    block, empty = ring.read(), ring.read()
    # when the kernel has used the room again and the ring is closed
    for _ in range(SLOTS):
        kernel.add("x")
    ring.close()
    # then they are what they were
    assert (text(block), text(empty)) == ("A", "")


def test_a_reader_begins_where_the_one_before_it_ended(kernel):
    # given a ring that was read by another
    first = Ring(kernel.fd, SIZE)
    kernel.add("a")
    first.read()
    kernel.add("b")
    first.close()
    # when a second one reads, then it gets the rest
    second = Ring(kernel.fd, SIZE)
    assert text(second.read()) == "B"
    second.close()


def test_each_is_read_only_behind_a_barrier(kernel):
    # given a machine on which nothing is seen in order but across a barrier: the record's header is there after the
    # first, and its bytes after the second
    room_at = []
    begin = kernel.reserve()

    def fence():
        room_at.append(kernel.room)
        if len(room_at) == 1:
            kernel.commit(begin)
        if len(room_at) == 2:
            kernel.fill(begin, "a")

    ring = Ring(kernel.fd, SIZE, fence)
    block = ring.read()
    ring.close()
    # then it is whole, and its room was given back behind a third one
    assert (text(block), room_at, kernel.room) == ("A", [SLOTS - 1] * 3, SLOTS)


def test_where_nothing_is_there_no_barrier_is_asked_for(kernel):
    asked = []
    ring = Ring(kernel.fd, SIZE, lambda: asked.append(1))
    ring.read()
    ring.close()
    assert asked == []
