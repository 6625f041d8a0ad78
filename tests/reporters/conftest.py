# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of reporters share."""

from zone import utc

__all__ = ["utc"]
