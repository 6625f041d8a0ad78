# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios with rules of their own, on every kernel: the way of each class of packets, step by step, against what
the kernel's rules demand (docs/receive-path.md), written out here by hand; and what each tap captured against the
tap's own file.

A way is written as one reads it: passes in lines, steps between bars, each with its round, skb->dev<orig_dev and what
happened. What a protocol does with a packet that it was given (IP drops a reply that only a raw socket wanted) is no
business of the receive path and left out.
"""

import os
from collections import Counter, defaultdict

import numpy as np
import pytest
from demanded import devices_of
from truth import captured_by, disagreement, in_file, traced_time, untagged

from bondtrace.analysis import eras
from bondtrace.format.recording import Recording
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

ALL = "any,failover,lldp,vlan,bridge,macvlan,netns,rps,joins,team,ovs,modes,lacp,flood,flood_nat"
SCENARIOS = [name for name in os.environ.get("BONDTRACE_SCENARIOS", ALL).split(",") if name in ALL.split(",")]
# Beside this Debian's own kernel `make test` plays those in which kernels could differ; `make test-kernels` plays all.
FEWER = ["lldp", "vlan"]
FLOODS = {"flood", "flood_nat"}
ON_TWO_CPUS = {"rps", *FLOODS}
EVERY = os.environ.get("BONDTRACE_KERNELS", "")
KERNELS = (
    dict.fromkeys(EVERY.split(","), SCENARIOS)
    if EVERY
    else {None: SCENARIOS, "5.10": FEWER, "6.12": FEWER, "7.3": FEWER}
)
USERLAND = {} if EVERY else {"6.12": "trixie"}  # Debian 13's kernel with its own bcc, compiler, Python and iproute2
COMMAND = 'exec bondtrace record $LAB_TRACE -o "$LAB_OUT/trace.arrows"'


class Played:
    """A scenario's recording, its journeys by class, and its taps by the name of their file."""

    def __init__(self, run):
        self.out = run.out
        self.recording = run.out / "trace.arrows"
        self.journeys = []
        pipeline = Pipeline(show=self.journeys.append)
        pipeline.run(Recording(self.recording).batches())
        self.scene, self.summary = pipeline.scene, pipeline.summary
        self.taps = {
            name: tap
            for tap in (history.last_known() for history in self.scene.taps.values())
            for name in [file_of(tap)]
            if name
        }
        self.names = {tap.inode: name for name, tap in self.taps.items()}

    def ways(self, select=lambda journey: True):
        """{class: {way: how many}}."""
        found = defaultdict(Counter)
        for journey in self.journeys:
            if select(journey):
                found[kind_of(journey)][self.way(journey)] += 1
        return {kind: dict(counts) for kind, counts in found.items()}

    def way(self, journey):
        return "\n".join(f"{one.direction}: " + " | ".join(self.steps(one)) for one in journey.passes)

    def steps(self, one):
        told, delivered = [one.steps[0].dev], set()
        for step in one.steps[1:]:
            if step.kind == "drop" and (step.round in delivered):
                continue
            if step.kind in ("protocol", "tap"):
                delivered |= {step.round} if step.kind == "protocol" else set()
            origin = "" if step.dev == step.orig_dev else f"<{step.orig_dev}"
            what = {
                "tap": f"tap {self.names.get(step.tap, step.tap)} {step.outcome}",
                "protocol": "protocol",
                "drop": "drop",
            }.get(step.kind, f"{step.function} {step.verdict} {step.next_dev or ''}".strip())
            told.append(f"{step.round} {step.dev}{origin} {what}")
        return told


def file_of(tap):
    """The stem of the file that a scenario's tap writes."""
    words = tap.processes[0].cmdline.split() if tap.processes else []
    if "-w" in words:
        return words[words.index("-w") + 1].rpartition("/")[2].removesuffix(".pcap")
    if any(word.endswith("sockets.py") for word in words):
        return f"lldp-{tap.dev or 'any'}"
    return None


def kind_of(journey):
    """ "rx ARP who-has eth0": direction, protocol, what it is, the first device, and the tag."""
    packet = journey.packet
    info = {"ARP": "who-has" if "who-has" in packet.info else "is-at", "ICMP": " ".join(packet.info.split()[:2])}
    words = [
        journey.direction,
        packet.protocol,
        info.get(packet.protocol, ""),
        journey.passes[0].steps[0].dev,
        *(f"vlan {tag}" for tag in packet.vlan),
    ]
    return " ".join(word for word in words if word)


@pytest.fixture(
    scope="session",
    params=[(kernel, name) for kernel, names in KERNELS.items() for name in names],
    ids=lambda case: f"{case[0] or 'default'}-{case[1]}",
)
def played(request, play_all):
    kernel, name = request.param
    beside = tuple(one for one in KERNELS[kernel] if (one in ON_TWO_CPUS) == (name in ON_TWO_CPUS))
    return name, Played(
        play_all(kernel, beside, COMMAND, cpus=1 + (name in ON_TWO_CPUS), userland=USERLAND.get(kernel))[name]
    )


def test_the_packets_go_the_ways_that_the_kernel_demands(played, matrix):
    name, run = played
    assert run.scene.losses() == {} or name in FLOODS
    assert run.scene.missing_stages() == []
    EXPECTED[name](run)
    matrix(run.scene.start["kernel"], name, run.summary.journeys)


def test_the_taps_files_agree(played):
    name, run = played
    if name in FLOODS:
        pytest.skip("its taps are compared by number, in the test of its ways")
    begin_ns, end_ns = traced_time(run.recording)
    compared = 0
    for stem, tap in run.taps.items():
        if tap.kind == "cooked":  # no link-layer header to compare
            continue
        said = [untagged(*packet) for packet in captured_by(run.recording, tap.inode)]
        truth = [untagged(*packet) for packet in in_file(run.out / f"{stem}.pcap", begin_ns, end_ns)]
        assert disagreement(said, truth) == ([], []), stem
        compared += len(truth)
    assert compared > 0


def test_the_model_of_this_kernels_era_gives_what_was_recorded(played):
    name, run = played
    if name in FLOODS:
        pytest.skip("the same packet many times")
    era = eras.era_of(run.scene.start["kernel"])
    told = [(journey.id, one) for journey in run.journeys for one in eras.answers(journey, run.scene, era)]
    assert len(told) >= 6
    assert [(number, one) for number, one in told if one.modelled != one.recorded] == []


# --- what the kernel demands ---------------------------------------------------------------------------


def up(slave="eth0", bond="bond0", handler="bond_handle_frame", end="protocol", taps=("",)):
    """Received on the active slave, handed to the bond, delivered there."""
    first = "".join(f" | 1 {slave} tap {tap or slave} captured" for tap in taps)
    second = "".join(f" | 2 {bond}<{slave} tap {tap or bond} captured" for tap in taps)
    last = f" | 2 {bond}<{slave} {end}" if end else ""
    return f"rx: {slave}{first} | 1 {slave} {handler} ANOTHER {bond}{second}{last}"


def refused(slave="eth1", handler="bond_handle_frame", taps=("",)):
    """A broadcast on a slave that is not active."""
    seen = "".join(f" | 1 {slave} tap {tap or slave} captured" for tap in taps)
    return f"rx: {slave}{seen} | 1 {slave} {handler} EXACT | 1 {slave} drop"


def down(*devices, taps=("",)):
    """Sent on each of these devices."""
    return "\n".join(f"tx: {dev}" + "".join(f" | 1 {dev} tap {tap or dev} captured" for tap in taps) for dev in devices)


def pings(bond="bond0", handler="bond_handle_frame", taps=("",)):
    """A ping each way, each beginning with ARP; the gateway's bridge floods both ARP requests to the backup slave."""
    received, sent = up(bond=bond, handler=handler, taps=taps), down(bond, "eth0", taps=taps)
    return {
        f"tx ARP who-has {bond}": {sent: 1},
        "rx ARP is-at eth0": {received: 1},
        f"tx ICMP echo request {bond}": {sent: 1},
        "rx ICMP echo reply eth0": {received: 1},
        "rx ARP who-has eth0": {received: 1},
        "rx ARP who-has eth1": {refused(handler=handler, taps=taps): 2},
        f"tx ARP is-at {bond}": {sent: 1},
        "rx ICMP echo request eth0": {received: 1},
        f"tx ICMP echo reply {bond}": {sent: 1},
    }


def expect_any(run):
    assert run.ways() == pings(taps=("any", ""))
    inode = run.taps["any"].inode
    bonded = sum(1 for journey in run.journeys if journey.passes[0].steps[0].dev != "eth1")
    assert run.summary.twice[inode] == bonded == 8


def expect_rps(run):
    assert run.ways() == pings()
    # given that both slaves hand what they receive to the second CPU
    assert {one.cpu for journey in run.journeys for one in journey.passes if one.direction == "rx"} == {1}


def expect_team(run):
    assert run.ways() == pings("team0", "team_handle_frame")


def expect_ovs(run):
    assert run.ways() == {
        "rx ICMP echo request eth0": {
            up(end="netdev_frame_hook CONSUMED") + "\nrx: ovs0 | 1 ovs0 tap ovs0 captured | 1 ovs0 protocol": 1
        },
        "tx ICMP echo reply ovs0": {down("ovs0", "bond0", "eth0"): 1},
    }


def replies(run):
    """[(slave, way)] of the echo replies received, in order."""
    return [
        (journey.passes[0].steps[0].dev, run.way(journey))
        for journey in run.journeys
        if journey.direction == "rx" and journey.packet.info.startswith("echo reply")
    ]


def expect_failover(run):
    # then whoever was active at the time of a reply handed it on
    assert replies(run) == [(slave, up(slave)) for slave in ["eth0"] * 3 + ["eth1"] * 6 + ["eth0"] * 3]


def expect_joins(run):
    # given that neither bond nor module were there when the tracer started
    assert "bond_handle_frame" not in run.scene.start["handlers"]
    assert replies(run) == [("eth0", up())] * 3


def expect_lldp(run):
    # given two frames on each slave; LLDP sockets are served last, where the packet ends
    active = (
        up(end="") + " | 2 bond0<eth0 tap lldp-any captured | 2 bond0<eth0 tap lldp-eth0 captured"
        " | 2 bond0<eth0 tap lldp-bond0 captured"
    )
    backup = (
        "rx: eth1 | 1 eth1 tap eth1 captured | 1 eth1 bond_handle_frame PASS | 1 eth1 tap lldp-any captured"
        " | 1 eth1 tap lldp-eth1 captured"
    )
    assert run.ways() == {"rx LLDP eth0": {active: 2}, "rx LLDP eth1": {backup: 2}}


def tagged_up(last):
    """Through the bond to its VLAN device; no VLAN device of the slave's has the tag."""
    return (
        "rx: eth0 | 1 eth0 tap eth0 captured | 1 eth0 vlan_do_receive PASS | 1 eth0 bond_handle_frame ANOTHER bond0"
        f" | 2 bond0<eth0 tap bond0 captured | 2 bond0<eth0 vlan_do_receive {last}"
    )


def expect_vlan(run):
    on_bond = tagged_up("ANOTHER bond0.100 | 3 bond0.100<eth0 tap bond0.100 captured")
    on_slave = (
        "rx: eth0 | 1 eth0 tap eth0 captured | 1 eth0 vlan_do_receive ANOTHER eth0.200"
        " | 2 eth0.200<eth0 tap eth0.200 captured | 2 eth0.200<eth0 protocol"
    )
    nobody = tagged_up("PASS | 2 bond0<eth0 drop")
    backup = "rx: eth1 | 1 eth1 vlan_do_receive PASS | 1 eth1 bond_handle_frame EXACT | 1 eth1 drop"
    sent = {100: down("bond0.100", "bond0", "eth0"), 200: down("eth0.200", "eth0")}
    ways = run.ways()
    for kind, device in (("ARP is-at", "vlan 100"), ("ICMP echo reply", "vlan 100")):
        assert ways.pop(f"rx {kind} eth0 {device}") == {f"{on_bond} | 3 bond0.100<eth0 protocol": 1}
    for kind in ("ARP is-at", "ICMP echo reply"):
        assert ways.pop(f"rx {kind} eth0 vlan 200") == {on_slave: 1}
    for kind in ("ARP who-has", "ICMP echo request"):
        assert ways.pop(f"tx {kind} bond0.100") == {sent[100]: 1}
        assert ways.pop(f"tx {kind} eth0.200") == {sent[200]: 1}
    assert ways == {
        "rx ARP who-has eth1 vlan 100": {backup: 1},
        "rx ARP who-has eth1 vlan 200": {backup: 1},
        # the tag in the frame's bytes, a priority tag, and a tag of no device
        # (the last tap is given the packet itself: nobody is left to drop it)
        "rx 0x88b5 eth0 vlan 100": {on_bond: 1},
        "rx 0x88b5 eth0 vlan 0": {nobody: 1},
        "rx 0x88b5 eth0 vlan 300": {nobody: 1},
    }


def to_bridge(*further):
    """Through the bond into the bridge on it, and what follows."""
    into = up(end="br_handle_frame CONSUMED")
    return "\n".join([into, *further])


LOCAL = "rx: br1 | 1 br1 tap br1 captured | 1 br1 protocol"
OUT = "tx: veth0 | 1 veth0 tap veth0 captured"
GUEST = "rx: eth9 | 1 eth9 tap eth9 captured"
FROM_GUEST = (
    "tx: eth9 | 1 eth9 tap eth9 captured\n"
    "rx: veth0 | 1 veth0 tap veth0 captured | 1 veth0 br_handle_frame CONSUMED\n" + down("bond0", "eth0")
)


def expect_bridge(run):
    # given taps that make the bridge promiscuous: it hands itself a copy of everything
    flooded = to_bridge(OUT, LOCAL, f"{GUEST} | 1 eth9 protocol")
    ignored = "rx: eth1 | 1 eth1 bond_handle_frame EXACT | 1 eth1 drop"
    sent = down("br1", "bond0", "eth0")
    assert run.ways() == {
        "rx ARP who-has eth0": {flooded: 2},
        "rx ARP who-has eth1": {ignored: 2},
        "tx ARP is-at br1": {sent: 1},
        "rx ICMP echo request eth0": {to_bridge(LOCAL): 1, flooded: 1},
        "tx ICMP echo reply br1": {sent: 1},
        "tx ARP is-at eth9": {f"{FROM_GUEST}\n{LOCAL}": 1},
        "tx ICMP echo reply eth9": {f"{FROM_GUEST}\n{LOCAL}": 1},
        # spanning tree is off: its frames are forwarded; nobody here takes them
        "rx STP eth0": {to_bridge(OUT, "rx: br1 | 1 br1 tap br1 captured | 1 br1 drop", f"{GUEST} | 1 eth9 drop"): 1},
    }


def expect_macvlan(run):
    direct = (
        "rx: eth0 | 1 eth0 tap eth0 captured | 1 eth0 bond_handle_frame ANOTHER bond0"
        " | 2 bond0<eth0 tap bond0 captured | 2 bond0<eth0 macvlan_handle_frame ANOTHER mv0"
        " | 3 mv0<eth0 tap mv0 captured | 3 mv0<eth0 protocol"
    )
    lower = up(end="macvlan_handle_frame PASS")
    ways = run.ways()
    assert ways["rx ICMP echo request eth0"] == {direct: 1}
    assert ways["tx ICMP echo reply mv0"] == {down("mv0", "bond0", "eth0"): 1}
    # and copies of a broadcast, made by a worker, are part of its journey, in whatever order
    [broadcast] = ways["rx 0x88b5 eth0"]
    assert sorted(broadcast.splitlines()) == sorted(
        [f"{lower} | 2 bond0<eth0 drop", "rx: mv0 | 1 mv0 tap mv0 captured", "rx: mv1 | 1 mv1 tap mv1 captured"]
    )
    [question] = ways["rx ARP who-has eth0"]
    assert sorted(question.splitlines()) == sorted(
        [
            f"{lower} | 2 bond0<eth0 protocol",
            "rx: mv0 | 1 mv0 tap mv0 captured | 1 mv0 protocol",
            "rx: mv1 | 1 mv1 tap mv1 captured | 1 mv1 protocol",
        ]
    )


def expect_netns(run):
    there = f"{up()}\ntx: veth0 | 1 veth0 tap veth0 captured\n{GUEST} | 1 eth9 protocol"
    back = "tx: eth9 | 1 eth9 tap eth9 captured\nrx: veth0 | 1 veth0 tap veth0 captured | 1 veth0 protocol\n" + down(
        "bond0", "eth0"
    )
    ways = run.ways()
    # given that the first request waits until the guest has answered ARP, then it is one journey all the same
    assert ways["rx ICMP echo request eth0"] == {there: 3}
    assert ways["tx ICMP echo reply eth9"] == {back: 3}
    # and eth9 has bond0's ifindex, in its own namespace
    [guest] = {tap.netns for name, tap in run.taps.items() if name == "eth9"}
    assert {(run.taps["bond0"].ifindex, "bond0"), (run.taps["eth9"].ifindex, "eth9")} == {
        (run.taps["bond0"].ifindex, name) for name in ("bond0", "eth9")
    }
    assert guest != run.taps["bond0"].netns


def expect_modes(run):
    for bond in ("rr", "xor", "cast", "tlb", "alb"):
        slaves = {f"{bond}0", f"{bond}1"}
        ways = run.ways(
            lambda journey, slaves=slaves: (
                journey.direction == "rx" and not set(slaves).isdisjoint({journey.passes[0].steps[0].dev})
            )
        )
        # then what is for the host is handed to the bond by whichever slave received it
        unicast = [way for kind, found in ways.items() if "echo" in kind for way in found]
        assert unicast and set(unicast) <= {up(slave, bond) for slave in slaves}, bond
        # and broadcasts too, where every slave receives; in tlb and alb only on the current one
        asked = {way for kind, found in ways.items() if "who-has" in kind for way in found}
        exact = {way for way in asked if "EXACT" in way}
        assert asked <= {up(slave, bond) for slave in slaves} | {refused(slave) for slave in slaves}, bond
        assert bool(exact) == (bond in ("tlb", "alb")), bond


def expect_lacp(run):
    ways = run.ways()
    for slave in ("eth0", "eth1"):
        consumed = f"rx: {slave} | 1 {slave} tap {slave} captured | 1 {slave} bond_handle_frame CONSUMED"
        [(way, count)] = ways[f"rx LACP {slave}"].items()
        assert (way, count >= 2) == (consumed, True)
    assert sum(count for kind, found in ways.items() if "rx ICMP echo reply" in kind for count in found.values()) == 3
    assert {way for kind, found in ways.items() if "rx ICMP" in kind for way in found} <= {up("eth0"), up("eth1")}


def expect_flood(run):
    """As many journeys as packets, or exactly as many fewer as were reported lost."""
    sent = sum(
        int(line.split()[1]) for line in (run.out / "play.log").read_text().splitlines() if line.startswith("sent ")
    )
    flooded = [journey for journey in run.journeys if journey.packet.src.startswith("192.0.2.")]
    lost = run.scene.losses().get("records lost", 0)
    assert set(run.scene.losses()) <= {"records lost"}
    assert len(flooded) + lost == sent >= 1000
    assert {len(journey.passes) for journey in flooded} == {1}
    assert {journey.passes[0].cpu for journey in flooded} == {0, 1}
    # and no two packets were taken for one: their contents say which they are
    identities = Counter(identity for batch in Recording(run.recording).batches() for identity in pktgen(batch.passes))
    assert max(identities.values()) == 1 and len(identities) == len(flooded)


def expect_flood_nat(run):
    """Every pass of a journey has its packet's number, whatever was translated, forwarded, encapsulated meanwhile; no
    number is in two journeys; and where nothing was lost every packet has all of its way."""
    assert set(run.scene.losses()) <= {"records lost"}
    data = {
        (int(record["time_ns"]), int(record["skb"])): record["packet"].tobytes()
        for batch in Recording(run.recording).batches()
        for record in batch.passes.records
    }
    sent = sum(
        int(line.split()[1]) for line in (run.out / "play.log").read_text().splitlines() if line.startswith("sent ")
    )
    for number_of, way, count in (
        (published_number, "eth0 bond0 docker0 veth0 eth9", sent),
        (tunnelled_number, "eth0 bond0 vx0", 2000),
    ):
        found = [
            (journey, {number_of(data[one.time_ns, one.skb]) for one in journey.passes}) for journey in run.journeys
        ]
        mine = [(journey, numbers) for journey, numbers in found if numbers - {None}]
        assert [(journey.id, numbers) for journey, numbers in mine if len(numbers) > 1] == []
        assert len({min(numbers) for _, numbers in mine}) == len(mine)
        if run.scene.losses():
            assert 0 < len(mine) <= count
        else:
            assert Counter(devices_of(journey) for journey, _ in mine) == {way: count}


def published_number(data):
    """(source address, number) of pktgen's datagrams to the published port, before or after it was translated."""
    ports = data[36:38] in (b"\x1f\x90", b"\x00\x50")
    magic = data[42:46] == b"\xbe\x9b\xe9\x55"
    return (data[26:30], data[46:50]) if data[23] == 17 and ports and magic else None


def tunnelled_number(data):
    """The IP id of a datagram to 10.42.0.2, alone or within VXLAN."""
    begin = 50 if data[23] == 17 and data[36:38] == b"\x12\xb5" else 0
    inner = data[begin:]
    to_tunnel = inner[23:24] == b"\x11" and inner[26:30] == bytes((10, 42, 0, 1))
    return inner[18:20] if to_tunnel else None


def pktgen(passes):
    """(CPU's source address, sequence number) of pktgen's packets."""
    packets = passes.records["packet"]
    mine = packets[(packets[:, 12] == 8) & (packets[:, 26] == 192) & (packets[:, 27] == 0) & (packets[:, 28] == 2)]
    return [(int(row[29]), row[46:50].tobytes()) for row in np.asarray(mine)]


EXPECTED = {name: globals()[f"expect_{name}"] for name in SCENARIOS}
