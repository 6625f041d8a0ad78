# SPDX-License-Identifier: GPL-2.0-or-later
"""Fakes of the lab's machines, and scenarios to play in them."""

from pathlib import Path

from bondtrace.errors import BondtraceError, UsageError
from bondtrace.lab import kernels, machine
from bondtrace.lab.kernels import Kernel
from build import events, received, record


def machines(monkeypatch):
    """Replace the lab's machines; return guest(body): from then on they run body(words, out_dir, env, on_output,
    kernel) and end with its status."""
    monkeypatch.setattr(machine, "requirements", lambda arch: [])
    monkeypatch.setattr(kernels, "resolve", resolve)

    def guest(body):
        def run(kernel, words, out_dir, *, env, on_output, **_):
            (out_dir / "lab").mkdir(parents=True, exist_ok=True)
            return body(words, out_dir, env, on_output, kernel.release)

        monkeypatch.setattr(machine, "run", run)

    return guest


def resolve(spec, notify=lambda text: None, arch=None):
    """Return a kernel, in place of ``kernels.resolve``."""
    if spec == "9.9":
        raise BondtraceError("no kernel 9.9 is available")
    if spec == "/nowhere":
        raise UsageError("no kernel in /nowhere")
    return Kernel(f"{spec or '6.1'}.0-amd64", Path("/k/vmlinuz"), Path("/k"))


def trace(words, out_dir, env, on_output, _):
    """Act as a machine in which all goes well."""
    record(Path(words[words.index("-o") + 1]), (received(), events()), force=True)
    on_output(b"bondtrace: atta")
    on_output(b"ched in 1.0 s\nbondtrace: done\n")
    return 0


def scenario(directory, text, name="mine.sh"):
    """Write a scenario; return its path."""
    path = directory / name
    path.write_text(text)
    return path
