# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the guest: does the kernel take these filters, compiled here? Prints a JSON object a filter.

load_filters.py fentry|kprobes FILTERS EVERY

Of each filter the stages that it is compiled into are attached and detached again, as a trace would.
"""

import json
import sys
import time
from pathlib import Path

from bondtrace.errors import BondtraceError
from bondtrace.kernel import loader
from bondtrace.kernel.filter import make_filter
from bondtrace.kernel.plan import OF_PACKETS


def main(how, file, every):
    kernel = loader.read_kernel()
    filters = [line for line in Path(file).read_text().splitlines() if not line.startswith("#")]
    for expression in filters[4::int(every)] if int(every) > 1 else filters:
        begin = time.monotonic()
        told = load(kernel, how == "fentry", expression)
        print(json.dumps({"filter": expression, "seconds": round(time.monotonic() - begin, 1), **told}), flush=True)


def load(kernel, fentry, expression):
    """{"refused": the sentences, "mechanisms": what is attached}."""
    packet_filter = make_filter(expression)

    def plan(refused):
        whole = loader.make_plan(kernel, fentry=fentry, refused=refused, handlers=())
        return whole.only(lambda stage: stage.name in OF_PACKETS)

    try:
        with loader.attached(lambda one: loader.Tracer(kernel, one, 1 << 20, packet_filter), plan) as tracer:
            tracer.require_packets()
            return {"refused": [str(one) for one in tracer.refusals],
                    "mechanisms": sorted({probe.mechanism for probe in tracer.plan.probes})}
    except BondtraceError as error:
        return {"refused": [str(error)], "mechanisms": []}


if __name__ == "__main__":
    main(*sys.argv[1:])
