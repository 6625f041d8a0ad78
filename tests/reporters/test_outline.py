# SPDX-License-Identifier: GPL-2.0-or-later
"""In which order things are told: by time, with branches in the middle of what they are branches of."""

import re
from pathlib import Path

import pytest
from mixture import many

from bondtrace.format.batch import Batch
from bondtrace.format.recording import Recording
from bondtrace.pipeline import Pipeline
from bondtrace.reporters import story
from bondtrace.reporters.outline import outline
from bondtrace.reporters.text import Detail, lines
from build import (
    ALL_DEVICES,
    BEGIN_NS,
    FEW,
    ON_ANY,
    ON_ETH0,
    B,
    both,
    drop,
    echo,
    ether,
    events,
    handler,
    ip4,
    journeys,
    late,
    losses,
    protocol,
    queued,
    received,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    tcpdump,
    tx,
    udp,
)

ROOT = Path(__file__).parents[2]
RECORDINGS = sorted([*(ROOT / "examples").glob("*.arrows"), *(ROOT / "tests" / "data").glob("*.arrows")])
DATAGRAM = ether(ip4(udp(), 17))
REWRITTEN = ether(ip4(udp(4000, 80), 17, dst=9), src=B)
INNER = ether(ip4(echo(8)))
OUTER = ether(ip4(udp(40000, 4789, data=b"\x08\0\0\0\0\0\x2a\0" + INNER), 17))

NAT = both(
    rx(
        "eth0",
        tap(ON_ETH0),
        handler("ANOTHER", "bond0"),
        protocol("ip_rcv"),
        *[tap(ON_ETH0, "ignored")] * 38,
        drop("NO_SOCKET", result=1),
        packet=DATAGRAM,
        seq=5,
        lasts=90,
    ),
    tx("out0", tap(ON_ANY), at=5, packet=REWRITTEN, parent=5, seq=6, again=True),
)
MIRROR = both(
    rx("eth0", tap(ON_ETH0), drop("TC_INGRESS"), packet=DATAGRAM, seq=5, lasts=90, head=7),
    tx("mon0", tap(ON_ANY), at=1, skb=99 * 64, head=7, packet=DATAGRAM, parent=5, seq=6, again=True),
)
VRF = both(
    rx("eth3", tap(ON_ANY), protocol("ip_rcv"), drop("NO_SOCKET", dev="red"), packet=DATAGRAM, seq=5, lasts=90),
    tx("red", tap(ON_ANY), at=2, lasts=0, packet=DATAGRAM, parent=5, seq=6, again=True),
)
TUNNEL = both(
    rx("eth0", handler("ANOTHER", "bond0"), protocol("ip_rcv"), queued("vx0"), packet=OUTER, seq=5),
    rx("vx0", tap(ON_ANY), at=40, packet=INNER, seq=6, again=True),
)


def told(*passes, around=None):
    """The text of the one journey of these passes."""
    around = around or scene(devices=ALL_DEVICES, taps=FEW)
    [journey] = journeys(*passes, around=around)
    return "\n".join(lines(journey, around)) + "\n"


def sentences(*passes):
    around = scene(devices=ALL_DEVICES, taps=FEW)
    [journey] = journeys(*passes, around=around)
    return story.paragraphs(journey, around)


def test_a_branch_is_told_where_it_happened_and_indented():
    assert (
        told(MIRROR)
        == """\
12:00:00.000000 rx eth0 #1 UDP 10.9.0.1 > 10.9.0.2 4000 > 5000 len 40, 82 bytes (90.0 µs)
       1.0 µs  eth0                 rx tap tcpdump -i eth0 [41001]: captured
      then sent on mon0
       2.0 µs    mon0               tx tap tcpdump -i any [41004]: captured
       2.0 µs  eth0                 dropped by the kernel in sch_handle_ingress: TC_INGRESS
    not seen by tcpdump -i bond0 [41003]: bound to bond0, and the packet went no further than eth0: the kernel dropped \
it in sch_handle_ingress: TC_INGRESS (dropped-before)
"""
    )
    assert [one[: len("  At 2.0 µs")] for one in sentences(MIRROR)[2:6]] == [
        "At 1.0 µs t",
        "  At 1.0 µs",
        "  At 2.0 µs",
        "At 2.0 µs t",
    ]


def test_what_was_rewritten_is_told_where_it_was():
    assert "      then sent on out0: destination 10.9.0.2:5000 now 10.9.0.9:80\n" in told(NAT)
    assert sum("It had been changed: destination 10.9.0.2:5000 now 10.9.0.9:80." in one for one in sentences(NAT)) == 1
    assert "dropped by the kernel in sch_handle_ingress: NO_SOCKET (a copy of it)" in told(NAT)
    assert any("the kernel dropped a copy of it in sch_handle_ingress" in one for one in sentences(NAT))


def test_a_vrfs_taps_are_shown_the_packet_and_it_is_not_sent():
    text, paragraphs = told(VRF), sentences(VRF)

    assert (
        """\
       2.0 µs  eth3                 → ip_rcv
      then shown to red's taps (VRF)
       3.0 µs    red                tap tcpdump -i any [41004]: captured
       3.0 µs  red (orig eth3)      dropped by the kernel in sch_handle_ingress: NO_SOCKET
"""
        in text
    )
    assert "sent on" not in text
    assert (
        "  At 2.0 µs the VRF red showed it to those of its taps that listen for all protocols (dev_queue_xmit_nit): it "
        "is a received packet, and was not sent."
    ) in paragraphs
    assert not any("was sent" in one for one in paragraphs)


def test_what_a_tunnel_hands_on_is_told_before_and_after():
    assert told(TUNNEL).splitlines()[:6] == [
        "12:00:00.000000 rx eth0 #1 UDP 10.9.0.1 > 10.9.0.2 40000 > 4789 len 106 (VXLAN) vni 42 carrying ICMP 10.9.0.1 "
        "> ? [truncated], 148 bytes (42.0 µs)",
        "       1.0 µs  eth0                 bond_handle_frame → ANOTHER, next bond0 (active slave)",
        "       2.0 µs  bond0 (orig eth0)    → ip_rcv",
        "       3.0 µs  bond0 (orig eth0)    handed to vx0 (gro_cells_receive): to be received there later",
        "    then received on vx0: taken out of VXLAN vni 42, it is ICMP 10.9.0.1 > 10.9.0.2 echo request id 128 seq "
        "1; 98 bytes, were 148",
        "      41.0 µs  vx0                  rx tap tcpdump -i any [41004]: captured",
    ]
    assert (
        "At 3.0 µs gro_cells_receive handed it, with skb->dev = bond0 and orig_dev = eth0, to vx0, which received it "
        "later."
    ) in sentences(TUNNEL)


def test_a_tag_that_moves_into_the_frame_is_told():
    in_frame = reply(tag=100)
    passes = tx("bond0", vlan=100), tx("eth0", at=20, packet=in_frame)

    assert "    then sent on eth0: vlan 100 now in the frame\n" in told(*passes)
    paragraphs = sentences(*passes)
    assert paragraphs[1].endswith("Its tag 100, of the type 0x8100, lay beside the frame's bytes (skb->vlan_tci).")
    assert paragraphs[3].endswith("It had been changed: vlan 100 now in the frame.")


@pytest.mark.parametrize(
    "tpid, words", [(0x8100, "vlan 100.7"), (0x88A8, "802.1ad 100, vlan 7")], ids=["802.1Q", "802.1ad"]
)
def test_tags_of_other_types_differ_in_the_heading(tpid, words):
    beside = told(rx("eth0", vlan=100, tpid=tpid, packet=reply(tag=7)))
    frame = ether(b"\0\x64\x81\0\0\x07\x08\0" + reply()[14:], tpid)

    assert f"#1 {words} ICMP 10.9.0.1" in beside
    assert f"#1 {words} (in frame) ICMP 10.9.0.1" in told(rx("eth0", packet=frame))


def test_the_type_of_a_tag_that_was_not_recorded_is_not_made_up():
    around = scene(vlan_tpid=None)
    [journey] = journeys(rx("eth0", vlan=100), around=around)

    assert "of a type that was not recorded" in story.paragraphs(journey, around)[1]


def test_two_cpus_at_once_are_told_apart():
    # given a pass whose last step comes after those of the pass that it caused on another CPU
    around = scene(taps={})
    passes = tx("veth0", tap(7), tap(8), lasts=60), rx("peer0", tap(9), at=1, cpu=3)
    passes[0].steps["t_ns"][1] = 50_000

    assert (
        told(*passes, around=around)
        == """\
12:00:00.000000 tx veth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (60.0 µs)
       1.0 µs  veth0                tx tap [7] (known only by its inode): captured
    then received on peer0 (blue), CPU 3
       2.0 µs  peer0                rx tap [9] (known only by its inode): captured
    back to it, sent on veth0
      50.0 µs  veth0                tx tap [8] (known only by its inode): captured
"""
    )
    [journey] = journeys(*passes, around=around)
    assert "Meanwhile, CPU 0 went on with it, sent on veth0." in story.paragraphs(journey, around)


def test_a_kind_of_step_of_a_newer_version_is_told_as_far_as_it_goes():
    passes = rx("eth0", protocol("ip_rcv"))
    passes.steps["kind"] = 77

    assert "eth0                 unknown-77 in ip_rcv\n" in told(passes)
    assert "At 1.0 µs unknown-77 in ip_rcv, with skb->dev = eth0." in sentences(passes)


def test_what_is_concluded_is_marked():
    around = scene(devices=ALL_DEVICES, taps=FEW)
    [journey] = journeys(sent(), around=around)
    concluded = journey.passes[0], type(journey.passes[1])(**{**vars(journey.passes[1]), "inferred": True})
    journey = type(journey)(**{**vars(journey), "passes": concluded})

    assert "    then sent on eth0 (inferred)" in lines(journey, around)
    assert any(one.endswith("That this was the same packet is inferred.") for one in story.paragraphs(journey, around))


# --- taps that it did not come near --------------------------------------------------------------------


def verbose(*passes, around):
    """The lines of the one journey of these passes, with all absences."""
    [journey] = journeys(*passes, around=around)
    return lines(journey, around, detail=Detail.VERBOSE)


MANY = {50_000 + n: tcpdump(50_000 + n, name) for n, name in enumerate(("eth2", "br0", "veth0"), 1)}


def test_trivial_absences_are_counted_or_one_line_and_telling_ones_are_their_own():
    around = scene(taps={**MANY, **FEW})
    kept = (
        "    not seen by tcpdump -i bond0 [41003]: bound to bond0, and bond_handle_frame kept the packet on eth1: "
        "inactive slave (EXACT) (inactive-slave)"
    )

    assert told(refused(packet=DATAGRAM), around=around).splitlines()[-2:] == [
        kept,
        "    4 other taps: not on its way (-v lists them)",
    ]
    assert verbose(refused(packet=DATAGRAM), around=around)[-2:] == [
        kept,
        "    not seen by tcpdump -i eth2 [50001], tcpdump -i br0 [50002], tcpdump -i veth0 [50003], tcpdump -i eth0 "
        "[41001]: bound to devices that the packet did not pass (bound-elsewhere)",
    ]


def test_a_line_does_not_name_hundreds_of_taps():
    around = scene(taps={60_000 + n: tcpdump(60_000 + n, "bond0") for n in range(300)})
    [line] = [one for one in told(refused(), around=around).splitlines() if "not seen" in one]

    assert line.count("tcpdump -i bond0") == 10
    assert "[60009] and 290 more: bound to bond0, and bond_handle_frame kept" in line
    assert verbose(refused(), around=around)[-1].count("tcpdump -i bond0") == 300


def test_what_may_have_been_lost_is_not_claimed_to_have_been_elsewhere():
    around = scene(losses(0, lost=[1]), taps=MANY)
    assert told(refused(), around=around).splitlines()[-1] == (
        "    3 other taps: not on its way (or it was lost) (-v lists them)"
    )


# --- order ---------------------------------------------------------------------------------------------


def recorded(batches):
    """(journey, scene) of all journeys of these batches."""
    found = []
    pipeline = Pipeline(show=lambda one: found.append(one))
    pipeline.run(batches)
    return found, pipeline.scene


SOURCES = [
    *(pytest.param(lambda path=path: Recording(path).batches(), id=path.name) for path in RECORDINGS),
    *(
        pytest.param(lambda seed=seed: [Batch(many(seed), events(), BEGIN_NS)], id=f"random {seed}")
        for seed in range(3)
    ),
    *(
        pytest.param(lambda passes=passes: [Batch(passes, events(devices=ALL_DEVICES), BEGIN_NS)], id=name)
        for name, passes in {
            "NAT": NAT,
            "mirror": MIRROR,
            "VRF": VRF,
            "tunnel": TUNNEL,
            "late": both(
                rx("eth0", tap(ON_ETH0), in_list=True, frame=9, seq=5),
                late("eth0", protocol("ip_list_rcv"), at=30, frame=9),
                tx("veth0", at=10, frame=9, inside_list=True, again=True, seq=6),
            ),
            "plain": both(received(), refused(50), sent(100)),
        }.items()
    ),
]


def said_later(step, one):
    """Does the step of a socket say to which protocol IP gave it?"""
    return step.kind == "local" and any(later.kind == "socket" for later in one.steps if later.t_ns > step.t_ns)


@pytest.mark.parametrize("batches", SOURCES)
def test_times_never_run_backwards_and_every_step_is_told_once(batches):
    found, around = recorded(batches())

    assert found
    for journey in found:
        steps = [line.step for line in outline(journey) if line.kind == "step"]
        assert [step.t_ns for step in steps] == sorted(step.t_ns for step in steps)
        assert sorted(map(id, steps)) == sorted(
            id(step)
            for one in journey.passes
            for step in one.steps
            if step.kind != "enter" and not said_later(step, one)
        )
        begun = [line.place for line in outline(journey) if line.kind == "begin"]
        assert sorted(begun) == list(range(1, len(journey.passes)))
        assert in_ns(lines(journey, around)) == sorted(in_ns(lines(journey, around)))


UNITS = {"ns": 1, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def in_ns(text):
    """The times at the beginning of lines."""
    found = [re.match(r" {4} *([\d.]+) (ns|µs|ms|s)  ", line) for line in text[1:]]
    return [float(one[1]) * UNITS[one[2]] for one in found if one]
