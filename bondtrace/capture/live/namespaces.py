# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the network namespaces of the host: names of new ones, and traced ones that nothing keeps alive any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

from ...format.events import Event, namespace_event
from ..host.devices import Change, ElsewhereMonitor, LinkMonitor
from ..host.namespaces import Namespace, unreadable
from .clock import Every

EVERY_NS = 5_000_000_000


def is_at_its_path(namespace: Namespace) -> bool:
    """Is it still at the path by which it was named?"""
    try:
        return os.stat(namespace.path).st_ino == namespace.inode
    except OSError:
        return False


class NamespaceFollower:
    """The traced namespaces, and those of the host whose names are known. It lists none itself.

    :param is_there: is a namespace without a process kept by a name?
    """

    def __init__(
        self,
        traced: Iterable[Namespace],
        listed: Iterable[Namespace],
        is_there: Callable[[Namespace], bool] = is_at_its_path,
    ) -> None:
        self.traced = list(traced)
        self.listing = Every(EVERY_NS)
        self._known = {one.inode for one in listed}
        self._is_there = is_there

    def take(self, listed: list[Namespace], time_ns: int) -> tuple[list[Event], list[Namespace]]:
        """Take the namespaces as they are now; return the events of new ones, and the traced ones to let go: those
        without a name or a process, which might be kept, with their devices, only by the monitor's socket for as long
        as the trace lasts."""
        self.listing.restart(time_ns)
        there = {one.inode for one in listed}
        events = [namespace_event(time_ns, one.inode, one.label) for one in listed if one.inode not in self._known]
        self._known = there
        gone = [one for one in self.traced if one.inode not in there and not self._is_there(one)]
        self.traced = [one for one in self.traced if one not in gone]
        return events, gone


class Monitors:
    """The monitors of devices of each traced namespace, and of those elsewhere that it knows; a context manager.

    :raises BondtraceError: where devices cannot be monitored.
    """

    def __init__(self, traced: Iterable[Namespace]) -> None:
        self._monitors: dict[int, tuple[LinkMonitor, ...]] = {}
        with ExitStack() as stack:
            for namespace in traced:
                monitors = [stack.enter_context(_monitor(namespace))]
                with suppress(PermissionError):  # without CAP_NET_BROADCAST what is elsewhere is only read now and then
                    monitors.append(stack.enter_context(ElsewhereMonitor(namespace)))
                self._monitors[namespace.inode] = tuple(monitors)
            stack.pop_all()

    def __enter__(self) -> Monitors:
        return self

    def __exit__(self, *_: object) -> None:
        for netns in list(self._monitors):
            self.let_go(netns)

    def waitable(self) -> list[LinkMonitor]:
        """Return the monitors, which select() can wait for."""
        return [one for monitors in self._monitors.values() for one in monitors]

    def changes(self) -> list[Change]:
        """Return the changes of devices since the last call, those of a namespace in order."""
        return [change for monitor in self.waitable() for change in monitor.read()]

    def let_go(self, netns: int) -> None:
        """Stop monitoring a namespace, and no longer keep it alive."""
        for monitor in self._monitors.pop(netns):
            monitor.close()


def _monitor(namespace: Namespace) -> LinkMonitor:
    try:
        return LinkMonitor(namespace)
    except OSError as error:
        raise unreadable(namespace, "changes of devices", error) from error
