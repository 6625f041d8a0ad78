# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of IP as the kernel has them, in 4 or 16 bytes, and as people write them."""

from __future__ import annotations

import socket
from typing import Optional

ADDRESS_BYTES = {socket.AF_INET: 4, socket.AF_INET6: 16}
FAMILIES = {size: family for family, size in ADDRESS_BYTES.items()}


def size_of(family: int) -> int:
    """Return the bytes of an address of a family; 0 for one that is not of IP."""
    return ADDRESS_BYTES[socket.AddressFamily(family)] if family in ADDRESS_BYTES else 0


def ip_bytes(address: str) -> Optional[bytes]:
    """Return the 4 or 16 bytes of an address of IP that is written as text; ``None`` for another text."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        return None


def ip_text(address: bytes) -> str:
    """Return an address of IP, 4 or 16 bytes, as people write it."""
    return socket.inet_ntop(FAMILIES[len(address)], address)
