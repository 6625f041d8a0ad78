# SPDX-License-Identifier: GPL-2.0-or-later
"""What others named and wrote: made printable, and refused where it is no sound event."""

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
