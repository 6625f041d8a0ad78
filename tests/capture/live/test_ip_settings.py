# SPDX-License-Identifier: GPL-2.0-or-later
"""When addresses, settings and ways back are read, and what is told of them."""

import numpy as np
import pytest

from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.live.ip_settings import EVERY_NS, SHARE, WAYS_AT_ONCE, IpSettingsFollower
from bondtrace.format.wire import EMPTY, concatenate
from bondtrace.model import IpSettings
from build import DEVICES, HERE, THERE, drop, rx

NAMESPACES = [Namespace(HERE, "", "/proc/self/ns/net", 1), Namespace(THERE, "blue", "/run/netns/blue")]
RP_FILTER = 5
REASONS = {2: "NOT_SPECIFIED", RP_FILTER: "IP_RPFILTER"}


class Host:
    """A host whose reading takes a while."""

    def __init__(self):
        self.time_ns, self.takes_ns, self.asking_ns, self.asked = 1_000_000_000, 0, 0, []
        self.values = {}

    def now(self):
        return self.time_ns

    def read(self, namespace, names):
        self.time_ns += self.takes_ns
        if namespace.inode == THERE:
            raise FileNotFoundError
        return [IpSettings(namespace.inode, one, (), self.values.get(one, ())) for one in names]

    def ways(self, namespace, address):
        self.time_ns += self.asking_ns
        self.asked.append((namespace.inode, address))
        return [6]

    def follower(self, is_asked=True, reasons=REASONS):
        return IpSettingsFollower(is_asked, reasons, self.read, self.ways, self.now)


@pytest.fixture
def host():
    return Host()


def told(events):
    return [(one["ip_settings"]["ifindex"], one["ip_settings"]["settings"]) for one in events]


def test_only_what_is_new_is_told(host):
    follower = host.follower()
    devices = [DEVICES["eth0"], DEVICES["bond0"], DEVICES["peer0"]]
    # given a first reading, of which a namespace is gone
    assert told(follower.follow(devices, NAMESPACES)) == [(2, []), (4, [])]
    # when one has changed
    host.values[4] = (("rp_filter", 1, 0),)
    # then it alone is told
    assert told(follower.follow(devices, NAMESPACES)) == [(4, [["rp_filter", 1, 0]])]
    assert follower.follow(devices, NAMESPACES) == []


@pytest.mark.parametrize("takes_ns", [0, EVERY_NS])
def test_a_reading_rests_after_it(host, takes_ns):
    follower = host.follower()
    assert follower.is_due(host.time_ns)
    host.takes_ns = takes_ns
    follower.follow([DEVICES["eth0"]], NAMESPACES)
    rest_ns = max(EVERY_NS, SHARE * takes_ns)
    assert not follower.is_due(host.time_ns + rest_ns - 1)
    assert follower.is_due(host.time_ns + rest_ns)


def refused(count=1, reason="NOT_SPECIFIED"):
    """Passes of packets that rp_filter refused."""
    passes = concatenate([rx("bond0", drop(reason), at=1000 * nth) for nth in range(count)])
    passes.steps["arg"][:] = RP_FILTER if reason == "NOT_SPECIFIED" else 2
    return passes


def test_the_way_back_to_a_refused_source_is_asked_for_once_in_a_while(host):
    follower = host.follower()
    [event] = follower.ask_ways(refused(), NAMESPACES)
    assert (event["kind"], event["netns"], event["address"], event["devices"]) == ("route", HERE, "10.9.0.1", [6])
    assert follower.ask_ways(refused(), NAMESPACES) == []
    host.time_ns += EVERY_NS
    assert len(follower.ask_ways(refused(), NAMESPACES)) == 1
    assert host.asked == [(HERE, "10.9.0.1")] * 2


def test_other_drops_are_no_reason_to_ask(host):
    assert host.follower().ask_ways(refused(reason="NO_SOCKET"), NAMESPACES) == []
    assert host.follower().ask_ways(EMPTY, NAMESPACES) == []
    assert host.follower(reasons={}).ask_ways(refused(), NAMESPACES) == []
    assert host.follower(is_asked=False).ask_ways(refused(), NAMESPACES) == []
    assert not host.follower(is_asked=False).is_due(host.time_ns)
    assert host.asked == []


def test_a_flood_of_sources_asks_for_a_few(host):
    passes = refused(100)
    passes.records["packet"][:, 29] = np.arange(100)  # the last byte of the source's address
    assert len(host.follower().ask_ways(passes, NAMESPACES)) == WAYS_AT_ONCE


def test_asking_takes_a_part_of_the_time_however_many_sources_there_are(host):
    follower, host.asking_ns = host.follower(), 1000
    # given a flood, of which some were asked for
    passes = refused(100)
    passes.records["packet"][:, 29] = np.arange(100)
    follower.ask_ways(passes, NAMESPACES)
    # when more come at once, and after a rest
    passes.records["packet"][:, 29] = np.arange(100, 200)
    assert follower.ask_ways(passes, NAMESPACES) == []
    host.time_ns += SHARE * 1000 * WAYS_AT_ONCE
    # then those that came meanwhile are asked for, though no packet comes any more
    assert len(follower.ask_ways(EMPTY, NAMESPACES)) == WAYS_AT_ONCE
    assert follower.ask_ways(EMPTY, NAMESPACES) == []


def test_that_nothing_was_refused_is_no_reason_to_rest(host):
    # given a process that is stopped for a while in a call without a refused packet
    follower = host.follower()
    now = iter([1000, 1_000_001_000])
    follower._now = lambda: next(now, host.time_ns)
    assert follower.ask_ways(refused(reason="NO_SOCKET"), NAMESPACES) == []
    assert len(follower.ask_ways(refused(), NAMESPACES)) == 1
