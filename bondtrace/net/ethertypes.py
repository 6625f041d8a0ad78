# SPDX-License-Identifier: GPL-2.0-or-later
"""The Ethernet types that rules depend on. Source: ``include/uapi/linux/if_ether.h``, ``eth_type_vlan``."""

from __future__ import annotations

ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
ETH_P_8021Q = 0x8100
ETH_P_8021AD = 0x88A8

VLAN_TYPES = (ETH_P_8021Q, ETH_P_8021AD)
"""Those that the kernel takes for VLAN tags."""
