# SPDX-License-Identifier: GPL-2.0-or-later
"""Moments as people write them: a time of day, a date with a time, or so long after a trace's begin.

What has no time zone is local time, as journeys are printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from ..errors import BondtraceError
from ..format.events import event_time_ns
from .scene import Scene

EXAMPLES = "12:30, 12:30:05.25, 2026-11-27T12:30 or +90s (after the trace's begin)"

_S = 1_000_000_000
_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "": _S, "s": _S, "m": 60 * _S, "h": 3600 * _S}
_UNITS_NS["d"] = 24 * _UNITS_NS["h"]
_SPAN = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h|d)?")
_TIME = re.compile(r"(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?")
_FRACTION = re.compile(r"(:\d\d)[.,](\d{1,9})")
_YEARS = range(1971, 2262)


class _Of(Enum):
    TRACE = "since the trace's begin"
    DAY = "since midnight of the day on which it began"
    EPOCH = "since 1970"


@dataclass(frozen=True)
class Moment:
    """A moment: so many ns since something. ``words`` is what was written."""

    words: str
    since: _Of
    ns: int

    def monotonic_ns(self, scene: Scene) -> int:
        """Return the moment as CLOCK_MONOTONIC of a trace.

        :raises BondtraceError: where the trace's start, and so its clock, is not known.
        """
        if not scene.start:
            raise BondtraceError(
                f"the recording does not hold the start of a trace, so when {self.words!r} was is not known: "
                "leave out --since and --until"
            )
        begin_ns = event_time_ns(scene.start)
        if self.since is _Of.TRACE:
            return begin_ns + self.ns
        if self.since is _Of.EPOCH:
            return self.ns - scene.wall_offset_ns
        begin = datetime.fromtimestamp((begin_ns + scene.wall_offset_ns) // _S)
        seconds, rest_ns = divmod(self.ns, _S)
        then = begin.replace(hour=seconds // 3600, minute=seconds // 60 % 60, second=seconds % 60, microsecond=0)
        return int(then.timestamp()) * _S + rest_ns - scene.wall_offset_ns


def moment(words: str) -> Moment:
    """Return the moment that is written like one of ``EXAMPLES``.

    :raises ValueError: for anything else.
    """
    if words.startswith("+"):
        return Moment(words, _Of.TRACE, span_ns(words[1:]))
    time = _TIME.fullmatch(words)
    if time:
        hours, minutes, seconds = (int(part or 0) for part in time.groups()[:3])
        if hours > 23 or minutes > 59 or seconds > 59:
            raise ValueError(f"{words!r} is no time of day")
        return Moment(words, _Of.DAY, (hours * 3600 + minutes * 60 + seconds) * _S + _fraction_ns(time.group(4)))
    return Moment(words, _Of.EPOCH, _epoch_ns(words))


def span_ns(words: str) -> int:
    """Return a length of time in ns: ``850ns``, ``1.5ms``, ``90s``, ``10m``; without a unit it is seconds.

    :raises ValueError: for anything else.
    """
    found = _SPAN.fullmatch(words)
    if not found:
        raise ValueError(f"{words!r} is no length of time: give one as 50us, 1ms, 1.5s or 10m")
    return round(float(found.group(1)) * _UNITS_NS[found.group(2) or ""])


def _epoch_ns(words: str) -> int:
    """Return when a date, with or without a time, is or begins. Of the second's fraction Python reads six digits."""
    fraction = _FRACTION.search(words)
    plain = _FRACTION.sub(r"\1", words).replace("Z", "+00:00")
    try:
        then = datetime.fromisoformat(plain)
        if then.year not in _YEARS:
            raise ValueError
        return int(then.timestamp()) * _S + _fraction_ns(fraction.group(2) if fraction else None)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{words!r} is no time: give one as {EXAMPLES}") from None


def _fraction_ns(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0
