# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop of a live trace, on a kernel and a host that the tests play."""

from dataclasses import replace

import numpy as np
import pytest

from bondtrace.capture.host.devices import Change
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.host.taps import compare
from bondtrace.capture.kernel.plan import Plan, Stage
from bondtrace.capture.kernel.symbols import Addresses
from bondtrace.capture.live import loop as module
from bondtrace.capture.live.clock import WallClock
from bondtrace.capture.live.deciders import DeciderNames
from bondtrace.capture.live.devices import DeviceFollower
from bondtrace.capture.live.handlers import FunctionNames, HandlerFollower
from bondtrace.capture.live.loop import READINGS_A_BATCH, Followers, Host, Loop, State
from bondtrace.capture.live.namespaces import NamespaceFollower
from bondtrace.capture.live.needs import NeedFollower
from bondtrace.capture.live.sockets import SocketFollower
from bondtrace.capture.live.taps import TapFollower
from bondtrace.format.wire import EMPTY
from bondtrace.model import Device, Process
from build import ON_BOND0, ON_ETH0, TAPS, both, hook, received, sent, socket_record

HERE, THERE = Namespace(1, "", "/proc/self/ns/net"), Namespace(2, "blue", "/no/such/path")
GONE, BACK = "bond0 is gone; a device of that name will be traced once there is one", "bond0 is back"


def bond(ifindex, name="bond0", netns=1):
    return Device(netns, ifindex, name, kind="bond")


class Monitors:
    """What the devices do, as ``changes`` of the world say."""

    def __init__(self, world):
        self._world = world

    def waitable(self):
        return []

    def changes(self):
        self._world.order.append("devices")
        taken, self._world.changes = self._world.changes, []
        return taken

    def let_go(self, netns):
        self._world.let_go_of.append(netns)


class World:
    """A host, and a kernel that traces it: ``came`` are the passes in the ring, read by read; ``there`` its taps, each
    reading of which takes ``takes_s`` and leaves its begin in ``looks``; ``changes`` what its devices do; ``told`` the
    records of sockets in the ring, read by read, and ``held`` who holds them. ``sockets``: they are asked for."""

    def __init__(self, sockets=True):
        self.now_ns, self.offset_ns = 1_000 * 10**9, 7 * 10**18
        self.came, self.changes, self.order = [], [], []
        self.there, self.takes_s, self.looks = {}, 0.01, []
        self.listed, self.let_go_of, self.devices = [HERE, THERE], [], []
        self.traced, self.attached, self.said = None, [], []
        self.modules, self.sockets = set(), sockets
        self.told, self.held, self.asked_for = [], {}, []
        self.namespaces, self.read_ns = [], (0, 0)
        self.ring = self
        self.at_read = lambda: None
        self.loop = self._loop()

    def _loop(self):
        handlers = HandlerFollower({"bond_handle_frame": "bonding"}, self.attach, lambda module: 10)
        followers = Followers(
            DeviceFollower(("bond0",), (1, 2), [bond(5)]),
            TapFollower(self, lambda: self.now_ns, list),
            NamespaceFollower([HERE, THERE], [HERE, THERE], is_there=lambda one: False),
            handlers,
            NeedFollower(
                Plan((), (), (Stage("queued", "tells", "without", (), when="tunnels"),)), self.attach, self.loading
            ),
            FunctionNames(lambda: Addresses(b"")),
            DeciderNames(lambda numbers: {}, lambda numbers: {}),
            clock=WallClock(self.offset_ns),
            sockets=SocketFollower(self.sockets, self.holders, lambda: self.now_ns),
        )
        host = Host(
            lambda: self.now_ns,
            lambda: self.offset_ns,
            lambda: list(self.listed),
            lambda namespace, others: [one for one in self.devices if one.netns == namespace.inode],
            lambda tunnels, namespaces: {},
        )
        followers.devices.traced()
        return Loop(self, Monitors(self), followers, [], tell=self.said.append, host=host)

    # the tracer

    def read(self):
        self.order.append("ring")
        self.at_read()
        return self.came.pop(0) if self.came else EMPTY

    def set_devices(self, devices):
        self.now_ns += 1000
        self.traced, self.traced_ns = devices.all, self.now_ns

    def counters(self):
        return {}

    def told_sockets(self, passes):
        return self.told.pop(0) if self.told else EMPTY.records

    def holders(self, inodes):
        self.asked_for.append(inodes)
        return {inode: self.held[inode] for inode in inodes if inode in self.held}

    def loading(self, module):
        return 1 if module in self.modules else None

    def attach(self, function):
        self.attached.append(function)
        return Stage(function, "its verdicts", "", (), when="tunnels" if function == "queued" else "")

    # the taps

    def know(self, devices):
        self.names = {device.name for device in devices}

    def refresh(self, previous):
        self.order.append("taps")
        self.looks.append(self.now_ns)
        self.now_ns += int(self.takes_s * 1e9)
        self.read_ns = self.looks[-1], self.now_ns
        return compare(previous, dict(self.there))


@pytest.fixture
def world(monkeypatch):
    """A world in which a batch was made, so that the taps were read."""
    return begun(monkeypatch)


def begun(monkeypatch, **more):
    """Such a world."""
    one = World(**more)
    monkeypatch.setattr(module, "decode", lambda passes: passes)  # the ring of these tests holds passes
    monkeypatch.setattr(module, "told_sockets", one.told_sockets)
    one.loop.batch()
    one.order.clear()
    return one


def batch(world, after_s=0.02):
    """The events of the next batch, so long after the last."""
    world.now_ns += int(after_s * 1e9)
    return world.loop.batch().events


def taps_of(events):
    """(inode, protocol) of the taps that events tell of."""
    return [(one["tap"]["inode"], one["tap"]["protocol"]) for one in events if one["kind"] == "tap"]


def kinds(events):
    return [one["kind"] for one in events if one["kind"] != "losses"]


def notes(events):
    return [one["text"] for one in events if one["kind"] == "note"]


# --- devices -------------------------------------------------------------------------------------------


def test_a_bond_that_is_made_again_between_two_looks_is_traced_and_both_is_said(world):
    world.changes = [Change("remove", bond(5)), Change("add", bond(9))]

    events = batch(world)

    assert kinds(events) == ["device-gone", "note", "device", "note"]
    assert notes(events) == world.said == [GONE, BACK]
    assert world.traced == {(1, 9)} and world.attached == []


def test_a_device_that_comes_into_use_has_its_rx_handler_attached_before_it_is_traced(world):
    world.changes = [Change("add", Device(1, 6, "br0", "bridge")), Change("add", replace(bond(5), master=6))]

    events = batch(world)

    assert kinds(events) == ["device", "device", "stage"]
    assert world.attached == ["br_handle_frame"] and world.traced == {(1, 5), (1, 6)}


def test_a_tunnel_has_its_stage_attached_before_it_is_traced_and_only_once(world):
    world.changes = [Change("add", Device(1, 6, "vx0", "vxlan", link=5))]

    events = batch(world)

    assert kinds(events) == ["device", "stage"] and world.attached == ["queued"]
    assert [one["stage"]["when"] for one in events if one["kind"] == "stage"] == ["tunnels"]
    world.changes = [Change("add", Device(1, 7, "vx1", "vxlan", link=5))]
    assert kinds(batch(world)) == ["device"] and world.attached == ["queued"]


def test_a_module_that_is_loaded_is_noticed_within_a_second(world):
    world.modules = {"esp4"}
    assert kinds(batch(world)) == [] and world.attached == []
    assert kinds(batch(world, after_s=1)) == ["stage"] and world.attached == ["queued"]


def test_lost_notifications_are_made_up_by_reading_all_devices(world):
    world.changes, world.devices = [Change("reread", None, 1)], [bond(9)]

    events = batch(world)

    assert kinds(events) == ["device-gone", "device", "note", "note"]
    assert notes(events) == [GONE, BACK] or world.traced == {(1, 9)}
    assert world.traced == {(1, 9)}


def test_a_vlan_that_is_moved_to_a_new_namespace_is_traced_in_the_same_batch(world):
    # given that the namespace has not been listed
    red = Namespace(3, "red", "/no/such/path")
    world.namespaces = [HERE, THERE]
    here = Device(1, 6, "bond0.5", "vlan", link=5)
    world.changes = [Change("add", here)]
    batch(world)
    assert world.traced == {(1, 5), (1, 6)}
    world.listed.append(red)
    world.devices = [Device(3, 6, "bond0.5", "vlan", link=5, link_netnsid=0, link_netns=1)]
    world.changes = [Change("remove", here), Change("elsewhere", here)]

    events = batch(world)

    assert kinds(events) == ["device-gone", "namespace", "device"]
    assert events[-1]["time_ns"] == world.traced_ns > events[0]["time_ns"]
    assert world.traced == {(1, 5), (3, 6)} and world.names == {"bond0", "bond0.5"}
    # and when its namespace goes
    world.listed.remove(red)
    assert kinds(batch(world, after_s=6)) == ["device-gone"] and world.traced == {(1, 5)}
    assert world.said == []


def test_names_of_devices_are_known_to_who_reads_taps(world):
    world.changes = [Change("add", bond(5, "other"))]

    batch(world)

    assert world.names == {"other"} and world.traced == {(1, 5)} and world.said == []


# --- taps ----------------------------------------------------------------------------------------------


def test_a_tap_that_was_hooked_in_while_the_taps_were_read_is_read_again_at_once(world):
    # given a reading, because a tap was hooked in, during which another one is, which it shows as it was before
    world.there = {ON_ETH0: TAPS[ON_ETH0], ON_BOND0: replace(TAPS[ON_BOND0], protocol=0, running=False)}
    world.came = [hook(ON_ETH0, True), hook(ON_BOND0, True)]

    def bind():
        if len(world.looks) == 2:
            world.there[ON_BOND0] = TAPS[ON_BOND0]

    world.at_read = bind
    events = [one for one in batch(world) if one["kind"] == "tap"]

    # then the same batch has it as it is, and when the readings began and ended
    assert taps_of(events) == [(ON_ETH0, 3), (ON_BOND0, 0), (ON_BOND0, 3)]
    assert [one["read_ns"] for one in events] == [world.looks[place] for place in (1, 1, 2)]
    assert [one["time_ns"] - one["read_ns"] for one in events] == [10_000_000] * 3
    assert taps_of(batch(world)) == [] and len(world.looks) == 3


def test_somebody_who_opens_and_closes_taps_all_the_time_holds_nothing_up(world):
    # given hooks in all that is read from the ring, which takes as long as to read the taps
    def ring():
        world.now_ns += 10_000_000
        world.came = [hook(ON_ETH0, True)]

    world.at_read, world.there = ring, {ON_ETH0: TAPS[ON_ETH0]}
    before = len(world.looks)
    batch(world)
    assert len(world.looks) - before == READINGS_A_BATCH

    # also where it was told to end: then taps are not read at all before the end
    world.loop.stop()
    assert taps_of(batch(world)) == [] and len(world.looks) - before == READINGS_A_BATCH


def test_what_is_hooked_in_at_the_very_end_is_read_though_it_was_put_off(world):
    world.takes_s, world.there = 10, {ON_ETH0: TAPS[ON_ETH0]}
    world.came = [hook(ON_ETH0, True)]
    assert taps_of(batch(world)) == [(ON_ETH0, 3)]
    world.came = [hook(ON_ETH0, True)]
    assert taps_of(batch(world)) == []

    world.loop.stop()
    [last] = world.loop.batches()

    assert taps_of(last.events) == [(ON_ETH0, 3)]


def test_at_the_end_taps_are_read_once_whatever_was_put_off(world):
    world.takes_s = 10
    world.came = [hook(ON_ETH0, True)]
    batch(world)
    before = len(world.looks)
    world.came = [hook(ON_ETH0, True), EMPTY, hook(ON_ETH0, True), hook(ON_ETH0, True)]
    world.loop.stop()

    assert len(list(world.loop.batches())) == 1
    assert len(world.looks) == before + 1


# --- order ---------------------------------------------------------------------------------------------


def test_what_ended_before_an_event_is_of_the_same_batch_however_long_it_took_to_learn_of_it(world):
    # given that the second pass of a packet ends while taps are being read
    whole = sent()
    parts = [whole.take(np.array([place])) for place in (0, 1, 0)]
    world.there = {ON_ETH0: TAPS[ON_ETH0]}
    world.came = [both(parts[0], hook(ON_ETH0, True)), parts[1]]

    first = world.loop.batch()

    assert first.passes.records["ifindex"][[0, 2]].tolist() == whole.records["ifindex"].tolist()
    assert taps_of(first.events) == [(ON_ETH0, 3)]
    # and that nothing happened: then the ring is read once
    world.order.clear()
    world.came = [EMPTY, parts[2]]
    assert len(world.loop.batch().passes) == 0 and world.order == ["ring", "devices"]


def test_the_ring_is_read_after_all_that_happened_and_devices_are_followed_after_that(world):
    # given a tap that is hooked in, and a device that goes while that is read
    world.came, world.there = [hook(ON_ETH0, True)], {ON_ETH0: TAPS[ON_ETH0]}

    def at_read():
        if world.order.count("ring") == 2:
            world.changes = [Change("remove", Device(1, 77, "eth9", "ether"))]

    world.at_read = at_read
    batch(world)

    assert world.order == ["ring", "devices", "taps", "ring", "devices", "ring", "devices"]


# --- sockets --------------------------------------------------------------------------------------------


def sockets_of(events):
    """(inode, programs) of the sockets that events tell of."""
    told = [one["socket"] for one in events if one["kind"] == "socket"]
    return [(one["inode"], [process["comm"] for process in one["processes"]]) for one in told]


def test_sockets_are_told_of_with_the_passes_that_were_given_to_them_and_again_with_their_processes(world):
    # given two sockets of which the ring tells in two reads of one batch, as taps are read between them
    world.came, world.told = [hook(ON_ETH0, True), received()], [socket_record(7), socket_record(8, port=53)]
    world.there, world.held = {ON_ETH0: TAPS[ON_ETH0]}, {8: (Process(900, "dnsd", "dnsd"),)}

    events = batch(world)

    # then both are told of before who holds them is looked for, and only once in the batch
    assert sockets_of(events) == [(7, []), (8, []), (8, ["dnsd"])]
    assert world.asked_for == [{7, 8}]


def test_at_the_end_the_processes_of_the_last_sockets_are_looked_for(world):
    world.loop.stop()
    world.came, world.told, world.held = [received()], [socket_record(7)], {7: (Process(900, "dnsd", "dnsd"),)}

    [last] = world.loop.batches()

    assert sockets_of(last.events) == [(7, []), (7, ["dnsd"])] and kinds(last.events)[-1] == "end"


def test_where_sockets_are_not_asked_for_nobody_looks_for_any(monkeypatch):
    world = begun(monkeypatch, sockets=False)
    world.came, world.told = [received()], [socket_record(7)]

    assert sockets_of(batch(world)) == [] and len(world.told) == 1 and world.asked_for == []


# --- namespaces, the clock -----------------------------------------------------------------------------


def test_a_namespace_that_nothing_keeps_is_let_go(world):
    world.changes = [Change("add", bond(5, netns=2))]
    batch(world)
    assert world.traced == {(1, 5), (2, 5)}
    world.listed = [HERE]

    events = batch(world, after_s=6)

    assert world.let_go_of == [2] and world.traced == {(1, 5)} and world.namespaces == [HERE]
    assert kinds(events) == ["device-gone", "note"] and world.loop.state is State.RUNNING
    fact = "network namespace blue no longer has a name or a process: it is no longer traced"
    assert notes(events) == [f"{fact}; the others still are"]

    # when the last one goes
    world.listed = []
    events = batch(world, after_s=6)
    assert notes(events)[-1].endswith("it is no longer traced; nothing is left to trace")
    assert world.loop.state is State.STOPPING


def test_the_time_of_day_is_reported_when_it_moves(world):
    world.offset_ns += 3600 * 10**9

    events = batch(world)

    assert (
        [one[:33] for one in notes(events)] == [one[:33] for one in world.said] == ["the time of day moved by +3600.00"]
    )
    assert notes(batch(world)) == []


# --- states --------------------------------------------------------------------------------------------


def test_a_trace_runs_until_it_is_stopped_and_its_last_batch_ends_it(world):
    world.came = [received()]
    batches = world.loop.batches()
    assert len(next(batches).passes) == len(received()) and world.loop.state is State.RUNNING

    world.loop.stop()
    world.came = [received(), received(50), EMPTY]
    [last] = batches

    # then nothing is traced any more, and all that was in the ring is there
    assert world.loop.state is State.ENDING and world.traced == set()
    assert len(last.passes) == 2 * len(received())
    assert kinds(last.events)[-1] == "end" and "losses" in [one["kind"] for one in last.events]
    world.loop.stop()
    assert world.loop.state is State.ENDING


def test_once_it_ends_nothing_is_traced_any_more_whatever_happens(world):
    world.loop.stop()
    world.changes = [Change("add", bond(9))]

    [last] = world.loop.batches()

    assert "device" in kinds(last.events) and world.traced == set()


def test_losses_are_reported_once_a_second(world):
    counted = [[one["kind"] for one in batch(world, after_s)].count("losses") for after_s in (0.5, 0.6, 0.5, 0.6)]

    assert counted == [0, 1, 0, 1]
