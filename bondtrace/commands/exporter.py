# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace exporter`: counts of a live trace for Prometheus, over HTTP."""

from __future__ import annotations

import time
from typing import Any

import click

from ..errors import BondtraceError, UsageError
from ..pipeline import Pipeline
from ..recording import Batch
from ..reporters.prometheus import Metrics, Tallies, client
from ..rights import require_root
from .live import trace
from .options import TraceOptions, say, trace_options

_UPDATE_S = 1.0


@click.command()
@click.option("--listen", default="127.0.0.1:9435", show_default=True, metavar="ADDRESS:PORT",
              help="Where to answer; loopback unless told otherwise.")
@trace_options
def exporter(options: TraceOptions, listen: str) -> None:
    """Trace, and answer Prometheus with counts.

    They are: offered, captured, filtered, full and unseen by tap and device; verdicts; drops; losses.
    """
    address, port = parse_listen(listen)
    require_root()
    pipeline = Pipeline(directions=options.directions, count=options.count)
    metrics = Updating(pipeline)
    pipeline.keep = metrics.keep
    server, thread = serve(metrics.metrics, address, port)
    say(f"metrics at http://{listen}/metrics")
    try:
        trace(pipeline, options)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Updating:
    """Metrics of a pipeline, made anew once a second."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._tallies, self._next_s = pipeline, Tallies(), 0.0
        self.metrics = Metrics()
        pipeline.summary.also = self._tallies.count

    def keep(self, _: Batch) -> None:
        """After every batch."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _UPDATE_S
            self.update()

    def update(self) -> None:
        """Now."""
        self.metrics.update(self._pipeline.summary, self._tallies, self._pipeline.scene)


def serve(metrics: Metrics, address: str, port: int) -> tuple[Any, Any]:
    """(server, its thread), answering. ``BondtraceError`` where the address cannot be had."""
    library = client()
    registry = library.CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    try:
        server, thread = library.start_http_server(port, address, registry)
    except OSError as error:
        raise BondtraceError(f"cannot listen on {address}:{port}: {error.strerror or error}; give another --listen "
                             "ADDRESS:PORT") from None
    return server, thread


def parse_listen(text: str) -> tuple[str, int]:
    """("127.0.0.1", 9435) of "127.0.0.1:9435"; an IPv6 address stands in brackets. ``UsageError`` for another text."""
    address, colon, port = text.rpartition(":")
    if not colon or not address or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--listen {text!r} is no ADDRESS:PORT: give one as 127.0.0.1:9435 or [::1]:9435")
    return address.strip("[]"), int(port)
