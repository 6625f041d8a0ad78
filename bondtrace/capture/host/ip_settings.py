# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what decides whether IP takes or answers a packet: devices' addresses and their settings (sysctl).

Invariant: a setting that cannot be read is left out. Source: rtnetlink, ``RTM_GETADDR``; ``/proc/sys/net/ipv4/conf``
(``Documentation/networking/ip-sysctl.rst``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial

from ...model import IpSettings
from .addresses import ip_text
from .namespaces import Namespace, run_in
from .routes import Routes

SETTINGS = ("rp_filter", "arp_ignore", "arp_filter", "accept_local", "forwarding", "route_localnet")


def read_settings(namespace: Namespace, names: Mapping[int, str]) -> list[IpSettings]:
    """Return the addresses and settings of these devices of a namespace, given by ifindex and name.

    :raises OSError: the namespace has gone, or may not be entered.
    """
    with Routes(namespace.path) as routes:
        owned = routes.addresses()
    values = run_in(namespace.path, partial(_read_values, [*names.values(), "all"]))
    return [
        IpSettings(
            namespace.inode,
            ifindex,
            tuple(sorted(ip_text(address) for address, owners in owned.items() if ifindex in owners)),
            tuple((one, values[name, one], values["all", one]) for one in SETTINGS if (name, one) in values),
        )
        for ifindex, name in sorted(names.items())
    ]


def _read_values(names: Iterable[str]) -> dict[tuple[str, str], int]:
    """Return the settings of devices in the calling thread's namespace, by the device's name and the setting's."""
    found: dict[tuple[str, str], int] = {}
    for name in names:
        for one in SETTINGS:
            with suppress(OSError, ValueError), open(f"/proc/sys/net/ipv4/conf/{name}/{one}", encoding="ascii") as file:
                found[name, one] = int(file.read())
    return {key: value for key, value in found.items() if ("all", key[1]) in found}
