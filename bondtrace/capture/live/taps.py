# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the taps of the host: reads them when a reading is due, and returns events of what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ...format.events import Event, tap_event, tap_gone_event
from ...format.wire import Passes
from ...model import Device, Tap
from ..host.namespaces import Namespace
from ..host.options import with_all_options
from ..host.taps import Refresh
from .clock import now_ns
from .tap_readings import Schedule


class Watcher(Protocol):
    """What is needed of ``host.taps.TapWatcher``."""

    namespaces: list[Namespace]
    read_ns: tuple[int, int]

    def know(self, devices: Iterable[Device]) -> None: ...

    def refresh(self, previous: dict[int, Tap]) -> Refresh: ...


class TapFollower:
    """The taps as they were last read, by inode (``known``).

    :param now: CLOCK_MONOTONIC in ns.
    :param with_options: adds the options that only the taps' sockets show.
    """

    def __init__(
        self,
        watcher: Watcher,
        now: Callable[[], int] = now_ns,
        with_options: Callable[[Iterable[Tap]], list[Tap]] = with_all_options,
    ) -> None:
        self.watcher = watcher
        self.known: dict[int, Tap] = {}
        self.schedule = Schedule()
        self._now, self._with_options = now, with_options

    def start(self) -> list[Event]:
        """Read the taps for the first time; return the events of those that are there."""
        self.schedule.begin(self._now())
        refresh = self.watcher.refresh({})
        self.known = refresh.current
        self.schedule.end(self._now(), self.known)
        read_ns, seen_ns = self.watcher.read_ns
        return [tap_event(seen_ns, tap, read_ns=read_ns) for tap in self._with_options(refresh.opened)]

    def notice(self, passes: Passes) -> None:
        """Note what in these passes is a reason to read the taps soon."""
        self.schedule.notice(passes, self.known)

    def read(self, begun_ns: int) -> list[Event]:
        """Read the taps again; return the events of what changed since.

        A tap that was hooked in or out gets an event even where it has not changed: what was read before describes
        another state.
        """
        before_ns = self.schedule.begin(begun_ns)
        refresh = self.watcher.refresh(self.known)
        self.known = refresh.current
        shown = {tap.inode for tap in refresh.opened + refresh.changed}
        again = [self.known[inode] for inode in sorted(self.schedule.hooked - shown) if inode in self.known]
        read_ns, seen_ns = self.watcher.read_ns
        opened, others = self._with_options(refresh.opened), self._with_options([*refresh.changed, *again])
        self.schedule.end(self._now(), self.known)
        return [
            *(tap_event(seen_ns, tap, before_ns, read_ns) for tap in opened),
            *(tap_event(seen_ns, tap, read_ns=read_ns) for tap in others),
            *(tap_gone_event(seen_ns, before_ns, tap.inode) for tap in refresh.closed),
        ]
