# SPDX-License-Identifier: GPL-2.0-or-later
"""A live source before it traces: what it asks for, and what it says of itself."""

import pytest

from bondtrace.capture.live import source
from bondtrace.capture.live.source import LiveSource, Request
from bondtrace.errors import BondtraceError, UsageError


def test_without_the_rights_there_is_no_source(monkeypatch):
    monkeypatch.setattr(source.capabilities, "has", lambda one: False)

    with pytest.raises(BondtraceError, match="tracing needs root"):
        LiveSource(Request())


def test_a_namespace_that_there_is_not_is_said_before_anything_is_attached(monkeypatch):
    monkeypatch.setattr(source.capabilities, "has", lambda one: True)

    with pytest.raises(UsageError, match="no network namespace 'nosuch'"):
        LiveSource(Request(netns=("nosuch",)))
