# SPDX-License-Identifier: GPL-2.0-or-later
"""ARP and RARP (RFC 826, 903, 2390): who has an address, and where it is."""

from __future__ import annotations

from struct import Struct

from .frame import ANY_IPV4, Frame, ipv4_address, take
from .names import ARP_OPERATIONS

_ARP = Struct("!HHBBH")
_REQUEST, _REPLY, _REVERSE_REQUEST, _REVERSE_REPLY, _INVERSE_REQUEST, _INVERSE_REPLY = 1, 2, 3, 4, 8, 9


def decode_arp(frame: Frame, off: int) -> None:
    """Decode ARP, reverse and inverse ARP; for addresses other than IPv4's only the operation."""
    data = frame.data
    hardware, protocol, hardware_size, protocol_size, operation = _ARP.unpack_from(data, off)
    if protocol != 0x0800 or protocol_size != 4:
        frame.use_link_addresses()
        _name_operation(frame, operation)
        frame.info += f" hardware {hardware} protocol 0x{protocol:04x}"
        return
    if operation == _REQUEST:
        frame.info = frame.message = "who-has"
    elif operation != _REPLY:
        _name_operation(frame, operation)
    sender = take(data, off + 8, hardware_size).hex(":")
    frame.src = ipv4_address(data, off + 8 + hardware_size)
    if operation == _REPLY:
        frame.message = "is-at"
        frame.info = f"{frame.src} is-at {sender}"
    target = take(data, off + 12 + hardware_size, hardware_size).hex(":")
    frame.dst = ipv4_address(data, off + 12 + 2 * hardware_size)
    if operation == _REQUEST:
        frame.info += _arp_question(frame)
    elif operation in (_REVERSE_REQUEST, _INVERSE_REQUEST):  # it knows the hardware address and asks for the other
        frame.info += f" who-is {target} tell {sender}"
    elif operation == _REVERSE_REPLY:
        frame.info += f" {target} is {frame.dst}"
    elif operation == _INVERSE_REPLY:
        frame.info += f" {sender} is {frame.src}"
    if operation in (_REQUEST, _REPLY) and frame.src == frame.dst:
        frame.info += " (gratuitous)"


def _name_operation(frame: Frame, operation: int) -> None:
    frame.message = ARP_OPERATIONS.get(operation, "operation")
    frame.info = frame.message if operation in ARP_OPERATIONS else f"operation {operation}"


def _arp_question(frame: Frame) -> str:
    return f" {frame.dst} (probe)" if frame.src == ANY_IPV4 else f" {frame.dst} tell {frame.src}"
