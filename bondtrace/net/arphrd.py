# SPDX-License-Identifier: GPL-2.0-or-later
"""The types of devices (``net_device->type``) by what their packets begin with; of other types nothing is decoded.

Source: ``include/uapi/linux/if_arp.h``.
"""

from __future__ import annotations

ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
ARPHRD_NONE = 0xFFFE

WITH_ETHERNET_HEADER = (ARPHRD_ETHER, ARPHRD_LOOPBACK)

# PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE
WITHOUT_HEADER = (512, 519, 768, 769, 776, 778, 823, ARPHRD_NONE)
"""Those whose packets begin with the network header."""
