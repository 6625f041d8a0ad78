# SPDX-License-Identifier: GPL-2.0-or-later
"""Asserts in tests/frames.py show the values that differ."""

import pytest

pytest.register_assert_rewrite("frames")
