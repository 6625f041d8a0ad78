# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of taps: how each was bound at a time, and whether it was in the kernel's lists then.

Two sources are put together. *Hooks* are exact: the kernel side recorded when ``dev_add_pack`` hooked a tap in and
``__dev_remove_pack`` hooked it out. *Readings* say how it was bound (packet_diag); each took a while and may have met
the tap in the middle of a change.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Optional

from ..model import Tap
from .history import LAST_NS, History

# A packet that was under way when a tap hooked itself in or out may or may not have been offered to it.
HOOK_MARGIN_NS = 1_000_000

Hook = tuple[int, bool]
"""(time_ns, whether it was hooked in)."""


class Presence(Enum):
    """Whether a tap was there for a packet, at the packet's time."""

    HOOKED = "hooked"  # in the kernel's lists
    NOT_YET = "not yet"  # not opened yet
    OUT = "out"  # bound to nothing, or its device was down
    UNSURE = "unsure"  # it came or went at about that time
    UNREAD = "unread"  # how it was bound then was not read
    CLOSED = "closed"


class _Readings:
    """The readings of a tap in order of time: when each began, when it had ended, and the tap."""

    def __init__(self) -> None:
        self._begun_ns: list[int] = []
        self._ended_ns: list[int] = []
        self._taps: list[Tap] = []

    def put(self, begun_ns: int, ended_ns: int, tap: Tap) -> None:
        """Append a reading."""
        self._begun_ns.append(begun_ns)
        self._ended_ns.append(ended_ns)
        self._taps.append(tap)

    def within(self, since_ns: Optional[int], until_ns: Optional[int], time_ns: int) -> Optional[Tap]:
        """Return the tap as it was at ``time_ns`` by the readings that lie wholly between two times (``None``: no
        bound); the first of them holds for the time before it, too. ``None`` where there is none."""
        first = 0 if since_ns is None else bisect_left(self._begun_ns, since_ns)
        last = (len(self._taps) if until_ns is None else bisect_right(self._ended_ns, until_ns)) - 1
        place = min(max(bisect_right(self._begun_ns, time_ns) - 1, first), last)
        return self._taps[place] if first <= last else None


class TapHistory:
    """One tap over time.

    How it was bound (``at``): the reading that lies between the same two hooks as the asked time, as binding changes
    only where a tap is hooked in or out (a new bind, a ring, a fanout group). Without one the answer is a guess, and is
    marked as not sure.

    Whether it was there (``state``) is decided by the first row that holds. It opened, or closed, between two readings:
    the last as before, and the first as after. The margin is ``HOOK_MARGIN_NS``.

    ============================================================================= =========================
    its hooks are known, and it is not in a fanout group (whose members have none)
      the last hook before is at most the margin ago                              UNSURE
      the last hook before was in                                                 HOOKED
      the last hook before was out, the last of all, and it was closed since      CLOSED
      the last hook before was out                                                OUT
      no hook before, and it opened during the trace                              NOT_YET
      no hook before, the first one after is in                                   OUT
      no hook before, the first one after is out                                  HOOKED
    it is in a fanout group, has hooks (it was bound first), and opened during the
    trace
      before its first hook                                                       NOT_YET
      within the margin of a hook, not closed yet                                 UNSURE
      otherwise, not closed yet                                                   HOOKED, OUT where not running
    it opened during a trace that records hooks, and had none
      until the last reading without it                                           NOT_YET
      later                                                                       OUT
    only readings
      after the first reading without it                                          CLOSED
      between the last reading with it and that                                   UNSURE
      until the last reading before it opened                                     NOT_YET
      between that and the first reading with it                                  UNSURE
      otherwise                                                                   HOOKED, OUT where not running
    ============================================================================= =========================

    In the end HOOKED becomes UNREAD where ``at`` is not sure; so does OUT, unless it is hooked in again later: then it
    was out of the kernel's lists whatever it was bound to.
    """

    def __init__(self, hooks: list[Hook]) -> None:
        self.hooks = hooks
        self._bound: History[Tap] = History()
        self._readings = _Readings()
        self._opened_ns: Optional[tuple[int, int]] = None
        self._closed_ns: Optional[tuple[int, int]] = None
        self._begins_are_known = False  # of readings: older recordings have only their ends

    def read(self, tap: Tap, begun_ns: Optional[int], ended_ns: int) -> None:
        """Take a reading; ``begun_ns`` is ``None`` in older recordings."""
        self._begins_are_known |= begun_ns is not None
        begun_ns = ended_ns if begun_ns is None else begun_ns
        self._closed_ns = None  # it is listed again
        self._bound.put(begun_ns, tap)
        self._readings.put(begun_ns, ended_ns, tap)

    def opened(self, since_ns: int, until_ns: int) -> None:
        """Take when it opened: it was not there at ``since_ns``, and was at ``until_ns``."""
        self._opened_ns = since_ns, until_ns

    def closed(self, since_ns: int, until_ns: int) -> None:
        """Take when it closed: it was there at ``since_ns``, and was not at ``until_ns``."""
        self._bound.put(until_ns, None)
        self._closed_ns = since_ns, until_ns

    @property
    def first_ns(self) -> int:
        """When it was read for the first time."""
        return self._bound.first_ns

    @property
    def closed_ns(self) -> Optional[int]:
        """When it was found to be closed; ``None`` where it was not."""
        return self._closed_ns[1] if self._closed_ns is not None else None

    def last_known(self) -> Optional[Tap]:
        """Return the tap as it was last."""
        return self._bound.last_known()

    def ever(self) -> list[Tap]:
        """Return the tap as it was at each reading."""
        return self._bound.until(LAST_NS)

    def at(self, time_ns: int) -> tuple[Optional[Tap], bool]:
        """Return the tap as it was then, or is guessed to have been, and whether that is sure."""
        if not self.hooks:
            return self._bound.at(time_ns) or self.last_known(), True
        place = bisect_right(self.hooks, (time_ns, True))
        since_ns = self.hooks[place - 1][0] if place else None
        until_ns = self.hooks[place][0] if place < len(self.hooks) else None
        read = self._readings.within(since_ns, until_ns, time_ns)
        if read is not None:
            return read, True
        later = None if since_ns is None else self._bound.first_since(since_ns)
        return later or self._bound.at(time_ns) or self.last_known(), not self._begins_are_known

    def state(self, time_ns: int, hooks_are_recorded: bool) -> tuple[Optional[Tap], Presence]:
        """Return the tap as it was then (``at``), and whether it was there, by the table above.

        :param hooks_are_recorded: the trace records when taps are hooked in and out, so silence means that this one
            was not.
        """
        tap, is_sure = self.at(time_ns)
        presence = self._presence(tap, time_ns, hooks_are_recorded)
        asks_how_bound = presence is Presence.HOOKED or (presence is Presence.OUT and not self._comes_back(time_ns))
        return tap, Presence.UNREAD if asks_how_bound and not is_sure else presence

    def _presence(self, tap: Optional[Tap], time_ns: int, hooks_are_recorded: bool) -> Presence:
        is_member = tap is not None and tap.fanout_id is not None
        if self.hooks and not is_member:
            return self._by_hooks(time_ns)
        if self.hooks and self._opened_ns is not None:
            presence = self._as_member(time_ns)
        elif not is_member and self._opened_ns is not None and hooks_are_recorded:
            return Presence.NOT_YET if time_ns <= self._opened_ns[0] else Presence.OUT
        else:
            presence = self._by_readings(time_ns)
        is_idle = presence is Presence.HOOKED and tap is not None and tap.running is False
        return Presence.OUT if is_idle else presence

    def _comes_back(self, time_ns: int) -> bool:
        """Is it hooked in after that? Then it is not in a fanout group until then, whose members have no hook."""
        place = bisect_right(self.hooks, (time_ns, True))
        return place < len(self.hooks) and self.hooks[place][1]

    def _by_hooks(self, time_ns: int) -> Presence:
        past = bisect_right(self.hooks, (time_ns, True))
        if not past:
            if self._opened_ns is not None:
                return Presence.NOT_YET
            return Presence.OUT if self.hooks[0][1] else Presence.HOOKED
        hook_ns, is_in = self.hooks[past - 1]
        if time_ns - hook_ns <= HOOK_MARGIN_NS:
            return Presence.UNSURE
        if is_in:
            return Presence.HOOKED
        # Where it was listed after its last hook, it had not been closed by then.
        was_last = past == len(self.hooks) and self._closed_ns is not None
        return Presence.CLOSED if was_last and self._is_closing(time_ns) else Presence.OUT

    def _as_member(self, time_ns: int) -> Presence:
        if time_ns < self.hooks[0][0]:
            return Presence.NOT_YET
        if self._is_closing(time_ns):
            return self._by_readings(time_ns)
        place = bisect_right(self.hooks, (time_ns, True))
        around = self.hooks[max(place - 1, 0) : place + 1]
        is_near = any(abs(time_ns - hook_ns) <= HOOK_MARGIN_NS for hook_ns, _ in around)
        return Presence.UNSURE if is_near else Presence.HOOKED

    def _by_readings(self, time_ns: int) -> Presence:
        if self._closed_ns is not None and self._is_closing(time_ns):
            return Presence.CLOSED if time_ns > self._closed_ns[1] else Presence.UNSURE
        if self._opened_ns is not None and time_ns <= self._opened_ns[1]:
            return Presence.NOT_YET if time_ns <= self._opened_ns[0] else Presence.UNSURE
        return Presence.HOOKED

    def _is_closing(self, time_ns: int) -> bool:
        """Was it closed by then, or may it have been?"""
        return self._closed_ns is not None and time_ns >= self._closed_ns[0]


class Taps(Mapping[int, TapHistory]):
    """The histories of all taps that events have named, by inode, in that order; and *strangers*: taps that were given
    packets and are in no list so far."""

    def __init__(self) -> None:
        self._histories: dict[int, TapHistory] = {}
        self._hooks: dict[int, list[Hook]] = {}  # also of taps that are in no list yet
        self._strangers: set[int] = set()

    def __getitem__(self, inode: int) -> TapHistory:
        return self._histories[inode]

    def __iter__(self) -> Iterator[int]:
        return iter(self._histories)

    def __len__(self) -> int:
        return len(self._histories)

    def put(self, inode: int) -> TapHistory:
        """Return the history of a tap, a new one where there was none."""
        if inode not in self._histories:
            self._histories[inode] = TapHistory(self._hooks.setdefault(inode, []))
        return self._histories[inode]

    def hook(self, inode: int, time_ns: int, is_in: bool) -> None:
        """Take when a tap was hooked in or out; hooks may come late and in any order."""
        insort(self._hooks.setdefault(inode, []), (time_ns, is_in))

    def meet(self, inodes: Iterable[int]) -> None:
        """Remember those of these taps that are not known otherwise."""
        self._strangers.update(inode for inode in inodes if not self._is_known(inode))

    def strangers(self) -> list[int]:
        """Return the inodes of taps that were given packets and are not known otherwise; 0 is that of a socket that was
        being closed."""
        return sorted(inode for inode in self._strangers if not self._is_known(inode))

    def _is_known(self, inode: int) -> bool:
        return inode in self._histories and self._histories[inode].last_known() is not None
