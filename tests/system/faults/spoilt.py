# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace whose program for taps with a ring no verifier takes: it reads where no memory is known to be."""

from bondtrace import cli
from bondtrace.capture.kernel import loader

PROGRAM = "PROBE(tap_ring_enter)\n{"
whole = loader.source.join


def spoilt(*arguments, **more):
    text = whole(*arguments, **more)
    assert PROGRAM in text
    return text.replace(PROGRAM, PROGRAM + " if (*(volatile u8 *)(u64)bpf_get_smp_processor_id()) return 0;")


loader.source.join = spoilt
cli.main()
