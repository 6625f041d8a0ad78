# SPDX-License-Identifier: GPL-2.0-or-later
"""The subcommands, a module each. Together with ``cli`` the only modules that know of click."""

COMMANDS = ("live", "record", "show", "summary", "explain", "taps", "doctor", "lab")
