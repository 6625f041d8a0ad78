# SPDX-License-Identifier: GPL-2.0-or-later
"""A live source before it traces: what it asks for, and what it says of itself."""

import os
import socket
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from bondtrace.capture.kernel import loader
from bondtrace.capture.kernel.plan import Plan, Stage
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.capture.live import source
from bondtrace.capture.live.source import LiveSource, Request
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.format.stages import BEYOND_IP, QUEUE_OUTCOMES, QUEUED


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


class _Tracer:
    """In place of the kernel side: when it was told of the devices, and when a stage was attached."""

    def __init__(self):
        self.plan = Plan((Stage(QUEUED, "", "", ()),), waiting=(Stage(QUEUE_OUTCOMES, "", "", ()),))
        self.chains = self.tc_filters = None
        self.traced_ns, self.attached_ns = 0, 0

    def require_packets(self, directions):
        pass

    def attach_handler(self, name, module):
        pass

    def attach_stage(self, name):
        self.attached_ns = time.monotonic_ns()
        return Stage(name, "", "", ())

    def detach_stage(self, name):
        pass

    def set_devices(self, devices):
        time.sleep(0.001)
        self.traced_ns = time.monotonic_ns()


def test_a_trace_starts_once_its_devices_are_traced_and_what_the_taps_need_is_attached(monkeypatch):
    # given a packet socket without a ring on this host
    if os.geteuid() != 0:
        pytest.skip("needs root")
    tracer = _Tracer()
    kernel = loader.Kernel(SimpleNamespace(drop_reasons=dict), {}, {"": {}}, {})
    monkeypatch.setattr(source.loader, "read_kernel", lambda: kernel)
    monkeypatch.setattr(source.capabilities, "require_rights", lambda: None)
    monkeypatch.setattr(LiveSource, "_attached", lambda self, kernel, handlers, wanted: nullcontext(tracer))

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)), LiveSource(Request()) as live:
        events = live._loop._events

    # what came before is not in the trace, though it is in the taps' files
    assert events[0]["kind"] == "start"
    assert 0 < tracer.attached_ns <= tracer.traced_ns <= events[0]["time_ns"]
    assert [event["stage"]["name"] for event in events if event["kind"] == "stage"] == [QUEUE_OUTCOMES]
