# SPDX-License-Identifier: GPL-2.0-or-later
"""A fixture for the tests of what prints times of day."""

import time

import pytest


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
