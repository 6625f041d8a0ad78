# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: a real bond on a real kernel, in a throwaway virtual machine.

It serves the demo, the tests, the benchmarks, and users who want to know what another kernel would do.

Invariant: the host's network and files are never touched, but for what is kept in the cache; the tracer in the guest is
the command that a user would type, and what it prints is passed on unchanged; traffic is played only once the tracer
has said that it is attached.
"""

from .machine import Interrupted
from .play import LabResult, run_scenario, run_scenarios, run_shell
from .scenario import Need, Scenario, find_scenario, scenarios

__all__ = [
    "Interrupted",
    "LabResult",
    "Need",
    "Scenario",
    "find_scenario",
    "run_scenario",
    "run_scenarios",
    "run_shell",
    "scenarios",
]
