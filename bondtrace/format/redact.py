# SPDX-License-Identifier: GPL-2.0-or-later
"""`--privacy`: removes addresses and payload from batches before anything shows or stores them (docs/privacy.md).

Invariant: of a packet only what is named here is kept (known headers, without their addresses and checksums); all
passes of a packet are treated alike, so that they still make one journey; with "hash" an address has one pseudonym in a
recording, made with a key that is forgotten at its end; with "drop" all addresses become the same one.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, Optional

import numpy as np

from ..net.arphrd import WITH_ETHERNET_HEADER, WITHOUT_HEADER
from ..net.ethertypes import VLAN_TYPES
from .batch import Batch
from .events import Event
from .wire import PACKET_BYTES, Array, Passes

MODES = ("drop", "hash")
WITHHELD = "(withheld)"
# What events may say after they were treated here. Of another kind, a newer writer's, it is not known.
_KINDS = frozenset(
    (
        *("start", "device", "device-gone", "tap", "tap-gone", "socket", "namespace", "ip-settings", "route"),
        *("stage", "symbol", "chain", "tc-filter", "losses", "note", "end"),
    )
)
_KNOWN_MAX = 1 << 20  # pseudonyms that are cached
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
# For a header after IP's: how many of its bytes are kept, and where its checksum is.
_UPPER = {_TCP: (20, 16), _UDP: (8, 6), _ICMP: (8, 2), _ICMPV6: (8, 2)}
_ECHOES = {_ICMP: (0, 8), _ICMPV6: (128, 129)}  # the messages whose bytes 4 to 7 are not an address
_LINK_LOCAL = bytes.fromhex("0180c20000")  # control protocols' own addresses: IEEE 802.1Q, 8.6.3


class Privacy:
    """Removes addresses and payload from batches; ``mode`` is one of ``MODES``."""

    def __init__(self, mode: str) -> None:
        self._hashes = mode == "hash"
        self._key = os.urandom(32)
        self._known: dict[bytes, bytes] = {}

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, each without what is to be withheld."""
        for batch in batches:
            yield batch._replace(
                passes=self.passes(batch.passes), events=[told for event in batch.events for told in self._event(event)]
            )

    # --- events ---

    def _event(self, event: Event) -> Iterator[Event]:
        kind = event.get("kind")
        if kind == "bytes" or kind not in _KINDS:  # payload, or what nobody here knows to be harmless
            return
        treat = self._TREATED.get(str(kind))
        yield treat(self, event) if treat else event

    def _start(self, event: Event) -> Event:
        host = f"host-{self._digest(str(event.get('host')).encode())[:4].hex()}" if self._hashes else WITHHELD
        asked = {name: WITHHELD for name in ("filter", "selection") if event.get(name)}
        return {**event, "host": host, **asked, "privacy": "hash" if self._hashes else "drop"}

    def _device(self, event: Event) -> Event:
        values = event.get("device")
        return {**event, "device": {**values, **self._device_addresses(values)}} if isinstance(values, dict) else event

    def _tap(self, event: Event) -> Event:
        values = event.get("tap")
        return {**event, "tap": _with_programs_only(values)} if isinstance(values, dict) else event

    def _socket(self, event: Event) -> Event:
        values = event.get("socket")
        if not isinstance(values, dict):
            return event
        addresses = {name: self._ip_address(values[name]) for name in ("address", "remote") if values.get(name)}
        return {**event, "socket": {**_with_programs_only(values), **addresses}}

    def _ip_settings(self, event: Event) -> Event:
        values = event.get("ip_settings")
        if not isinstance(values, dict):
            return event
        told = values.get("addresses")
        addresses = [self._ip_address(one) for one in told] if isinstance(told, (list, tuple)) else told
        return {**event, "ip_settings": {**values, "addresses": addresses}}

    def _route(self, event: Event) -> Event:
        return {**event, "address": self._ip_address(event.get("address"))}

    _TREATED: ClassVar[dict[str, Callable[[Privacy, Event], Event]]] = {
        "start": _start,
        "device": _device,
        "tap": _tap,
        "socket": _socket,
        "ip-settings": _ip_settings,
        "route": _route,
    }

    def _device_addresses(self, device: dict[str, Any]) -> dict[str, Optional[str]]:
        """Return the MAC addresses that a device's values may hold, redacted: its own and its LACP partner's."""
        partner = {} if device.get("ad_partner") is None else {"ad_partner": self._address(device["ad_partner"])}
        return {"address": self._address(device.get("address", "")), **partner}

    def _address(self, text: object) -> str:
        try:
            raw = bytes.fromhex(str(text).replace(":", ""))
        except ValueError:
            return ""
        return self._mac(raw).hex(":") if len(raw) == 6 else ""

    def _ip_address(self, text: object) -> str:
        """Return the pseudonym of an address of IPv4 or IPv6, also of one of IPv4 that is written as IPv6."""
        from ipaddress import ip_address  # takes long to import, and every command imports this module

        try:
            address = ip_address(str(text))
        except ValueError:
            return ""
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            return f"::ffff:{ip_address(self._address4(mapped.packed))}"
        return str(ip_address((self._address4 if address.version == 4 else self._address6)(address.packed)))

    # --- packets ---

    def passes(self, passes: Passes) -> Passes:
        """Return the passes with only what may be kept of their packets."""
        if not len(passes):
            return passes
        records = passes.records.copy()
        packets = records["packet"].copy()
        captured = np.minimum(records["captured"].astype(np.int64), PACKET_BYTES)
        packets[np.arange(PACKET_BYTES) >= captured[:, None]] = 0
        kept = np.zeros_like(packets)
        stays = np.zeros(len(records), np.int64)
        ethernet = np.isin(records["arphrd"], WITH_ETHERNET_HEADER)
        self._link(np.flatnonzero(ethernet), packets, kept, stays)
        bare = np.flatnonzero(np.isin(records["arphrd"], WITHOUT_HEADER))
        self._network(
            bare, records["protocol"].astype(np.int64)[bare], np.zeros(len(bare), np.int64), packets, kept, stays
        )
        stays = np.minimum(stays, captured)
        kept[np.arange(PACKET_BYTES) >= stays[:, None]] = 0
        records["packet"], records["captured"] = kept, stays
        return replace(passes, records=records)

    def _link(self, rows: Array, packets: Array, kept: Array, stays: Array) -> None:
        """Keep of frames the addresses as pseudonyms, the tags and the type unchanged, and what ``_network`` keeps."""
        for at in (0, 6):
            self._replaced(rows, at, 6, self._mac, packets, kept)
        stays[rows] = 12
        offsets = np.full(len(rows), 12)
        types = packets[rows, 12].astype(np.int64) << 8 | packets[rows, 13]
        kept[rows, 12:14] = packets[rows, 12:14]
        for at in (12, 16):
            tagged = np.isin(types, VLAN_TYPES) & (offsets == at)
            some = rows[tagged]
            kept[some, at + 2 : at + 6] = packets[some, at + 2 : at + 6]
            types[tagged] = packets[some, at + 4].astype(np.int64) << 8 | packets[some, at + 5]
            offsets[tagged] += 4
        stays[rows] = offsets + 2
        self._network(rows, types, offsets + 2, packets, kept, stays)

    def _network(self, rows: Array, types: Array, offsets: Array, packets: Array, kept: Array, stays: Array) -> None:
        for kind, take in ((_IPV4, self._ipv4), (_IPV6, self._ipv6), (_ARP, self._arp)):
            for at in np.unique(offsets[types == kind]).tolist():
                take(rows[(types == kind) & (offsets == at)], at, packets, kept, stays)

    def _ipv4(self, rows: Array, at: int, packets: Array, kept: Array, stays: Array) -> None:
        kept[rows, at : at + 10] = packets[rows, at : at + 10]
        for address in (12, 16):
            self._replaced(rows, at + address, 4, self._address4, packets, kept)
        sizes = (packets[rows, at] & 15).astype(np.int64) * 4
        stays[rows] = at + np.clip(sizes, 20, 60)  # options are zero
        first = (packets[rows, at + 6] & 0x1F | packets[rows, at + 7]) == 0
        for size in np.unique(sizes).tolist():
            if size >= 20:
                chosen = rows[(sizes == size) & first]
                self._upper(chosen, packets[chosen, at + 9], at + size, packets, kept, stays)

    def _ipv6(self, rows: Array, at: int, packets: Array, kept: Array, stays: Array) -> None:
        kept[rows, at : at + 8] = packets[rows, at : at + 8]
        for address in (8, 24):
            self._replaced(rows, at + address, 16, self._address6, packets, kept)
        stays[rows] = at + 40
        self._upper(rows, packets[rows, at + 6], at + 40, packets, kept, stays)

    def _arp(self, rows: Array, at: int, packets: Array, kept: Array, stays: Array) -> None:
        """Keep requests and replies about IPv4 on Ethernet; of others, and where addresses are dropped (as all would be
        the same, each would look gratuitous), only their kind."""
        kept[rows, at : at + 8] = packets[rows, at : at + 8]
        stays[rows] = at + 8
        if not self._hashes:
            return
        known = rows[(packets[rows, at : at + 6] == (0, 1, 8, 0, 6, 4)).all(axis=1)]
        for address in (8, 18):
            self._replaced(known, at + address, 6, self._mac, packets, kept)
        for address in (14, 24):
            self._replaced(known, at + address, 4, self._address4, packets, kept)
        stays[known] = at + 28

    def _upper(self, rows: Array, protocols: Array, at: int, packets: Array, kept: Array, stays: Array) -> None:
        for protocol, (size, checksum) in _UPPER.items():
            chosen = rows[protocols == protocol]
            end = min(at + size, PACKET_BYTES)
            if not len(chosen) or at >= end:
                continue
            kept[chosen, at:end] = packets[chosen, at:end]
            kept[chosen, at + checksum : at + checksum + 2] = 0
            if protocol in _ECHOES:
                other = chosen[~np.isin(packets[chosen, at], _ECHOES[protocol])]
                kept[other, at + 4 : end] = 0
            stays[chosen] = end

    def _replaced(
        self, rows: Array, at: int, size: int, pseudonym: Callable[[bytes], bytes], packets: Array, kept: Array
    ) -> None:
        """Put a pseudonym in place of an address of each of these packets."""
        if not len(rows) or at + size > PACKET_BYTES:
            return
        addresses = np.ascontiguousarray(packets[rows, at : at + size]).view(f"V{size}")
        found, which = np.unique(addresses, return_inverse=True)
        names = np.frombuffer(b"".join(pseudonym(one.tobytes()) for one in found), np.uint8).reshape(-1, size)
        kept[rows, at : at + size] = names[which.reshape(-1)]

    # --- pseudonyms ---

    def _mac(self, address: bytes) -> bytes:
        """Return 02:..., or 03:... for a group. Broadcast, all zeros and the addresses of control frames, which belong
        to nobody, are kept."""
        if address in (bytes(6), b"\xff" * 6) or address[:5] == _LINK_LOCAL:
            return address
        return bytes([2 | address[0] & 1]) + (self._digest(address)[:5] if self._hashes else bytes(5))

    def _address4(self, address: bytes) -> bytes:
        """Return an address in 240.0.0.0/4, which nobody has; 0.0.0.0 and 255.255.255.255 are kept."""
        if address in (bytes(4), b"\xff" * 4):
            return address
        digest = self._digest(address) if self._hashes else bytes(4)
        return bytes([0xF0 | digest[0] & 0x0F]) + digest[1:4]

    def _address6(self, address: bytes) -> bytes:
        """Return an address in 2001:db8::/32, which is for examples; :: is kept."""
        if not any(address):
            return address
        return b"\x20\x01\x0d\xb8" + (self._digest(address)[:12] if self._hashes else bytes(12))

    def _digest(self, value: bytes) -> bytes:
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            from hashlib import blake2b  # takes long to import, and every command imports this module

            known = self._known[value] = blake2b(value, key=self._key, digest_size=16).digest()
        return known


def _with_programs_only(values: dict[str, Any]) -> dict[str, Any]:
    """Return a tap's or a socket's values with processes of which only the programs' names are left."""
    processes = values.get("processes")
    if not isinstance(processes, (list, tuple)):
        return values
    return {**values, "processes": [_without_arguments(one) for one in processes if isinstance(one, dict)]}


def _without_arguments(process: dict[str, Any]) -> dict[str, Any]:
    """Return a process with only its program's name: arguments may contain addresses, filters and other data."""
    words = str(process.get("cmdline", "")).split()
    return {**process, "cmdline": posixpath.basename(words[0]) if words else ""}
