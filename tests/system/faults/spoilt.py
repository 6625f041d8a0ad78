# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace whose programs for taps with a ring no verifier takes: they read where no memory is known to be."""

from bondtrace import cli
from bondtrace.capture.kernel import loader

PROGRAMS = [f"PROBE({name})\n{{" for name in ("tap_ring_fexit", "tap_ring_enter")]
whole = loader.source.join


def spoilt(*arguments, **more):
    text = whole(*arguments, **more)
    for program in PROGRAMS:
        assert program in text
        text = text.replace(program, program + " if (*(volatile u8 *)(u64)bpf_get_smp_processor_id()) return 0;")
    return text


loader.source.join = spoilt
cli.main()
