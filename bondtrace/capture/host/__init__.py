# SPDX-License-Identifier: GPL-2.0-or-later
"""The network namespaces, devices and taps of this host.

Everything here reads the running kernel (netlink, /proc) and turns it into the values of
``bondtrace.model``; nothing here prints, traces or keeps history. Only the standard library is
imported, and heavy parts of it only where they are used, because the whole tool must start fast.
Parsing is separate from reading: every ``parse_*`` is a pure function on bytes or text.

Invariant: what cannot be read is reported: the readers take a list ``problems`` and append one
sentence for each gap. What vanished while it was being read (a process, a namespace) is no gap.
"""
