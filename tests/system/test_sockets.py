# SPDX-License-Identifier: GPL-2.0-or-later
"""Where packets end beyond IP: every marked packet's end against what the kernel's rules demand (demanded_ends.py), and
what is said of sockets against what their processes read, against the sockets' own counters of drops (SO_MEMINFO, which
`ss -m` shows) and against the kernel's (/proc/net/snmp and netstat, which nstat shows). Above all a packet that a
process read is never told to have been refused, nor one that it did not get to have been given to it.
"""

import json
import os
import re
from collections import Counter

import pytest
from demanded_ends import demanded
from stacks import Stack, plays

from bondtrace.analysis import socket_names

pytestmark = pytest.mark.lab

# `make test` plays these on this Debian's own kernel, `make test-stacks` on the oldest, the current and the newest.
EVERY = os.environ.get("BONDTRACE_KERNELS", "")
ALL = ["ends", "daemons", "daemons6"]
SCENARIOS = [name for name in os.environ.get("BONDTRACE_SCENARIOS", ",".join(ALL)).split(",") if name in ALL]
KERNELS = EVERY.split(",") if EVERY else [None]
REFUSED = "full", "filtered", "checksum", "policy", "refused"
TAKEN = "queued", "taken", "backlog"
UDP, IPV4 = 17, "."


class Played:
    """A scenario that was played on a kernel, and what its processes and the kernel say."""

    def __init__(self, name, run):
        self.name, self.run = name, run
        self.stack = Stack(run.out)
        self.kernel, self.scene = self.stack.kernel, self.stack.scene
        marks = self.stack.matched().marks(self.stack)
        self.received = {}
        for mark, journeys in marks.items():
            there = [one for one in journeys if one.direction == "rx"]
            if there:
                self.received.setdefault(mark[:3], {}).update((one.id, one) for one in there)
        told = run.out / "servers.json"
        self.told = json.loads(told.read_text()) if told.exists() else {"servers": [], "counters": {}}
        self.names = {inode: one["name"] for one in self.told["servers"] for inode in one["inodes"]}
        self.gives_reasons = any(step.reason for step in self.steps("drop"))

    def steps(self, *kinds):
        """The steps of these kinds of packets that were received."""
        received = [one for one in self.stack.journeys if one.direction == "rx"]
        return [step for one in received for two in one.passes for step in two.steps if step.kind in kinds]

    def name_of(self, inode, time_ns):
        """What the demands call a socket."""
        if inode in self.names:
            return self.names[inode]
        socket = self.scene.sockets.at(inode, time_ns) if inode else None
        if socket is None or not socket.processes:
            return "nobody"
        return min(socket.processes, key=lambda one: one.pid).comm

    def given(self, journey):
        """[(socket's name, outcome)] of a journey."""
        steps = [step for one in journey.passes for step in one.steps if step.kind == "socket"]
        return [(self.name_of(step.socket, journey.time_ns), step.outcome) for step in steps]

    def outcomes(self, name):
        """Counter of what became of packets that a server's socket was given, without those of its connections."""
        inode = next(one["inodes"][0] for one in self.told["servers"] if one["name"] == name)
        return Counter(step.outcome for step in self.steps("socket") if step.socket == inode)

    def refused(self, protocol, address):
        """Counter of the reasons of sockets of a protocol over IPv4 (".") or IPv6 (":") for refusing packets."""
        found = Counter()
        for step in self.steps("socket"):
            socket = self.scene.sockets.at(step.socket, 0) if step.socket else None
            is_it = socket and socket.protocol == protocol and (socket.family == 2) == (address == IPV4)
            found[step.outcome] += bool(is_it and socket.type != 3 and step.outcome in REFUSED)
        return found


played = plays(Played, KERNELS, SCENARIOS)


@pytest.fixture
def ends(played):
    return played if played.name == "ends" else pytest.skip("of the scenario ends")


@pytest.fixture
def daemons(played):
    return played if played.name == "daemons" else pytest.skip("of the scenario daemons")


@pytest.fixture
def daemons6(played):
    return played if played.name == "daemons6" else pytest.skip("of the scenario daemons6")


def faults(played, demand, journey):
    """["..."]: in what the ends of a journey differ from what is demanded."""
    found = []
    kinds = {end.kind for end in journey.ends}
    if "*" not in demand.kinds and not (kinds and kinds <= set(demand.kinds)):
        found.append(f"ends {[(end.kind, end.detail) for end in journey.ends]}, not {demand.kinds}")
    left, missing = played.given(journey), []
    for one in demand.sockets:
        there = next((given for given in left if is_like(given, one, played.gives_reasons)), None)
        missing += [] if there else [one]
        if there:
            left.remove(there)
    for given in list(left):
        if any(is_like(given, one, played.gives_reasons) for one in demand.maybe):
            left.remove(given)
    if missing or left:
        found.append(f"given to {played.given(journey)}, not {demand.sockets}")
    drops = [step.reason for one in journey.passes for step in one.steps if step.kind == "drop"]
    if played.kernel.startswith("6.1.") and demand.reason not in ("", "*") and demand.reason not in drops:
        found.append(f"dropped for {drops}, not {demand.reason}")
    words = [f"{end.detail}; {end.look_at}" for end in journey.ends]
    if played.gives_reasons and not any(demand.look in one for one in words):
        found.append(f"says {words}, without {demand.look!r}")
    return found


def is_like(given, wanted, gives_reasons):
    """Was a packet given to this socket, with this outcome? Without the kernel's reasons a refusal is only that."""
    (name, outcome), (right, outcomes) = given, wanted
    vague = not gives_reasons and outcome == "refused" and any(one in REFUSED for one in outcomes)
    return name == right and (outcome in outcomes or vague)


def test_nothing_was_lost(played):
    assert played.scene.losses() == {}
    assert played.scene.missing_stages() == []


def test_every_packet_ends_where_the_kernel_lets_it(played):
    demands, wrong = demanded(played.name, played.kernel), []
    for mark, lines in demands.items():
        journeys, met = played.received.get(mark, {}).values(), set()
        for journey in journeys:
            found = [faults(played, demand, journey) for demand in lines]
            best = min(range(len(lines)), key=lambda place: len(found[place]))
            met.add(best)
            wrong += [f"packet-{mark} #{journey.id}: {fault}" for fault in found[best]]
        wrong += [
            f"packet-{mark}: not seen: {lines[place]}"
            for place in range(len(lines))
            if place not in met and not lines[place].is_possible
        ]
    assert sorted(set(played.received) - set(demands)) == []
    assert wrong == [], "\n".join(wrong)


def test_no_end_is_unknown(played):
    only_taps = {journey.id for journey in played.received.get("505", {}).values()}
    watched = [one for one in played.stack.journeys if one.direction == "rx" and one.id not in only_taps]
    unknown = [
        (one.id, one.packet.protocol, end.detail) for one in watched for end in one.ends if end.kind == "unknown"
    ]
    assert watched and unknown == []


# --- the servers' own words ----------------------------------------------------------------------------

# What was queued and is not in the log: a wrong checksum is found when it is read. What a first fragment holds is read
# with the last, in whose journey the whole datagram was given to the socket.
NOT_READ, WITH_THE_LAST = {("unchecked", "407")}, {("fragments", "486")}


def test_what_a_server_read_was_given_to_it_and_the_other_way_round(ends):
    said = {
        (name, mark)
        for mark, journeys in ends.received.items()
        for journey in journeys.values()
        for name, outcome in ends.given(journey)
        if outcome in TAKEN and name != "nobody"
    }
    read = {(one["name"], mark) for one in ends.told["servers"] for mark in one["marks"]}
    read |= {("python3", mark) for mark in (ends.run.out / "xsk.log").read_text().split()}  # the AF_XDP socket's
    syn_only, pings = {("listening", "432")}, {(name, "421") for name, mark in said if mark == "421"}
    assert len(read) > 15
    assert {
        "said, not read": said - read - NOT_READ - syn_only - pings,
        "read, not said": read - said - WITH_THE_LAST,
    } == {"said, not read": set(), "read, not said": set()}


def test_a_sockets_drops_are_what_it_refused(ends):
    # one more where the process finds a wrong checksum as it reads; TCP does not count the RST that ends what was no
    # connection yet; a raw socket without room is passed over on some kernels, and nothing is given to it
    passed_over = {"raw-full"} if not ends.outcomes("raw-full")["full"] and ends.gives_reasons else set()
    beyond = {"unchecked": 1, "listening": -1}
    wrong, compared = [], 0
    for one in ends.told["servers"]:
        name, outcomes = one["name"], ends.outcomes(one["name"])
        if name in passed_over:
            continue
        refused = sum(outcomes[outcome] for outcome in REFUSED) + beyond.get(name, 0)
        compared += bool(one["drops"])
        if refused != one["drops"]:
            wrong.append((name, dict(outcomes), one["drops"]))
    assert compared >= 8
    assert wrong == []


def test_the_kernels_counters_agree(ends):
    counters = ends.told["counters"]
    udp, udp6 = ends.refused(UDP, IPV4), ends.refused(UDP, ":")
    drops = ends.steps("drop")
    without_socket = [one for one in drops if one.function in ("__udp4_lib_rcv", "udp_rcv")]  # in 7.3 the latter
    said = {
        "UdpInErrors": udp.total() + summed(without_socket, "UDP_CSUM", ends) + 1,  # which is found when it is read
        "Udp6InErrors": udp6.total(),
        "TcpExtListenOverflows": ends.outcomes("overrun")["full"],
    }
    if ends.gives_reasons:
        said["UdpRcvbufErrors"], said["Udp6RcvbufErrors"] = udp["full"], udp6["full"]
        said["UdpInCsumErrors"] = udp["checksum"] + summed(without_socket, "UDP_CSUM", ends) + 1
        said["UdpNoPorts"] = summed(without_socket, "NO_SOCKET", ends)
        said["TcpExtIPReversePathFilter"] = summed(drops, "IP_RPFILTER", ends)
        said["IpExtInCsumErrors"] = summed(drops, "IP_CSUM", ends)
    assert said == {name: counters[name] for name in said}


def summed(drops, reason, played):
    """How many drops have this reason; where the kernel gives none, as many as the scenario makes."""
    return sum(one.reason == reason for one in drops) if played.gives_reasons else 1


# --- the daemons' own words ----------------------------------------------------------------------------


def test_the_daemons_log_what_they_were_given(daemons):
    out = daemons.run.out
    answers = (out / "answers").read_text().split()
    logs = {
        "501": ("dnsmasq.log", r"query\[A\] packet-501\.test from 10\.9\.0\.1"),
        "502": ("dnsmasq.log", "client provides name: packet-502"),
        "504": ("keepalived.log", "vrrp packet too short"),
        "505": ("neighbours.log", "packet-505"),
        "506": ("neighbours.log", "packet-506"),
        "507": ("dnsmasq.log", r"query\[A\] packet-507\.test from 10\.9\.0\.1"),
        "510": ("dhclient.log", "bound to 10.20.0.1"),
    }
    assert answers == ["501", "502", "503", "508", "507"]
    assert [mark for mark, (file, words) in logs.items() if not re.search(words, (out / file).read_text())] == []


def test_a_daemon_with_a_packet_socket_is_a_tap(daemons):
    # lldpd and dhclient read packet sockets: what they got is told as of taps
    captured = {}
    for mark, journeys in daemons.received.items():
        for step in (step for one in journeys.values() for two in one.passes for step in two.steps):
            if step.kind == "tap" and step.outcome == "captured":
                tap = daemons.scene.taps[step.tap].last_known()
                captured.setdefault(mark, set()).update(one.comm for one in tap.processes)
    assert {"lldpd"} <= captured["505"] and {"lldpd"} <= captured["506"]
    assert {"dhclient"} <= captured["510"]


def test_sockets_have_their_processes_and_addresses(daemons):
    labels = {
        socket_names.label(daemons.scene.sockets.at(inode, 1 << 62), daemons.scene, 1 << 62)
        for inode in daemons.scene.sockets
    }
    assert {"dnsmasq's UDP socket 10.9.0.2:53", "chronyd's UDP socket 10.9.0.2:123"} <= labels
    assert {"chronyd's UDP socket 10.40.0.2%red:123"} <= labels
    assert {"dhclient's UDP socket *:68", "dnsmasq's UDP socket *%bond0:67"} <= labels
    assert any(re.fullmatch(r"keepalived's raw VRRP socket \S+", label) for label in labels)


def test_the_daemons_log_what_they_were_given_over_ipv6(daemons6):
    out = daemons6.run.out
    logs = {
        "521": ("dnsmasq.log", r"query\[AAAA\] packet-521\.test from fd09::1"),
        "522": ("dnsmasq.log", r"DHCPSOLICIT\(bond0\)"),
        "525": ("dnsmasq.log", r"RTR-SOLICIT\(bond0\)"),
        "527": ("dnsmasq.log", r"query\[AAAA\] packet-527\.test from fd09::1"),
        "530": ("networkd.log", r"DHCPv4 address 10\.20\.0\.1\d\d/24, gateway 10\.20\.0\.1 acquired"),
    }
    assert (out / "answers").read_text().split() == ["521", "522", "523", "528", "527"]
    assert [mark for mark, (file, words) in logs.items() if not re.search(words, (out / file).read_text())] == []


def test_a_dhcp_client_does_not_hide_what_ip_made_of_its_packet(daemons6):
    # given networkd, whose packet socket for IP alone is closed as soon as it has an address: it may be too short-lived
    # to be read, and is then known by its inode
    for journey in daemons6.received["530"].values():
        steps = [step for one in journey.passes for step in one.steps if step.dev == "bond0.20"]
        takes = [step for step in steps if step.kind == "tap" and step.outcome == "captured"]
        assert [step.function for step in takes] == ["packet_rcv"]
        tap = daemons6.scene.tap(takes[0].tap, journey.time_ns)
        assert tap is None or {one.comm for one in tap.processes} <= {"systemd-network"}
        assert [(step.kind, step.clone) for step in steps if step.kind == "drop"] == [("drop", False)]


def test_sockets_over_ipv6_have_their_processes_and_addresses(daemons6):
    labels = {
        socket_names.label(daemons6.scene.sockets.at(inode, 1 << 62), daemons6.scene, 1 << 62)
        for inode in daemons6.scene.sockets
    }
    assert {"dnsmasq's UDP socket [fd09::2]:53", "chronyd's UDP socket [fd40::2]%red:123"} <= labels
