# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of exporters share."""

import pytest

from build import both, events, received, record, refused, sent


@pytest.fixture
def recording(tmp_path):
    """A trace with a reply, an ARP request on the backup slave, and a request sent."""
    return record(tmp_path / "trace.arrows", (both(received(), refused(50), sent(100)), events()))
