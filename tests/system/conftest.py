# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs scenarios in the lab, each once a session, and hands out what they left behind.

A machine has one CPU where a test does not ask for more: two machines of two CPUs each on a host of two take thrice as
long, as their CPUs wait for each other."""

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from emulated import ARCH, userland_for
from truth import contradictions_in

from bondtrace import lab


@dataclass(frozen=True)
class Run:
    """One scenario that was played: its directory, and what was printed to the stream."""

    out: Path
    output: str
    status: int

    @cached_property
    def contradictions(self):
        """What its recordings say that cannot be, whatever they are of: faults of bondtrace."""
        return {path.name: found for path in self.out.rglob("*.arrows") for found in [contradictions_in(path)] if found}

    def lines(self, name):
        """The JSON objects of a file in the run's directory."""
        return [json.loads(line) for line in (self.out / name).read_text().splitlines()]

    def bondtrace(self, *words):
        """Run bondtrace here, outside the machine, in the run's directory."""
        return subprocess.run(
            [sys.executable, "-m", "bondtrace", *words],
            cwd=self.out,
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(Path(lab.__file__).parents[2])},
        )


# Of a scenario and, of that, of a tracer's start: only to end what hangs, as one emulator takes several times as long
# as another.
TIMEOUT_S, ATTACH_S = 3000, "2000"


@contextmanager
def once(done, key):
    """A machine that failed is not booted again for every test that asks for it."""
    try:
        yield
    except Exception as error:
        done[key] = error
        raise


@pytest.fixture(scope="session")
def play():
    """play(scenario, command, kernel=None, cpus=1) -> Run; the same words are played once."""
    done = {}
    kept = ExitStack()

    def run(scenario, command, kernel=None, cpus=1):
        key = scenario, command, kernel, cpus
        if key not in done:
            # Not pytest's own directory: another session of pytest would take it away under the machine.
            out = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix=f"bondtrace-{Path(scenario).stem}-")))
            said = []
            with once(done, key):
                result = lab.run_scenario(
                    kernel=kernel,
                    scenario=scenario,
                    command=["bash", "-c", command],
                    out_dir=out,
                    cpus=cpus,
                    on_output=said.append,
                    timeout_s=TIMEOUT_S,
                    env={"LAB_ATTACH_S": ATTACH_S},
                    userland=userland_for(kernel, None),
                    arch=ARCH,
                )
                done[key] = Run(out, b"".join(said).decode("utf-8", "replace"), result.status)
        run_done = done[key]
        assert not isinstance(run_done, Exception), f"the machine failed before: {run_done}"
        assert run_done.status == 0, run_done.output[-3000:]
        assert run_done.contradictions == {}
        return run_done

    with kept:
        yield run


RECORD = 'exec bondtrace record --iface "$LAB_IFACE" -o "$LAB_OUT/trace.arrows"'


class Runs(dict):
    """{scenario: Run} of one machine; a scenario that failed fails the test that asks for it, and no other."""

    def __getitem__(self, scenario):
        run = super().__getitem__(scenario)
        assert run.status == 0, run.output[-3000:]
        assert run.contradictions == {}
        return run


@pytest.fixture(scope="session")
def play_all():
    """play_all(kernel=None, scenarios=None, command=RECORD, cpus=1, memory_mb=1024, scenario_s=TIMEOUT_S,
    userland=None, files=None, **env) -> Runs: boots once and plays all scenarios, or those named, each with a tracer
    of its own; the same words are played once. `files` of the host, by name, lie beside the scenarios' directories."""
    done = {}
    kept = ExitStack()

    def run(
        kernel=None,
        scenarios=None,
        command=RECORD,
        cpus=1,
        memory_mb=1024,
        scenario_s=TIMEOUT_S,
        userland=None,
        files=None,
        **env,
    ):
        names = tuple(scenarios or [one.name for one in lab.scenarios()])
        key = kernel, names, command, cpus, userland, *sorted(env.items())
        if key not in done:
            out = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="bondtrace-all-")))
            for name, file in (files or {}).items():
                shutil.copy(file, out / name)
            with once(done, key):
                played = lab.run_scenarios(
                    kernel=kernel,
                    scenarios=names,
                    command=["bash", "-c", command],
                    out_dir=out,
                    cpus=cpus,
                    memory_mb=memory_mb,
                    env={"LAB_ATTACH_S": ATTACH_S, **env},
                    scenario_s=scenario_s,
                    userland=userland_for(kernel, userland),
                    arch=ARCH,
                )
                done[key] = Runs(
                    {name: Run(one.out_dir, one.output + one.error, one.status) for name, one in played.items()}
                )
        assert not isinstance(done[key], Exception), f"the machine failed before: {done[key]}"
        return done[key]

    with kept:
        yield run
