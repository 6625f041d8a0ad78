# SPDX-License-Identifier: GPL-2.0-or-later
"""What others named and wrote: made printable, and refused where it is of another type."""

import sys

import pytest

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


# --- values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "take, value, why",
    [
        (untrusted.number, -1, "-1 instead of a whole number from 0 up"),
        (untrusted.number, True, "True instead of a whole number from 0 up"),
        (untrusted.number, 1.0, "1.0 instead of a whole number from 0 up"),
        (untrusted.number, "7", "'7' instead of a whole number from 0 up"),
        (untrusted.number, 1 << 63, "a number of more than 64 bits instead of a whole number from 0 up"),
        (untrusted.number, "\x1b" * 99, "'" + "\\x1b" * 9 + "..." + " instead of a whole number from 0 up"),
        (untrusted.text, None, "None instead of a text"),
        (untrusted.text, ["x"], "a list instead of a text"),
        (untrusted.mapping, [], "a list instead of an object"),
        (untrusted.items, {}, "an object instead of a list"),
        (untrusted.items, "text", "'text' instead of a list"),
        (untrusted.integer, 1 << 63, "a number of more than 64 bits instead of a difference of times"),
        (untrusted.clean, {"a": 1.5}, "1.5 instead of a whole number of 64 bits"),
        (untrusted.clean, {"a": [[[[[[[[]]]]]]]]}, "it is nested too deep"),
    ],
)
def test_what_is_of_another_type_is_refused(take, value, why):
    with pytest.raises(ValueError) as caught:
        take(value)
    assert str(caught.value) == why


def test_the_bytes_that_a_text_was_read_from_are_found_again():
    for data in (b"eth0", "µ".encode(), b"\xff\xfe\x80", b"a\xc3"):
        assert untrusted.raw(data.decode("utf-8", "surrogateescape")) == data
