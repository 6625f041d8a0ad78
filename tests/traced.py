# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the place of the running kernel (``capture.live.source.LiveSource``), where none can be traced."""

from typing import ClassVar


class Source:
    """A trace that notes in ``requests`` what was asked for, and has what ``batches`` of a subclass yields: nothing."""

    requests: ClassVar[list] = []

    def __init__(self, request, **_):
        self.requests.append(request)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def stop(self):
        pass

    def describe(self):
        return "nothing"

    def does_not_see(self):
        return []

    def batches(self):
        return iter(())
