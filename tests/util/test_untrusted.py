# SPDX-License-Identifier: GPL-2.0-or-later
"""What others named and wrote: made printable, and refused where it is no sound event."""

import sys

import pytest

from bondtrace.model import Device, Process, Tap
from bondtrace.util import untrusted


@pytest.mark.parametrize(
    "text, shown",
    [
        ("eth0", "eth0"),
        ("µ → 漢", "µ → 漢"),
        ("a\nb", r"a\x0ab"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b", r"\xc2\x9b"),
        ("\u202eevil", r"\xe2\x80\xaeevil"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\xed\xa0\x80"),
        ("\u2028", r"\xe2\x80\xa8"),
        ("\\x41", "\\x41"),
        ("", ""),
    ],
)
def test_printable(text, shown):
    assert untrusted.printable(text) == shown
    assert untrusted.printable(shown) == shown


def test_every_character_is_printable_or_escaped():
    shown = untrusted.printable("".join(map(chr, range(sys.maxunicode + 1))))

    assert shown.isprintable()
    shown.encode()


# --- values of events ----------------------------------------------------------------------------------

DEVICE = {"netns": 1, "ifindex": 2, "name": "eth0", "kind": "ether"}
TAP = {"inode": 7, "netns": 1, "ifindex": 2, "protocol": 3, "kind": "raw"}
PROCESS = {"pid": 1, "comm": "x", "cmdline": "x -y"}


@pytest.mark.parametrize(
    "take, value, why",
    [
        (untrusted.number, -1, "-1 where a whole number from 0 up belongs"),
        (untrusted.number, True, "True where a whole number from 0 up belongs"),
        (untrusted.number, 1.0, "1.0 where a whole number from 0 up belongs"),
        (untrusted.number, "7", "'7' where a whole number from 0 up belongs"),
        (untrusted.number, 1 << 63, "a number of more than 64 bits where a whole number from 0 up belongs"),
        (untrusted.number, "\x1b" * 99, "'" + "\\x1b" * 9 + "..." + " where a whole number from 0 up belongs"),
        (untrusted.text, None, "None where a text belongs"),
        (untrusted.text, ["x"], "a list where a text belongs"),
        (untrusted.mapping, [], "a list where an object belongs"),
        (untrusted.items, {}, "an object where a list belongs"),
        (untrusted.items, "text", "'text' where a list belongs"),
        (untrusted.time_ns, {"time_ns": -1}, "-1 where a whole number from 0 up belongs"),
        (
            untrusted.offset_ns,
            {"wall_offset_ns": 1 << 63},
            "a number of more than 64 bits where a difference of times belongs",
        ),
        (untrusted.event, {"a": 1.5}, "1.5 where a whole number of 64 bits belongs"),
        (untrusted.event, {"a": [[[[[[[[]]]]]]]]}, "it is nested too deep"),
        (untrusted.device, {**DEVICE, "name": 7}, "7 as 'name' of a device"),
        (untrusted.device, {"netns": 1, "ifindex": 2, "kind": "x"}, "a device without 'name'"),
        (untrusted.tap, {**TAP, "processes": [{"pid": 1}]}, "a process without 'comm'"),
        (untrusted.tap, {**TAP, "processes": 5}, "5 where a list belongs"),
        (untrusted.tap, {**TAP, "running": 1}, "1 as 'running' of a tap"),
        (untrusted.stage, {"missing": "x"}, "None where a text belongs"),
    ],
)
def test_what_is_of_another_type_is_refused(take, value, why):
    with pytest.raises(ValueError) as caught:
        take(value)
    assert str(caught.value) == why


def test_what_an_event_does_not_say_is_nothing():
    assert (untrusted.time_ns({}), untrusted.offset_ns({})) == (0, 0)
    assert untrusted.stage({"name": "rx"}) == {"name": "rx", "missing": "", "tells": "", "without": ""}


def test_every_text_of_an_event_is_printable_and_its_numbers_are_kept():
    given = {"k\n": ["\x1b", ("a", {"b\r": -(1 << 63)})], "yes": True, "none": None}
    assert untrusted.event(given) == {"k\\x0a": ["\\x1b", ["a", {"b\\x0d": -(1 << 63)}]], "yes": True, "none": None}


def test_devices_and_taps_are_those_of_the_model_whatever_a_newer_writer_adds():
    assert untrusted.device({**DEVICE, "newer": 1}) == Device(1, 2, "eth0", "ether")
    assert untrusted.tap({**TAP, "newer": 1, "processes": [{**PROCESS, "newer": 1}], "drops": None}) == Tap(
        7, 1, 2, 3, "raw", processes=(Process(1, "x", "x -y"),)
    )


def test_the_bytes_that_a_text_was_read_from_are_found_again():
    for data in (b"eth0", "µ".encode(), b"\xff\xfe\x80", b"a\xc3"):
        assert untrusted.raw(data.decode("utf-8", "surrogateescape")) == data
