# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds on any network and in any kernel: dissecting packets, how devices are stacked, libpcap's filters."""
