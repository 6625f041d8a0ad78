# SPDX-License-Identifier: GPL-2.0-or-later
"""A map of the kernel as a dictionary."""


class KernelMap:
    """As ``bondtrace.capture.kernel.bpf_map.Map``: keys and values are bytes; ``held`` is what it holds."""

    def __init__(self, held=()):
        self.held = dict(held)

    def get(self, key):
        return self.held.get(key)

    def set(self, key, value):
        self.held[key] = value

    def delete(self, key):
        self.held.pop(key, None)

    def items(self):
        return dict(self.held)
