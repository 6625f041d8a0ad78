# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: those of the marks ``fleet`` and ``soak`` run only where they are asked for."""

APART = ("fleet", "soak")


def pytest_collection_modifyitems(config, items):
    marks = [mark for mark in APART if mark not in (config.option.markexpr or "")]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
