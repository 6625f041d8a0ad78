# SPDX-License-Identifier: GPL-2.0-or-later
"""Namespaces are followed: new ones are named, and what nothing keeps is let go."""

import errno
import os

import pytest

from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.live import namespaces as module
from bondtrace.capture.live.namespaces import EVERY_NS, Monitors, NamespaceFollower, is_at_its_path
from bondtrace.errors import BondtraceError

HERE, THERE = Namespace(1, "", "/proc/self/ns/net"), Namespace(2, "blue", "/no/such/path")


def test_new_ones_are_named_once():
    namespaces = NamespaceFollower([HERE], [HERE])

    events, gone = namespaces.take([HERE, THERE], 7)

    assert [(one["kind"], one["time_ns"], one["netns"], one["name"]) for one in events] == [("namespace", 7, 2, "blue")]
    assert gone == [] and namespaces.take([HERE, THERE], 8) == ([], [])


def test_a_traced_one_that_nothing_keeps_is_let_go():
    namespaces = NamespaceFollower([HERE, THERE], [HERE, THERE], is_there=lambda one: False)

    assert namespaces.take([HERE], 8) == ([], [THERE])
    assert namespaces.traced == [HERE]
    assert namespaces.take([HERE], 9) == ([], [])


def test_a_name_keeps_one_that_no_process_is_in():
    namespaces = NamespaceFollower([HERE, THERE], [HERE, THERE], is_there=lambda one: one == THERE)

    assert namespaces.take([HERE], 8) == ([], [])
    assert namespaces.traced == [HERE, THERE]


def test_they_are_listed_now_and_then():
    namespaces = NamespaceFollower([HERE], [HERE])
    namespaces.take([HERE], 8)

    assert not namespaces.listing.is_due(7 + EVERY_NS) and namespaces.listing.is_due(8 + EVERY_NS)


def test_a_namespace_is_at_its_path_where_that_has_its_inode(tmp_path):
    there = tmp_path / "blue"
    there.touch()

    assert is_at_its_path(Namespace(there.stat().st_ino, "blue", str(there)))
    assert not is_at_its_path(Namespace(1, "blue", str(there)))
    assert not is_at_its_path(THERE)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (errno.EPERM, "not permitted (run as root, or with CAP_SYS_ADMIN)"),
        (errno.ENOBUFS, os.strerror(errno.ENOBUFS)),
        (errno.ENOENT, os.strerror(errno.ENOENT)),
    ],
)
def test_a_monitor_that_cannot_be_opened_is_told_with_its_namespace(monkeypatch, failure, said):
    def fails(namespace):
        raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(module, "LinkMonitor", fails)

    with pytest.raises(BondtraceError) as told:
        Monitors([THERE])

    assert str(told.value) == f"cannot read the changes of devices of network namespace blue: {said}"
