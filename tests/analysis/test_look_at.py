# SPDX-License-Identifier: GPL-2.0-or-later
"""What to look at next where a packet ended: for every reason and any packet a line, with the right words in it."""

import gzip
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bondtrace.analysis import beyond_ip, look_at
from bondtrace.capture.kernel.btf import Btf
from bondtrace.model import Packet, Step
from bondtrace.net.dissect import describe
from build import arp, ether, ip4, ip6, reply, tcp, udp

DATA = Path(__file__).parents[1] / "data" / "btf"
REASONS = sorted(look_at._OF_REASON)
TEMPLATES = [*look_at._OF_REASON.values(), look_at.UNANSWERED_ARP, look_at.UNANSWERED_ND]


def described(data, **more):
    return describe(data, wire_len=len(data), **more)


def vxlan(inner):
    """A packet in a VXLAN tunnel."""
    return ether(ip4(udp(source=5555, destination=4789, data=b"\x08\0\0\0\0\0\x2a\0" + inner), 17, src=7, dst=8))


def in_ip(inner):
    """A packet of IP directly in another."""
    return ether(ip4(inner, 4, src=7, dst=8))


INNER = ip4(tcp(destination=80), 6)
PACKETS = {
    "udp": described(ether(ip4(udp(destination=53), 17))),
    "tcp": described(ether(ip4(tcp(destination=22), 6))),
    "icmp": described(reply()),
    "arp": described(arp()),
    "ipv6": described(ether(ip6(udp(destination=53)), 0x86DD)),
    "vxlan": described(vxlan(ether(INNER))),
    "ipip": described(in_ip(INNER)),
    "nothing": described(b""),
    "cut off": described(ether(ip4(udp(destination=53), 17))[:30]),
    "not decoded": described(b"abcdef", arphrd=999, ethertype=0x0800),
    "mpls": described(ether(b"\0\0\x11\x40" + INNER, 0x8847)),
    "nobody": Packet(0, 0, "", "", "", ""),
}


def step(reason=None, dev="bond0.50", **more):
    return Step(1000, "drop", 1, dev, "eth0", 5, 2, function="tcp_v4_rcv", reason=reason, **more)


def told(reason, packet):
    return look_at.after_drop(step(reason), PACKETS[packet])


# --- every reason, any packet --------------------------------------------------------------------------


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_line_for_any_packet(reason):
    for name, packet in PACKETS.items():
        line = look_at.after_drop(step(reason), packet)
        assert line.isprintable() and not re.search(r"[{}]|None", line), (name, line)
        assert line or "{port}" in look_at._OF_REASON[reason], (name, line)


def test_every_reason_is_one_of_a_kernels():
    """A name that is written wrongly would never be met."""
    there = {
        name
        for path in DATA.glob("*.btf.gz")
        for name in Btf(gzip.decompress(path.read_bytes())).drop_reasons().values()
    }
    assert len(there) > 80
    assert set(REASONS) <= there and set(beyond_ip._OUTCOMES) <= there


def test_what_a_packet_says_is_no_template():
    """Names of devices may hold braces, and bytes from the wire anything."""
    for template in TEMPLATES:
        line = look_at.said(template, step(dev="{src}{0}%s"), replace(PACKETS["udp"], src="{dst}", dst="{port!r}"))
        expected = template.replace("{dev}", "\0").replace("{src}", "\1").replace("{dst}", "\2").replace("{port}", "53")
        assert line == expected.replace("\0", "{src}{0}%s").replace("\1", "{dst}").replace("\2", "{port!r}")


@pytest.mark.parametrize("seed", range(5))
def test_bytes_of_any_kind(seed):
    chance = random.Random(seed)
    for _round in range(200):
        packet = described(chance.randbytes(chance.randrange(90)), ethertype=chance.choice((0x0800, 0x86DD, 0x0806)))
        for reason in REASONS:
            assert look_at.after_drop(step(reason), packet).isprintable()


def test_of_a_reason_that_names_nothing_nothing_is_said():
    for reason in (None, "", "NOT_SPECIFIED", "TCP_OLD_DATA", "reason 9999"):
        assert look_at.after_drop(step(reason), PACKETS["udp"]) == ""


# --- the words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "packet", "words"),
    [
        ("NO_SOCKET", "udp", "`ss -anp` for port 53;"),
        ("NO_SOCKET", "tcp", "`ss -anp` for port 22;"),
        ("NO_SOCKET", "ipv6", "`ss -anp` for port 53;"),
        ("IP_RPFILTER", "udp", "net.ipv4.conf.bond0.50.rp_filter, and all.rp_filter: `ip route get 10.9.0.1`"),
        ("IP_INADDRERRORS", "udp", "10.9.0.2 is not this host's"),
        ("IP_INNOROUTES", "udp", "`ip route get 10.9.0.2 from 10.9.0.1 iif bond0.50`"),
        ("IP_LOCAL_SOURCE", "udp", "source address 10.9.0.1"),
        ("TC_INGRESS", "udp", "`tc filter show dev bond0.50 ingress`"),
        ("SOCKET_RCVBUFF", "udp", "SO_RCVBUF"),
        ("TCP_LISTEN_OVERFLOW", "tcp", "accept()"),
    ],
)
def test_the_line_has_the_packets_and_the_devices_words(reason, packet, words):
    assert words in told(reason, packet)


@pytest.mark.parametrize("packet", ["vxlan", "ipip"])
def test_addresses_are_those_that_ip_looked_at_not_those_of_what_a_tunnel_carries(packet):
    assert PACKETS[packet].inner is not None
    assert "`ip route get 10.9.0.7`" in told("IP_RPFILTER", packet)
    assert "`ip route get 10.9.0.8 from 10.9.0.7 iif bond0.50`" in told("IP_INNOROUTES", packet)


def test_the_port_of_a_tunnel_over_udp_is_the_tunnels():
    assert "for port 4789;" in told("NO_SOCKET", "vxlan")
    assert look_at.port_of(PACKETS["vxlan"]) == ("UDP", 4789)


@pytest.mark.parametrize(
    ("packet", "port"), [("ipip", ("TCP", 80)), ("udp", ("UDP", 53)), ("icmp", None), ("arp", None)]
)
def test_the_port_is_that_of_the_outermost_packet_with_one(packet, port):
    assert look_at.port_of(PACKETS[packet]) == port


# --- netfilter -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ip filter c_forward (hook forward)", "`nft list chain ip filter c_forward`"),
        ("inet t in (hook input)", "`nft list chain inet t in`"),
        ("netdev early c (hook ingress)", "`nft list chain netdev early c`"),
        ("bridge b c (hook prerouting)", "`nft list chain bridge b c`"),
        ("iptables filter INPUT (hook input)", "`iptables -t filter -L INPUT -nv`"),
        ("ip6tables raw PREROUTING (hook prerouting)", "`ip6tables -t raw -L PREROUTING -nv`"),
        ("arptables filter INPUT (hook input)", "`arptables -t filter -L INPUT -nv`"),
        ("ebtables filter FORWARD (hook forward)", "`ebtables -t filter -L FORWARD`"),
        ("hook input", "`nft list ruleset`, `iptables-save`"),
        ("the hook in ip_rcv_core", "`nft list ruleset`, `iptables-save`"),
        ("a chain whose name was not recorded", "`nft list ruleset`, `iptables-save`"),
        ("", ""),
    ],
)
def test_a_chain_is_listed_by_the_program_that_made_it(words, expected):
    assert look_at.after_drop(step("NETFILTER_DROP", netfilter=words), PACKETS["udp"]) == expected


def test_that_a_listening_socket_is_full_is_about_its_connections():
    full = step(outcome="full", state="LISTEN")
    assert "accept()" in look_at.after_drop(full, PACKETS["tcp"])
    assert "accept()" not in look_at.after_drop(
        step("SOCKET_BACKLOG", outcome="full", state="ESTABLISHED"), PACKETS["tcp"]
    )
