# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of commands share."""

import pytest

from build import short_trace


@pytest.fixture
def recording(tmp_path):
    """A trace with a reply, an ARP request on the backup slave, and a request sent."""
    return short_trace(tmp_path / "trace.arrows")
