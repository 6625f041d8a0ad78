# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace exporter`: counts of a live trace for Prometheus, over HTTP."""

from __future__ import annotations

import socket
import sys
import threading
import time
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click

from ..capture.capabilities import drop_all_rights, require_rights
from ..errors import BondtraceError, UsageError
from ..format.batch import Batch
from ..pipeline import Pipeline
from ..reporters import table
from ..reporters.prometheus import Metrics, client
from ..stats.metrics import NamedCounts
from .live import trace
from .options import TraceOptions, say, trace_options

_UPDATE_S = 1.0
_ENDS_WITHIN_S = 0.1


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:9435",
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Where to listen; by default only this host can reach it.",
)
@trace_options
def exporter(options: TraceOptions, listen: str) -> None:
    """Trace, and serve counts to Prometheus.

    The counts are: offered, captured, filtered, full and unseen by tap and device; verdicts; drops; losses. Ctrl-C or
    SIGTERM ends with the table that summary prints.
    """
    address, port = parse_listen(listen)
    require_rights()
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
    table.write(pipeline.summary, pipeline.scene, sys.stdout)


class Updating:
    """The metrics of a pipeline, updated once a second."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._scene, self._counts, self._next_s = pipeline.scene, NamedCounts(pipeline.scene), 0.0
        self.metrics = Metrics()
        pipeline.summary.also = self._counts.count

    def keep(self, _: Batch) -> None:
        """Update the metrics if it is time; called after every batch."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _UPDATE_S
            self.update()

    def update(self) -> None:
        """Update the metrics now."""
        self.metrics.update(self._counts, self._scene)


class _Server(ThreadingMixIn, WSGIServer):
    """A server in which a slow reader does not keep the others waiting."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report nothing: clients may go away."""


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: scrapes are routine."""


def serve(metrics: Metrics, address: str, port: int) -> tuple[Any, threading.Thread]:
    """Start a server that answers with the metrics, and return it and its thread.

    The client library's own server cannot be ended before version 0.19.

    :raises BondtraceError: if the address is not available.
    """
    library = client()
    registry = library.CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    try:
        family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        kind = type("Server", (_Server,), {"address_family": family})
        server: WSGIServer = make_server(str(place[0]), port, library.make_wsgi_app(registry), kind, _Handler)
    except OSError as error:
        raise BondtraceError(
            f"cannot listen on {address}:{port}: {error.strerror or error}; give another --listen ADDRESS:PORT"
        ) from None
    thread = threading.Thread(target=_answer, args=(server,), daemon=True)
    thread.start()
    return server, thread


def _answer(server: WSGIServer) -> None:
    """Serve until the server is ended, without rights; the threads that this one starts have none either."""
    drop_all_rights()
    server.serve_forever(_ENDS_WITHIN_S)


def parse_listen(text: str) -> tuple[str, int]:
    """Return ("127.0.0.1", 9435) for "127.0.0.1:9435"; an IPv6 address is given in brackets.

    :raises UsageError: for text of another form.
    """
    address, colon, port = text.rpartition(":")
    if not colon or not address or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--listen {text!r} is not ADDRESS:PORT: give it as 127.0.0.1:9435 or [::1]:9435")
    return address.strip("[]"), int(port)
