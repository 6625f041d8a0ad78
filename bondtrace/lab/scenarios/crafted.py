# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends frames that no program would send: crafted.py DEVICE MAC <LINES, each of which is a frame to that MAC:

    udp SOURCE PORT DESTINATION PORT TEXT [OPTION=VALUE...]
    tcp SOURCE PORT DESTINATION PORT TEXT [OPTION=VALUE...]      a SYN unless flags= says otherwise
    ip SOURCE PROTOCOL DESTINATION TEXT [OPTION=VALUE...]
    echo SOURCE DESTINATION TEXT [OPTION=VALUE...]               of ICMP or ICMPv6
    arp SOURCE TARGET TEXT [OPTION=VALUE...]                     a request, with the text behind it
    solicit SOURCE DESTINATION TARGET TEXT [OPTION=VALUE...]     of neighbour discovery, the text in an option

Addresses are of IPv4 or IPv6. OPTIONs: vlan=ID, mac=MAC (to another one), ttl=N, flags=HEX, seq=N, ack=N, op=N (of
ARP); sum=bad (of UDP), ipsum=bad; pad=N (bytes behind the text), times=N; split=N (two fragments, the first with N
bytes).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys

SOURCE_MAC = bytes.fromhex("020000000001")
IPV4, ARP, IPV6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100


def checksum(data: bytes) -> int:
    """Return the checksum of the Internet's protocols."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def packed(address: str) -> bytes:
    """Return an address's bytes."""
    return ipaddress.ip_address(address).packed


def summed(protocol: int, source: bytes, destination: bytes, data: bytes, place: int) -> bytes:
    """Return a message with its checksum, which covers the addresses."""
    is_old = len(source) == 4
    size = struct.pack("!BBH", 0, protocol, len(data)) if is_old else struct.pack("!II", len(data), protocol)
    pseudo = source + destination + size
    found = checksum(pseudo + data) or 0xFFFF
    return data[:place] + struct.pack("!H", found) + data[place + 2 :]


def packets(source: bytes, destination: bytes, protocol: int, data: bytes, options: dict[str, str]) -> list[bytes]:
    """Return the IP packets of a message, one or two."""
    ttl = int(options.get("ttl", 64))
    if len(source) == 16:
        return [struct.pack("!IHBB", 6 << 28, len(data), protocol, ttl) + source + destination + data]
    split = int(options.get("split", len(data)))
    found = []
    for at, part in ((0, data[:split]), (split, data[split:])):
        if at and not part:
            continue
        offset = at // 8 | (0x2000 if at + len(part) < len(data) else 0)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), 77, offset, ttl, protocol, 0) + source + destination
        right = checksum(head) ^ (0x5A5A if "ipsum" in options else 0)
        found.append(head[:10] + struct.pack("!H", right) + head[12:] + part)
    return found


def message(kind: str, words: list[str], text: bytes, options: dict[str, str]) -> list[bytes]:
    """Return the IP packets of a line."""
    if kind == "ip":
        return packets(packed(words[0]), packed(words[2]), int(words[1]), text, options)
    is_ported = kind in ("udp", "tcp")
    source, destination = packed(words[0]), packed(words[2] if is_ported else words[1])
    ports = (int(words[1]), int(words[3])) if is_ported else (0, 0)
    if kind == "udp":
        data = summed(17, source, destination, struct.pack("!HHHH", *ports, 8 + len(text), 0) + text, 6)
        data = data[:6] + bytes([data[6] ^ 0x5A]) + data[7:] if "sum" in options else data
        return packets(source, destination, 17, data, options)
    if kind == "tcp":
        numbers = int(options.get("seq", 1000)), int(options.get("ack", 0))
        head = struct.pack("!HHIIBBHHH", *ports, *numbers, 0x50, int(options.get("flags", "02"), 16), 8192, 0, 0)
        return packets(source, destination, 6, summed(6, source, destination, head + text, 16), options)
    if kind == "solicit":
        filled = text.ljust(14, b"\0")[:14]
        data = struct.pack("!BBHI", 135, 0, 0, 0) + packed(words[2]) + b"\1\1" + SOURCE_MAC + b"\xfd\2" + filled
        return packets(source, destination, 58, summed(58, source, destination, data, 2), {**options, "ttl": "255"})
    if len(source) == 16:
        data = summed(58, source, destination, struct.pack("!BBHHH", 128, 0, 0, 7, 1) + text, 2)
        return packets(source, destination, 58, data, options)
    data = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + text
    return packets(source, destination, 1, data[:2] + struct.pack("!H", checksum(data)) + data[4:], options)


def destination_mac(address: bytes, mac: bytes) -> bytes:
    """Return the MAC address of a destination: a group's own, or the host's."""
    if len(address) == 4 and address[0] >> 4 == 0xE:
        return bytes((1, 0, 0x5E, address[1] & 0x7F)) + address[2:]
    if len(address) == 16 and address[0] == 0xFF:
        return b"\x33\x33" + address[12:]
    return bytes([0xFF] * 6) if address == bytes([0xFF] * 4) else mac


def frames(line: str, mac: bytes) -> list[bytes]:
    """Return the frames of a line."""
    kind, *words = line.split()
    options = dict(word.split("=") for word in words if "=" in word)
    *words, text = (word for word in words if "=" not in word)
    data = text.encode() + bytes(int(options.get("pad", 0)))
    mac = bytes.fromhex(options["mac"]) if "mac" in options else mac
    tag = struct.pack("!HH", VLAN, int(options["vlan"])) if "vlan" in options else b""
    if kind == "arp":
        head = struct.pack("!HHBBH", 1, IPV4, 6, 4, int(options.get("op", 1)))
        body = head + SOURCE_MAC + packed(words[0]) + bytes(6) + packed(words[1]) + data
        return [bytes([0xFF] * 6) + SOURCE_MAC + tag + struct.pack("!H", ARP) + body] * int(options.get("times", 1))
    bodies = message(kind, words, data, options)
    family = struct.pack("!H", IPV4 if bodies[0][0] >> 4 == 4 else IPV6)
    to = bodies[0][16:20] if bodies[0][0] >> 4 == 4 else bodies[0][24:40]
    mac = mac if "mac" in options else destination_mac(to, mac)
    return [mac + SOURCE_MAC + tag + family + body for body in bodies] * int(options.get("times", 1))


def main() -> None:
    """Send what the standard input says."""
    device, mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((device, 0))
        for line in sys.stdin:
            if line.strip() and not line.startswith("#"):
                for frame in frames(line, mac):
                    raw.send(frame)


main()
