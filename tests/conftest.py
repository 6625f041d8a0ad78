# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: those of the mark ``fleet`` run only where they are asked for."""


def pytest_collection_modifyitems(config, items):
    if "fleet" in (config.option.markexpr or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("fleet")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
