# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds, in what the kernel's verifier says about a program that it refuses, the one sentence that says why.

A log has a line for each instruction that was checked, then the sentence, then statistics. Linux 7.3 adds a report
for people after the sentence ("Verification failed: ...", markers with "error:", a paragraph of suggestions); bcc adds
hints of its own. None of these is the verifier's sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPORT = re.compile(
    r"^(Verification failed:|processed \d+ insns|verification time \d+|stack depth \d+|HINT:)", re.MULTILINE
)
_OF_BCC = re.compile(r"^(bpf: Failed to load program|bpf: Argument list too long)")
_INSTRUCTION = re.compile(r"^\d+: \([0-9a-f]{2}\) ")
# Source lines, states of registers, paths: what a truncated log may end with.
_BETWEEN = re.compile(r"^(;|\d+: |from \d+ to \d+|R\d+(_\w+)?=|last_idx |regs=|parent |propagating )")
_LONGEST = 300


@dataclass(frozen=True)
class Refusal:
    """A program that the kernel refused at ``probe`` ("fentry tpacket_rcv"), and all that it said."""

    probe: str
    program: str
    log: str

    def __str__(self) -> str:
        return f"{self.probe}: {self.sentence}"

    @property
    def sentence(self) -> str:
        """Return the verifier's sentence, with the program and the instruction where it names one."""
        said, at = _sentence(self.log)
        return f"{said} (program {self.program}, instruction {at})" if at else said


def _sentence(log: str) -> tuple[str, str]:
    """Return (the sentence, the instruction that it is about or "")."""
    end = _REPORT.search(log)
    lines = [line.strip() for line in (log[: end.start()] if end else log).splitlines() if line.strip()]
    lines = [line for line in lines if not _OF_BCC.match(line)] or lines
    if not lines or _BETWEEN.match(lines[-1]):
        return "the kernel gives no reason", ""
    before = [line for line in lines[:-1] if _INSTRUCTION.match(line)]
    return lines[-1][:_LONGEST], re.split(r"\s*;", before[-1])[0].strip() if before else ""
