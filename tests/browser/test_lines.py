# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of a screen, by the columns that they take."""

import pytest

from bondtrace.browser.lines import cut, cut_front, fitted, padded, spans, text_of, width, wrapped

WIDE = "接口0"  # a device may be called so: five columns


def test_what_a_text_takes_is_counted_in_columns():
    assert [width(text) for text in ("eth0", "→ µs", WIDE, "e\u0301")] == [4, 4, 5, 1]


@pytest.mark.parametrize(
    "text, columns, told",
    [("eth0", 4, "eth0"), ("bond0", 4, "bon…"), (WIDE, 4, "接…"), (WIDE, 5, WIDE), ("bond0", 1, "…"), ("bond0", 0, "")],
)
def test_a_text_is_cut_to_its_columns(text, columns, told):
    assert cut(text, columns) == told
    assert width(padded(text, columns)) == columns


@pytest.mark.parametrize(
    "text, columns, told",
    [("a/b.arrows", 10, "a/b.arrows"), ("a/b.arrows", 9, "…b.arrows"), (WIDE, 4, "…口0"), ("ab", 0, "")],
)
def test_of_a_path_the_end_is_kept(text, columns, told):
    assert cut_front(text, columns) == told


def test_a_line_is_cut_or_padded_and_keeps_its_styles():
    line = [("red", "drop"), ("", f" {WIDE}")]

    assert fitted(line, 12) == [*line, ("", "  ")]
    assert fitted(line, 8) == [("red", "drop"), ("", " 接…")]
    assert fitted(line, 3) == [("red", "dr…")]


def test_colours_of_text_become_styles():
    assert spans("    tap: \x1b[32mcaptured\x1b[0m (\x1b[1mx\x1b[0m)") == [
        *(("", "    tap: "), ("green", "captured"), ("", " ("), ("bold", "x"), ("", ")"))
    ]


def test_a_long_line_is_broken_at_spaces_and_hangs():
    line = [("", "  not seen by "), ("red", "tcpdump -i bond0"), ("", ": inactive")]

    told = wrapped(line, 20, 2)

    assert [text_of(one) for one in told] == ["  not seen by", "    tcpdump -i", "    bond0: inactive"]
    assert told[1] == [("", "    "), ("red", "tcpdump -i")]
    assert told[2] == [("", "    "), ("red", "bond0"), ("", ": inactive")]


@pytest.mark.parametrize("columns", [2, 3, 7, 20, 200])
@pytest.mark.parametrize("text", ["", "x" * 50, f"   {WIDE * 9} and {'y' * 30} z", "   leading, and words"])
def test_nothing_is_lost_and_no_line_is_too_long(text, columns):
    told = wrapped([("", text)], columns, 4)

    assert "".join(text_of(line) for line in told).replace(" ", "") == text.replace(" ", "")
    assert max(width(text_of(line)) for line in told) <= columns
