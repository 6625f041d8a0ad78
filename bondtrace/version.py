# SPDX-License-Identifier: GPL-2.0-or-later
"""The version, for the package's metadata, recordings and exports."""

from __future__ import annotations

__version__ = "0.1.0"
