# SPDX-License-Identifier: GPL-2.0-or-later
"""The exporter: what is scraped over HTTP is what `summary --json` counts."""

import ipaddress
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import pytest
from scrape import free_port, scraped, summed
from shell import PING, ROOT

from bondtrace.commands.exporter import Updating, exporter, parse_listen, serve
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.pipeline import Pipeline


def test_the_numbers_are_those_of_the_summary():
    samples, summary = scraped(PING)

    for name in ("offered", "captured"):
        expected = Counter()
        for tap in summary["taps"].values():
            for one in tap["devices"]:
                expected[tap["dev"], one["dev"], one["direction"]] += one[name]
        assert summed(samples, f"bondtrace_tap_{name}_total", "bound_to", "device", "direction") == +expected
    outcomes, unseen = Counter(), Counter()
    for tap in summary["taps"].values():
        outcomes.update({(tap["dev"], name): count for name, count in tap["outcomes"].items()})
        unseen.update({(tap["dev"], reason): one["packets"] for reason, one in tap["unseen"].items()})
    for name in ("captured", "filtered", "full", "ignored", "unknown"):
        assert summed(samples, f"bondtrace_tap_{name}_total", "bound_to") == {
            (dev,): count for (dev, outcome), count in outcomes.items() if outcome == name
        }
    assert summed(samples, "bondtrace_tap_unseen_total", "bound_to", "reason") == unseen and unseen
    assert summed(samples, "bondtrace_device_packets_total", "device", "direction") == {
        (one["dev"], one["direction"]): one["packets"] for one in summary["passed"]
    }
    assert summed(samples, "bondtrace_journeys_total") == {(): summary["journeys"]}
    assert summed(samples, "bondtrace_drops_total", "function", "reason") == {
        (one["function"], one["reason"]): one["packets"] for one in summary["dropped"]
    }


@pytest.mark.parametrize("text", ["9435", ":9435", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "h:-1", "h:²"])
def test_where_to_listen_must_be_an_address_and_a_port(text):
    with pytest.raises(UsageError, match="is not ADDRESS:PORT: give it as"):
        parse_listen(text)


def test_an_ipv6_address_stands_in_brackets():
    assert parse_listen("[::1]:9435") == ("::1", 9435)


def test_an_address_in_use_is_told():
    updating = Updating(Pipeline())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(BondtraceError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"):
            serve(updating.metrics, "127.0.0.1", port)


def test_it_listens_on_loopback_unless_told_otherwise():
    [listen] = [one for one in exporter.params if one.name == "listen"]
    address, port = parse_listen(listen.default)
    assert (address, port) == ("127.0.0.1", 9435)
    assert ipaddress.ip_address(address).is_loopback


@pytest.mark.parametrize(
    "said, place", [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")]
)
def test_it_listens_where_it_is_told_and_no_more_after_its_end(said, place):
    port = free_port()
    server, thread = serve(Updating(Pipeline()).metrics, said, port)
    bound = server.socket.getsockname()
    server.shutdown()
    thread.join()
    server.server_close()
    assert bound in ((place, port), ("::1", port, 0, 0))
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30)


def test_a_client_that_goes_away_is_no_news(capfd):
    port = free_port()
    server, thread = serve(Updating(Pipeline()).metrics, "127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read()
    server.shutdown()
    thread.join()
    server.server_close()
    assert (text, *capfd.readouterr()) == (b"", "", "")


# Stands for the kernel: plays a recording, then waits for the end as the live source does.
PLAYED = """
import sys, time
from importlib import import_module
from pathlib import Path
from bondtrace import cli
from bondtrace.format.recording import Recording
from bondtrace.capture.live import source as live

class Played:
    def __init__(self, request, **_):
        assert request.interfaces == ("bond0",)
        self.stopping = False
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def describe(self):
        return "played"
    def does_not_see(self):
        return []
    def stop(self):
        self.stopping = True
    def batches(self):
        *first, last = Recording(Path("examples/ping.arrows")).batches()
        yield from first
        while not self.stopping:
            yield last._replace(passes=last.passes.take(last.passes.records["kind"] == 99), events=[])
            time.sleep(0.01)
        yield last

live.LiveSource = Played
import_module("bondtrace.commands.exporter").require_rights = lambda: None
cli.main()
"""


@pytest.mark.usefixtures("signals_are_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_end(number):
    # given the exporter as a process of its own
    url = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-c", PLAYED, "exporter", "--iface", "bond0", "--listen", url],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr.readline() == f"bondtrace: metrics at http://{url}/metrics\n"
        assert "played" in process.stderr.readline()

        # when it is scraped until it has counted, and then ended
        until, text = time.monotonic() + 60, b""
        while not re.search(rb"^bondtrace_journeys_total [1-9]", text, re.MULTILINE) and time.monotonic() < until:
            text = urllib.request.urlopen(f"http://{url}/metrics", timeout=30).read()
        assert re.search(rb"^bondtrace_journeys_total [1-9]", text, re.MULTILINE)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()

    # then it ends in good order with the table, and answers no more
    assert (process.returncode, err) == (0, "")
    assert "10 packets" in out and out.endswith("losses: none\n")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://{url}/metrics", timeout=30)
