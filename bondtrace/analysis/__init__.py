# SPDX-License-Identifier: GPL-2.0-or-later
"""From passes and events to journeys: what belongs together, which taps were offered it, why the others were not."""
