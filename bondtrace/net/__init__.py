# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds on any network and in any kernel: packets dissected, devices stacked on one another, libpcap's filters."""
