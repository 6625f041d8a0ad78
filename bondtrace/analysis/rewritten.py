# SPDX-License-Identifier: GPL-2.0-or-later
"""Is it the same packet, although its bytes have changed? What address translation and tunnels leave as it was.

Address translation (NAT) rewrites addresses, ports, ICMP's identifier and checksums, a router the TTL; the IP
identification, the length, TCP's sequence numbers and the payload stay. A tunnel puts headers in front of a packet and
leaves its bytes: they lie in the outer packet where the difference of the lengths says. An encrypting one (WireGuard,
ESP, MACsec) leaves nothing that could be compared: there, that the kernel wrapped the packet is inferred from its skb,
the outer packet's kind and its length.
"""

from __future__ import annotations

import numpy as np

from ..format.wire import PACKET_BYTES, Array
from .shapes import COVERED, mask, untagged_bodies

_WEIGHTS = np.random.default_rng(20261127).integers(1, 1 << 63, COVERED // 8, dtype=np.uint64) | np.uint64(1)
COMPARED_MIN = 8  # bytes of an inner packet that an outer one must show
ENCRYPTED_MAX = 160  # bytes that an encrypting tunnel adds at most: IPv6, UDP, ESP with padding and ICV
_MACSEC, _IPV4, _IPV6 = 0x88E5, 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _ESP, _ICMP6, _SCTP = 1, 6, 17, 50, 58, 132
_ICMP_ERROR, _ICMP6_ERROR = 256, 257  # an error message of ICMP, in place of the protocol
_ERRORS, _INFORMATIONAL6 = (3, 4, 5, 11, 12), 128  # types of ICMP; of ICMPv6 errors are those below
_NAT_T_PORT, _WIREGUARD_DATA = 4500, (4, 0, 0, 0)


def _range(begin: int, end: int) -> tuple[int, ...]:
    return tuple(range(begin, end))


# By (is it IPv6, protocol): what may be rewritten, counted from the network header. Of TCP also its options (the MSS).
_IP4 = (1, 8, 10, 11, *_range(12, 20))
_IP6 = (*_range(0, 4), 7, *_range(8, 40))
_MASKS = {
    (False, None): mask(*_IP4),
    (False, _TCP): mask(*_IP4, *_range(20, 24), *_range(36, 38), *_range(40, 62)),
    (False, _UDP): mask(*_IP4, *_range(20, 24), 26, 27),
    (False, _SCTP): mask(*_IP4, *_range(20, 24), *_range(28, 32)),
    (False, _ICMP): mask(*_IP4, *_range(22, 26)),
    (False, _ICMP_ERROR): mask(*_IP4, 22, 23, 36, *_range(38, 52), 54, 55),  # and in the packet that it is about
    (True, None): mask(*_IP6),
    (True, _TCP): mask(*_IP6, *_range(40, 44), *_range(56, 58), *_range(60, 62)),
    (True, _UDP): mask(*_IP6, *_range(40, 44), 46, 47),
    (True, _SCTP): mask(*_IP6, *_range(40, 44), *_range(48, 52)),
    (True, _ICMP6): mask(*_IP6, *_range(42, 46)),
    (True, _ICMP6_ERROR): mask(*_IP6, 42, 43, 55, *_range(56, 62)),
}


def prints(records: Array) -> Array:
    """Return a number for each record, shape (n,) of uint64, that is equal for the same packet before and after its
    addresses were translated. It covers what ``shapes.fingerprint`` does except what NAT rewrites."""
    body = untagged_bodies(records)
    kind = body[:, 0].astype(np.uint16) << 8 | body[:, 1]
    words = body.view("<u8")
    for is_ipv6, ethertype, at in ((False, _IPV4, 2 + 9), (True, _IPV6, 2 + 6)):
        here = kind == ethertype
        if not here.any():
            continue
        protocols = _protocols(body, is_ipv6, at)
        words[here] &= _MASKS[is_ipv6, None]
        for version, protocol in _MASKS:
            if version is is_ipv6 and protocol is not None:
                words[here & (protocols == protocol)] &= _MASKS[version, protocol]
    words ^= words >> np.uint64(32)
    found: Array = words @ _WEIGHTS ^ kind
    return found


def _protocols(body: Array, is_ipv6: bool, at: int) -> Array:
    """Return the protocol of each body as ``_MASKS`` has it; ``at``: where it is."""
    found = body[:, at].astype(np.uint16)
    if is_ipv6:
        found[(found == _ICMP6) & (body[:, 2 + 40] < _INFORMATIONAL6)] = _ICMP6_ERROR
    else:
        found[(found == _ICMP) & np.isin(body[:, 2 + 20], _ERRORS)] = _ICMP_ERROR
    return found


def alike_but_for_addresses(one: Array, other: Array) -> Array:
    """Return for pairs of records whether they are of the same packet, maybe with its addresses translated."""
    same: Array = (one["len"] == other["len"]) & (prints(one) == prints(other))
    return same


def are_fragments(parts: Array, wholes: Array) -> Array:
    """Return for pairs of records whether the first is a fragment of the second, an IPv4 packet that the host took
    apart when it sent it on (``ip_do_fragment``)."""
    found: Array = is_fragment(parts) & (datagrams(parts) == datagrams(wholes)) & (parts["len"] < wholes["len"])
    return found


def is_fragment(records: Array) -> Array:
    """Return for each record whether it is of a fragment of an IPv4 packet."""
    body = untagged_bodies(records)
    cut = _u16(body, np.full(len(body), 2 + 6)) & 0x3FFF != 0  # more fragments, or an offset
    found: Array = (body[:, :2] == (8, 0)).all(axis=1) & cut
    return found


def datagrams(records: Array) -> Array:
    """Return a number for each record that fragments of the same IPv4 packet share with it: its identification and
    protocol; shape (n,) of uint64."""
    body = untagged_bodies(records).astype(np.uint64)
    kind, identification = (body[:, at] << np.uint64(8) | body[:, at + 1] for at in (0, 2 + 4))
    found: Array = kind << np.uint64(24) | identification << np.uint64(8) | body[:, 2 + 9]
    return found


def compare(earlier: Array, later: Array, way: str) -> tuple[Array, Array]:
    """Return for pairs of records of one skb whether the second is the first one's packet, and whether that is sure.

    :param way: "routed" (maybe with its addresses translated), "wrapped" by a tunnel, or "unwrapped".
    """
    if way == "routed":
        same = alike_but_for_addresses(earlier, later)
        inferred = _may_be_encrypted(later, earlier)
    else:
        outer, inner = (later, earlier) if way == "wrapped" else (earlier, later)
        same, inferred = _is_inside(outer, inner), _may_be_encrypted(outer, inner)
    return same | inferred, same


def _is_inside(outer: Array, inner: Array) -> Array:
    """Return for pairs of records whether the outer packet has the inner one's bytes at its end."""
    offset = outer["len"].astype(np.int64) - inner["len"]
    result = np.zeros(len(outer), bool)
    for one in np.unique(offset[(offset > 0) & (offset <= PACKET_BYTES - COMPARED_MIN)]).tolist():
        here = np.flatnonzero(offset == one)
        compared = np.minimum(outer["captured"][here].astype(np.int64) - one, inner["captured"][here])
        differs = outer["packet"][here][:, one:] != inner["packet"][here][:, : PACKET_BYTES - one]
        differs &= np.arange(PACKET_BYTES - one) < compared[:, None]
        result[here] = (compared >= COMPARED_MIN) & ~differs.any(axis=1)
    return result


def _may_be_encrypted(outer: Array, inner: Array) -> Array:
    """Return for pairs of records whether the outer packet is of an encrypting protocol and just longer than the inner
    one, as if it held it."""
    longer = outer["len"].astype(np.int64) - inner["len"]
    body = untagged_bodies(outer)
    kind = body[:, 0].astype(np.uint16) << 8 | body[:, 1]
    is_ipv6 = kind == _IPV6
    protocol = np.where(is_ipv6, body[:, 2 + 6], body[:, 2 + 9])
    at = np.where(is_ipv6, 2 + 40, 2 + 20)  # of the transport header
    port = [_u16(body, at), _u16(body, at + 2)]
    data = np.stack([_byte(body, at + 8 + place) for place in range(4)], axis=1)
    wireguard = (data == np.array(_WIREGUARD_DATA)).all(axis=1)
    udp = (protocol == _UDP) & (wireguard | (port[0] == _NAT_T_PORT) | (port[1] == _NAT_T_PORT))
    over_ip = ((kind == _IPV4) | is_ipv6) & (udp | (protocol == _ESP))
    may: Array = (over_ip | (kind == _MACSEC)) & (longer > 0) & (longer <= ENCRYPTED_MAX)
    return may


def _byte(body: Array, at: Array) -> Array:
    return np.take_along_axis(body, np.minimum(at, body.shape[1] - 1)[:, None], axis=1)[:, 0]


def _u16(body: Array, at: Array) -> Array:
    return _byte(body, at).astype(np.uint16) << 8 | _byte(body, at + 1)
