# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts about each pass that stitching and counting need, as columns.

Invariant: a fact follows from the pass alone, whatever comes before and after it. So a reader can compute facts one
batch at a time while another thread stitches, and the rows (152 bytes, and 24 per step) are not touched again until a
packet is to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..format.wire import (
    FUNC_IP6_PROTOCOL_DELIVER_RCU,
    RECORD_LATE,
    RECORD_RECEIVED,
    RECORD_VLAN,
    RECORD_VLAN_AD,
    STEP_DROP,
    STEP_HANDLER,
    STEP_LOCAL,
    STEP_NETNS,
    STEP_QUEUED,
    STEP_SEGMENTS,
    STEP_VLAN,
    VERDICT_ANOTHER,
    Array,
    Passes,
)
from ..net.arphrd import ARPHRD_ETHER, WITH_ETHERNET_HEADER, WITHOUT_HEADER
from ..net.ethertypes import ETH_P_8021AD, ETH_P_8021Q, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, VLAN_TYPES
from ..util.arrays import mix, upper_half
from .whereabouts import namespaces

Facts = Mapping[str, Array]

# ``last_ns``: when its last step was. ``device`` and ``left``: the first and the last device of the pass, as
# ``topology.key_number``. ``queued`` and ``queued_skb``: the device on which it is to be received once more (0: none),
# and the low half of its skb then.
# ``own`` and ``parent``: its number and that of the pass that it was nested in (0: none), each as cpu << 32 | seq.
# ``print``: ``fingerprint``. ``shape``: a hash of all that an answer can depend on, except the times.
_KINDS = {
    "time_ns": "u8",
    "end_ns": "u8",
    "last_ns": "u8",
    "kind": "u1",
    "flags": "u1",
    "skb": "u8",
    "last_skb": "u4",
    "head": "u4",
    "frame": "u4",
    "device": "u8",
    "left": "u8",
    "queued": "u8",
    "queued_skb": "u4",
    "own": "u8",
    "parent": "u8",
    "print": "u8",
    "shape": "u8",
}
_ROWS = 1 << 13  # passes at a time, so that all that is computed from them stays in a CPU's cache


def with_facts(passes: Passes) -> Passes:
    """Return the passes with their facts, which a ``Stitcher`` then does not compute; another thread can do this."""
    return passes if passes.facts is not None else replace(passes, facts=facts(passes))


def facts(passes: Passes) -> Facts:
    """Return the facts of these passes, each of shape (n,)."""
    result = {name: np.empty(len(passes), kind) for name, kind in _KINDS.items()}
    for begin in range(0, len(passes), _ROWS):
        end = min(begin + _ROWS, len(passes))
        first, last = passes.offsets[begin], passes.offsets[end]
        _fill(
            {name: column[begin:end] for name, column in result.items()},
            passes.records[begin:end],
            passes.steps[first:last],
            passes.offsets[begin : end + 1] - first,
        )
    return result


def _fill(told: dict[str, Array], records: Array, steps: Array, offsets: Array) -> None:
    for name in ("time_ns", "kind", "flags", "skb", "last_skb", "head", "frame"):
        told[name][:] = records[name]
    np.add(told["time_ns"], records["duration_ns"], out=told["end_ns"])
    np.bitwise_or(upper_half(records["netns"]), records["ifindex"], out=told["device"])
    told["left"][:], told["last_ns"][:] = _left(told["device"], told["time_ns"], records["netns"], steps, offsets)
    told["queued"][:] = told["queued_skb"][:] = 0
    is_rare = bool((steps["kind"] >= STEP_NETNS).any())
    if is_rare:
        _fill_rare(told, namespaces(records["netns"], steps, offsets), steps, offsets)
    cpu = upper_half(records["cpu"])
    np.bitwise_or(cpu, records["seq"], out=told["own"])
    nested = (records["parent"] > 0) & (told["kind"] != RECORD_LATE)
    np.multiply(cpu | records["parent"], nested, out=told["parent"])
    told["print"][:] = prints(records)
    types = _types(records)
    few = _few(records, types, steps, offsets, is_rare)
    told["shape"][:] = _shapes(records, types, told["device"], _of_steps(steps, offsets), few)


def _left(device: Array, time_ns: Array, netns: Array, steps: Array, offsets: Array) -> tuple[Array, Array]:
    """Return the device on which the packet was last, where that is in the namespace of its pass, and when its last
    step was; both of shape (n,)."""
    if not len(steps):
        return device, time_ns
    last = steps.take(np.maximum(offsets[1:] - 1, 0))
    onward = ((last["kind"] == STEP_HANDLER) | (last["kind"] == STEP_VLAN)) & (last["result"] == VERDICT_ANOTHER)
    left: Array = upper_half(netns) | np.where(onward, last["arg"], last["ifindex"])
    has_steps = offsets[1:] > offsets[:-1]
    return np.where(has_steps, left, device), time_ns + last["t_ns"] * has_steps


def _fill_rare(told: dict[str, Array], netns: Array, steps: Array, offsets: Array) -> None:
    """Fill what only the steps of some passes say: that the packet left its namespace, or is to be received again.

    :param netns: the namespace of each step's device.
    """
    some = np.flatnonzero(offsets[1:] > offsets[:-1])
    told["left"][some] = told["left"][some] & np.uint64(0xFFFFFFFF) | upper_half(netns.take(offsets[1:][some] - 1))
    queued = np.flatnonzero(steps["kind"] == STEP_QUEUED)
    place = np.searchsorted(offsets, queued, side="right") - 1
    told["queued"][place] = upper_half(netns[queued]) | steps["ifindex"][queued]
    told["queued_skb"][place] = steps["skb_low"][queued]


# --- shapes --------------------------------------------------------------------------------------------

_SHAPE_WEIGHTS = np.random.default_rng(20161016).integers(1, 1 << 63, 8, dtype=np.uint64) | np.uint64(1)


class Types(NamedTuple):
    """The Ethernet type of each frame, whether that is a tag's, and the type behind it (0 without a tag)."""

    first: Array
    is_tag: Array
    inner: Array


def _types(records: Array) -> Types:
    packet = records["packet"]
    first, second = (packet[:, at].astype(np.uint32) << 8 | packet[:, at + 1] for at in (12, 16))
    is_tag = (first == ETH_P_8021Q) | (first == ETH_P_8021AD)
    return Types(first, is_tag, second * is_tag)


class Few(NamedTuple):
    """The places of the few passes of which an answer depends on more of the packet's bytes: those with a tag; that
    may be fragments; of ARP, or with a tag behind which that may be; that IPv6 gave to a protocol; that were given to a
    protocol and dropped; that were dropped.
    """

    tagged: Array
    fragments: Array
    arp: Array
    ipv6: Array
    addressed: Array
    dropped: Array


def _shapes(records: Array, types: Types, device: Array, of_steps: Array, few: Few) -> Array:
    """Return a number for each pass, equal for the same shape, shape (n,) of uint64."""
    return _hashed(
        of_steps,
        device,
        upper_half(records["sender"]) | (types.first << 16 | types.inner),
        upper_half(records["steps"].astype(np.uint32) << 16 | records["steps_lost"])
        | ((records["kind"] | records["flags"] & RECORD_RECEIVED).astype(np.uint32) << 16 | records["protocol"]),
        (records["captured"] < 18).astype(np.uint64),
        *([_of_few(records, few)] if any(map(len, few)) else []),
    )


def _few(records: Array, types: Types, steps: Array, offsets: Array, is_rare: bool) -> Few:
    """Return which passes these are. ``is_rare``: are there any steps of rare kinds?"""
    ipv6 = addressed = dropped = np.zeros(0, np.int64)
    if is_rare:
        is_local = steps["kind"] == STEP_LOCAL
        ipv6 = _passes_of(is_local & (steps["func"] == FUNC_IP6_PROTOCOL_DELIVER_RCU), offsets)
        dropped = _passes_of(steps["kind"] == STEP_DROP, offsets)
        addressed = np.intersect1d(_passes_of(is_local, offsets), dropped, assume_unique=True)
    return Few(
        np.flatnonzero(types.is_tag | (records["flags"] & RECORD_VLAN).view(bool)),
        _maybe_fragments(records, types),
        np.flatnonzero((types.first == ETH_P_ARP) | np.isin(types.inner, (ETH_P_ARP, *VLAN_TYPES))),
        ipv6,
        addressed,
        dropped,
    )


def _maybe_fragments(records: Array, types: Types) -> Array:
    """Return the places of those that may be fragments: nearly all of them are."""
    packet = records["packet"]
    told = _has_fragment(types.first, packet[:, 20], packet[:, 21])
    if types.is_tag.any():
        told |= _has_fragment(types.inner, packet[:, 24], packet[:, 25]) | np.isin(types.inner, VLAN_TYPES)
    if (records["arphrd"] != ARPHRD_ETHER).any():
        told |= np.isin(records["arphrd"], WITHOUT_HEADER) & _has_fragment(
            records["protocol"], packet[:, 6], packet[:, 7]
        )
    return np.flatnonzero(told)


def _has_fragment(kind: Array, first: Array, second: Array) -> Array:
    """Return whether the bytes at the place of IPv4's fragment offset, where IPv6 has its next header, are those of a
    fragment."""
    found: Array = ((first & 0x3F | second) > 0) & (kind == ETH_P_IP)  # IP_MF | IP_OFFSET
    found |= (kind == ETH_P_IPV6) & np.isin(first, _EXTENSIONS)
    return found


_EXTENSIONS = (0, 43, 44, 60)
_FRAGMENT_HEADER = 44


def _passes_of(which: Array, offsets: Array) -> Array:
    """Return the places of the passes that have one of these steps, each once."""
    found = np.flatnonzero(which)
    return np.unique(np.searchsorted(offsets, found, side="right") - 1) if len(found) else found


def _of_few(records: Array, few: Few) -> Array:
    """Return what an answer depends on in the bytes of few packets, shape (n,) of uint64; 0 for the others: the tags'
    ids, the type behind a second tag; whether it is a fragment; what ARP asks; the protocol over IPv6, and what ICMPv6
    asks; to which port it went; and whether its frame is for a group, and which message of ICMP it is.
    """
    found = np.zeros(len(records), np.uint64)
    if len(few.tagged):
        found[few.tagged] = _tags(records[few.tagged])
    told = (
        *((few.fragments, _fragments), (few.arp, _arp), (few.ipv6, _over_ipv6)),
        *((few.addressed, _ports), (few.dropped, _of_dropped)),
    )
    for places, told_by in told:
        if len(places):
            found[places] = mix(found[places], told_by(records[places]))
    return found


def _tags(records: Array) -> Array:
    data = records["packet"].astype(np.uint64)
    outer, second, third = (data[:, at] << np.uint64(8) | data[:, at + 1] for at in (14, 18, 20))
    flags = records["flags"] & (RECORD_VLAN | RECORD_VLAN_AD)
    beside = (flags > 0) * (records["vlan_tci"] & _VLAN_ID) | flags.astype(np.uint32) << 16
    ids = (outer & np.uint64(_VLAN_ID)) << np.uint64(12) | second & np.uint64(_VLAN_ID)
    told: Array = ids << np.uint64(40) | third << np.uint64(24) | beside.astype(np.uint64)
    return told


_VLAN_ID = 0xFFF


def _fragments(records: Array) -> Array:
    """Return whether each is a fragment; where further extension headers, or a cut, hide it, a hash of the packet."""
    bodies, captured = untagged_bodies(records), records["captured"]
    is_ipv4 = (_type(bodies) == ETH_P_IP) & (bodies[:, 2] == 0x45) & (captured >= 14 + 8 + 12)
    is_ipv4 &= (_u16(bodies, 4) >= 20) | (_u16(bodies, 4) == 0)
    is_ipv6 = (_type(bodies) == ETH_P_IPV6) & (bodies[:, 2] >> 4 == 6) & (captured >= _READ) & (_u16(bodies, 6) >= 8)
    is_plain = is_ipv4 | (is_ipv6 & (bodies[:, 8] == _FRAGMENT_HEADER))
    bits = np.where(is_ipv4, _u16(bodies, 8) & 0x3FFF, _u16(bodies, 44) & 0xFFF9)
    return np.where(is_plain, (bits > 0).astype(np.uint64), _whole(records))


def _arp(records: Array) -> Array:
    """Return the head of ARP, which says what is asked; 0 of what is not ARP."""
    bodies = untagged_bodies(records)
    head: Array = np.ascontiguousarray(bodies[:, 2:10]).view("<u8")[:, 0] * (_type(bodies) == ETH_P_ARP)
    return head


_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_PORTLESS = (_ICMP, 2, _ICMPV6)  # ICMP, IGMP: neither they nor what they carry have ports
_SOLICITATION = 135
# The captured bytes behind which what is read of a packet's bytes ends: with a link-layer header and two tags.
_READ = 14 + 8 + 40 + 4


def _over_ipv6(records: Array) -> Array:
    """Return the protocol over IPv6, which the step that gives the packet to it may not tell, and whether it is a
    neighbour solicitation; where extension headers hide it, a hash of the packet."""
    bodies = untagged_bodies(records)
    protocol = bodies[:, 8]
    is_plain = (_type(bodies) == ETH_P_IPV6) & (bodies[:, 2] >> 4 == 6) & ~np.isin(protocol, _EXTENSIONS)
    is_plain &= (_u16(bodies, 6) >= 2) & (records["captured"] >= 14 + 8 + 40)
    asks = (protocol == _ICMPV6) & (bodies[:, 42] == _SOLICITATION)
    is_cut = asks & (records["captured"] < _READ)
    return np.where(is_plain & ~is_cut, protocol.astype(np.uint64) << np.uint64(8) | asks, _whole(records))


def _ports(records: Array) -> Array:
    """Return the protocol over IP and the port to which each was sent, 0 of protocols without ports; where options,
    fragments or tunnels hide it, a hash of the packet."""
    bodies = untagged_bodies(records)
    is_ipv4 = (_type(bodies) == ETH_P_IP) & (bodies[:, 2] == 0x45) & (_u16(bodies, 4) >= 24)
    is_ipv4 &= _u16(bodies, 8) & 0x3FFF == 0
    is_ipv6 = (_type(bodies) == ETH_P_IPV6) & (bodies[:, 2] >> 4 == 6) & (_u16(bodies, 6) >= 4)
    protocol = np.where(is_ipv6, bodies[:, 8], bodies[:, 11])
    port = np.where(is_ipv6, _u16(bodies, 44), _u16(bodies, 24))
    is_cut = (records["captured"] < _READ) & (port & 0xFF == 0)
    has_port = np.isin(protocol, (_TCP, _UDP)) & ~is_cut
    told = (protocol.astype(np.uint64) << np.uint64(16) | port) * has_port
    return np.where((is_ipv4 | is_ipv6) & (has_port | np.isin(protocol, _PORTLESS)), told, _whole(records))


def _of_dropped(records: Array) -> Array:
    """Return whether each frame is for a group, and the type of its message of ICMP or ICMPv6, 0 of what is neither;
    where options, extension headers or a cut hide it, a hash of the packet."""
    bodies = untagged_bodies(records)
    is_ipv4 = (_type(bodies) == ETH_P_IP) & (bodies[:, 2] == 0x45)
    is_ipv6 = (_type(bodies) == ETH_P_IPV6) & ~np.isin(bodies[:, 8], _EXTENSIONS)
    is_icmp = (is_ipv4 & (bodies[:, 11] == _ICMP)) | (is_ipv6 & (bodies[:, 8] == _ICMPV6))
    is_plain = ~np.isin(_type(bodies), (ETH_P_IP, ETH_P_IPV6, *VLAN_TYPES)) | is_ipv4 | is_ipv6
    is_plain &= ~is_icmp | (records["captured"] >= _READ)
    message = np.where(is_ipv4, bodies[:, 22], bodies[:, 42]).astype(np.uint64)
    to_group = (records["packet"][:, 0] & 1).astype(np.uint64)
    return np.where(is_plain, to_group << np.uint64(16) | (message << np.uint64(1) | 1) * is_icmp, _whole(records))


def _type(bodies: Array) -> Array:
    return _u16(bodies, 0)


def _u16(bodies: Array, at: int) -> Array:
    number: Array = bodies[:, at].astype(np.uint64) << np.uint64(8) | bodies[:, at + 1]
    return number


def _whole(records: Array) -> Array:
    """Return a hash of all that was captured of each packet."""
    words = np.ascontiguousarray(records["packet"]).view("<u8")
    return mix(records["captured"], *(words[:, at] for at in range(words.shape[1])))


def _of_steps(steps: Array, offsets: Array) -> Array:
    """Return a hash for each pass of its steps and their order, without their times; shape (n,) of uint64."""
    order = np.arange(len(steps)) - np.repeat(offsets[:-1], np.diff(offsets))
    kind = steps["kind"]
    named = (kind == STEP_DROP) | (kind == STEP_HANDLER)
    what = (
        kind.astype(np.uint32) << 24
        | steps["round"].astype(np.uint32) << 16
        | steps["result"].astype(np.uint32) << 8
        | steps["func"]
    )
    each = _hashed(
        upper_half(steps["ifindex"]) | steps["orig_ifindex"],
        upper_half(steps["arg"]) | steps["skb_low"] * named,
        upper_half(order) | what,
    )
    each[kind == STEP_SEGMENTS] = 0  # says how long a packet was, on which no answer depends
    sums = np.zeros(len(steps) + 1, np.uint64)
    np.cumsum(each, out=sums[1:])
    of = sums.take(offsets)
    return of[1:] - of[:-1]


def _hashed(*words: Array) -> Array:
    """Hash words together, shape (n,): sums of products, which are cheaper than ``mix`` of each."""
    total: Array = np.zeros(len(words[0]), np.uint64)
    for word, weight in zip(words, _SHAPE_WEIGHTS):
        total += (word ^ word >> np.uint64(32)) * weight  # so that no two of the highest bits outweigh each other
    return mix(total)


# --- fingerprints --------------------------------------------------------------------------------------


def fingerprint(passes: Passes) -> Array:
    """Return a number for each pass that is equal for the same packet on different devices, shape (n,) of uint64.

    It covers what no hop on this host rewrites: not the MAC addresses (ALB, macvlan), VLAN tags, TTL and checksums.
    Bytes beyond the captured ones count as zero.
    """
    return facts(passes)["print"]


def prints(records: Array) -> Array:
    """Return ``fingerprint`` for each record, shape (n,)."""
    body = untagged_bodies(records)
    words = body.view("<u8")
    words &= _kept(body)
    words ^= words >> np.uint64(32)  # so that no two of the highest bits outweigh each other
    mixed: Array = words @ _WEIGHTS
    return mixed


def untagged_bodies(records: Array) -> Array:
    """Return the bytes from the Ethernet type on, without VLAN tags, shape (n, COVERED) of uint8, a copy; those that
    were not captured are 0. Where a device has no link-layer header, skb->protocol stands for the type."""
    body: Array = records["packet"][:, TYPE : TYPE + COVERED].copy()
    words = body.view("<u8")
    short = np.flatnonzero(records["captured"] < TYPE + COVERED)
    words[short] &= _CAPTURED.take(records["captured"].take(short), axis=0)
    tagged = np.flatnonzero(_is_tag(body) & np.isin(records["arphrd"], WITH_ETHERNET_HEADER))
    if len(tagged):
        body[tagged] = _untagged(records["packet"][tagged], records["captured"][tagged])
    bare = (
        np.flatnonzero(np.isin(records["arphrd"], WITHOUT_HEADER)) if (records["arphrd"] != ARPHRD_ETHER).any() else ()
    )
    if len(bare):
        body[bare, 0], body[bare, 1] = records["protocol"][bare] >> 8, records["protocol"][bare] & 0xFF
        body[bare, 2:] = records["packet"][bare, : COVERED - 2]
        body[bare] *= np.arange(COVERED) < 2 + records["captured"][bare, None].astype(np.int64)
    return body


TYPE, COVERED = 12, 64  # where the Ethernet type is, and the number of bytes from there
_WEIGHTS = np.random.default_rng(20141122).integers(1, 1 << 63, COVERED // 8, dtype=np.uint64) | np.uint64(1)


def _is_tag(body: Array) -> Array:
    tag: Array = (body[:, 0] == 0x81) & (body[:, 1] == 0) | (body[:, 0] == 0x88) & (body[:, 1] == 0xA8)
    return tag


def _untagged(packet: Array, captured: Array) -> Array:
    """Return the covered bytes of packets that have VLAN tags in their bytes (one, or a customer's in a provider's),
    without the tags."""
    packet[np.arange(packet.shape[1]) >= captured.astype(np.int64)[:, None]] = 0
    for _ in range(2):
        tagged = _is_tag(packet[:, TYPE:])
        packet[tagged, :-4] = packet[tagged, 4:]
    return packet[:, TYPE : TYPE + COVERED]


def mask(*zero: int) -> Array:
    """Return words that mask out these bytes, counted from the network header."""
    kept = np.full(COVERED, 0xFF, np.uint8)
    kept[[2 + place for place in zero]] = 0
    return kept.view("<u8")


_CAPTURED = np.where(np.arange(TYPE, TYPE + COVERED) < np.arange(256)[:, None], 0xFF, 0).astype(np.uint8).view("<u8")
# What a hop may rewrite: TOS, TTL and checksum of IPv4, the hop limit of IPv6, the checksums of TCP and UDP.
_OF_OTHERS, _OF_IPV4, _OF_IPV6 = 0, 1, 4
_REWRITTEN = np.stack(
    [
        mask(),
        mask(1, 8, 10, 11),
        mask(1, 8, 10, 11, 36, 37),
        mask(1, 8, 10, 11, 26, 27),
        mask(7),
        mask(7, 56, 57),
        mask(7, 46, 47),
    ]
)


def _kept(body: Array) -> Array:
    """Return the mask of what no hop rewrites in each packet, as words: shape (n, 8), or (8,) where it is the same for
    all."""
    kind = body[:, 0].astype(np.uint16) << 8 | body[:, 1]
    ipv4, ipv6 = kind == 0x0800, kind == 0x86DD
    of = ipv4 * np.uint8(_OF_IPV4) + ipv6 * np.uint8(_OF_IPV6)
    protocol = np.where(ipv6, body[:, 2 + 6], body[:, 2 + 9])
    of += (ipv4 | ipv6) * ((protocol == 6) * np.uint8(1) + (protocol == 17) * np.uint8(2))
    same = bool(len(of)) and bool((of == of[0]).all())
    kept: Array = _REWRITTEN[of[0]] if same else _REWRITTEN.take(of, axis=0)
    return kept
