# SPDX-License-Identifier: GPL-2.0-or-later
"""What is stored and sent: the kernel side's structures, events, and the recordings that consist of both."""
