# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop of a live trace on this machine's own namespaces, devices and notifications; only the tracer is played."""

import os
import subprocess
import time

import pytest

from bondtrace.capture.host import namespaces
from bondtrace.capture.host.devices import read_devices
from bondtrace.capture.host.taps import compare
from bondtrace.capture.host.underlay import with_underlays
from bondtrace.capture.kernel.plan import Plan, Stage
from bondtrace.capture.kernel.symbols import Addresses
from bondtrace.capture.live import loop as module
from bondtrace.capture.live.clock import WallClock, wall_offset_ns
from bondtrace.capture.live.deciders import DeciderNames
from bondtrace.capture.live.devices import DeviceFollower
from bondtrace.capture.live.handlers import FunctionNames, HandlerFollower
from bondtrace.capture.live.loop import Followers, Loop
from bondtrace.capture.live.namespaces import Monitors, NamespaceFollower
from bondtrace.capture.live.needs import NeedFollower
from bondtrace.capture.live.sockets import SocketFollower
from bondtrace.capture.live.taps import TapFollower
from bondtrace.format.wire import EMPTY

PATIENCE_S = 30


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def try_ip(kind, *arguments):
    if subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode:
        pytest.skip(f"this kernel has no {kind}")


class Tracer:
    """In place of the kernel side and of the taps' reader: nothing passes, and there are no taps."""

    def __init__(self):
        self.traced, self.ring, self.namespaces, self.read_ns = set(), self, [], (0, 0)

    def read(self):
        return EMPTY

    def set_devices(self, devices):
        self.traced = devices.all

    def counters(self):
        return {}

    def know(self, devices):
        pass

    def refresh(self, previous):
        return compare(previous, {})


@pytest.fixture
def names():
    """A namespace with a veth v0 that is up, and the name of another one."""
    found = [f"bt-fo{number}-{os.getpid()}" for number in (1, 2)]
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["ip", "netns", "add", found[0]], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    ip("-n", found[0], "link", "add", "v0", "type", "veth", "peer", "name", "p0")
    for device in ("v0", "p0"):
        ip("-n", found[0], "link", "set", device, "up")
    yield found
    for name in found:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _nothing(function):
    return Stage(function, "", "", ())


class Trace:
    """A trace of v0 in a namespace; ``events`` are all that it made."""

    def __init__(self, name):
        here = namespaces.resolve(name)
        self.tracer, self.events = Tracer(), []
        self._monitors = Monitors([here])
        listed = list(namespaces.list_namespaces().values())
        self.devices = DeviceFollower(("v0",), [here.inode], with_underlays(read_devices(listed, []), listed))
        self.tracer.set_devices(self.devices.traced())
        self.tracer.namespaces = listed
        followers = Followers(
            self.devices,
            TapFollower(self.tracer, with_options=list),
            NamespaceFollower([here], listed),
            HandlerFollower({}, _nothing),
            NeedFollower(Plan((), (), ()), _nothing, lambda module: None),
            FunctionNames(lambda: Addresses(b"")),
            DeciderNames(lambda numbers: {}, lambda numbers: {}),
            clock=WallClock(wall_offset_ns()),
            sockets=SocketFollower(),
        )
        self._loop = Loop(self.tracer, self._monitors, followers, [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._monitors.__exit__()

    def until(self, expected):
        """Make batches until these devices are traced, as (namespace, name)."""
        end_s = time.monotonic() + PATIENCE_S
        while self.traced() != expected and time.monotonic() < end_s:
            self.events += self._loop.batch().events
            time.sleep(module.POLL_S)
        assert self.traced() == expected

    def traced(self):
        known = self.devices.known
        labels = {one.inode: one.name for one in namespaces.list_namespaces().values()}
        return {(labels.get(key[0]), known[key].name) for key in self.tracer.traced}


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch):
    monkeypatch.setattr(module, "decode", lambda passes: passes)


def test_a_macvlan_that_is_moved_to_a_new_namespace_and_back(names):
    here, there = names
    with Trace(here) as trace:
        trace.until({(here, "v0")})
        try_ip("macvlan", "-n", here, "link", "add", "link", "v0", "name", "mv0", "type", "macvlan")
        trace.until({(here, "v0"), (here, "mv0")})
        # when
        ip("netns", "add", there)
        ip("-n", here, "link", "set", "mv0", "netns", there)
        trace.until({(here, "v0"), (there, "mv0")})
        # and when the namespace goes, and it with that: nobody keeps it
        ip("netns", "del", there)
        trace.until({(here, "v0")})


def test_a_macvlan_that_is_made_in_another_namespace(names):
    here, there = names
    ip("netns", "add", there)
    with Trace(here) as trace:
        trace.until({(here, "v0")})
        made = ["link", "add", "link", "v0", "name", "mv0", "netns", there, "type", "macvlan"]
        try_ip("macvlan", "-n", here, *made)
        trace.until({(here, "v0"), (there, "mv0")})
        ip("-n", there, "link", "set", "mv0", "name", "lan0")
        trace.until({(here, "v0"), (there, "lan0")})
        ip("-n", there, "link", "del", "lan0")
        trace.until({(here, "v0")})


def test_a_tunnel_that_is_moved_and_whose_route_comes_later(names):
    here, there = names
    ip("netns", "add", there)
    vxlan = ["type", "vxlan", "id", "7", "dstport", "4789", "remote", "10.7.0.1"]
    with Trace(here) as trace:
        trace.until({(here, "v0")})
        try_ip("VXLAN", "-n", here, "link", "add", "vx0", *vxlan)
        ip("-n", here, "link", "set", "vx0", "netns", there)
        ip("-n", there, "link", "set", "vx0", "up")
        ip("-n", there, "addr", "add", "10.8.0.2/24", "dev", "vx0")
        trace.until({(here, "v0")})
        # when a route to its other end is by v0
        ip("-n", here, "addr", "add", "10.7.0.2/24", "dev", "v0")
        trace.until({(here, "v0"), (there, "vx0")})
        # then the recording has what was traced, and from when
        [*_, told] = [one for one in trace.events if one["kind"] == "device" and one["device"]["name"] == "vx0"]
        [v0] = [one for one in trace.devices.here() if one.name == "v0"]
        assert told["device"]["underlay"] == ((v0.netns, v0.ifindex),)
        # and when it leads elsewhere
        ip("-n", here, "addr", "del", "10.7.0.2/24", "dev", "v0")
        trace.until({(here, "v0")})
