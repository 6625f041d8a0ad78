# SPDX-License-Identifier: GPL-2.0-or-later
"""A live source before it traces: what it asks for, and what it says of itself."""

from types import SimpleNamespace

import pytest

from bondtrace.capture.kernel import loader
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.capture.live import source
from bondtrace.capture.live.source import LiveSource, Request
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.format.stages import BEYOND_IP


def test_without_the_rights_there_is_no_source(monkeypatch):
    monkeypatch.setattr(source.capabilities, "has", lambda one: False)

    with pytest.raises(BondtraceError, match="tracing needs root"):
        LiveSource(Request())


def test_a_namespace_that_there_is_not_is_said_before_anything_is_attached(monkeypatch):
    monkeypatch.setattr(source.capabilities, "has", lambda one: True)

    with pytest.raises(UsageError, match="no network namespace 'nosuch'"):
        LiveSource(Request(netns=("nosuch",)))


@pytest.mark.parametrize("sockets", [False, True])
def test_the_stages_beyond_ip_are_in_the_plan_of_a_trace_that_asks_for_them(monkeypatch, sockets):
    # given a source, and a kernel whose symbols are those that a plan may ask for
    one = LiveSource.__new__(LiveSource)
    one._request = Request(sockets=sockets)
    found = {name: Symbol(name) for name in wanted_functions()}
    kernel = loader.Kernel(SimpleNamespace(find_many=lambda names: names), found, {"": {}}, {})
    monkeypatch.setattr(source.loader, "attached", lambda make_tracer, plans: plans(frozenset()))

    plan = one._attached(kernel, (), ())

    assert [name for name in BEYOND_IP if plan.stage(name)] == (list(BEYOND_IP) if sockets else [])
    # and where packets are only counted, nothing of it is compiled
    monkeypatch.setattr(source.loader, "Tracer", lambda kernel, plan, *more: plan)
    one._request = Request(sockets=sockets, count_every_s=1.0)
    assert not any(one._compiled(kernel, plan).stage(name) for name in BEYOND_IP)
