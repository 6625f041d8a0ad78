# SPDX-License-Identifier: GPL-2.0-or-later
"""From passes and events to journeys: which passes belong together, which taps were offered the packet, why not the
others."""
