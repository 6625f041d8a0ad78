#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the measurements of bench/lab.py, in the guest: pktgen sends into the active slave's receive path, past two
taps, once for each tracer.

    guest.py CASES.json

A case is an object: ``name``, ``command`` (none: no tracer), ``ready`` (what it says once it is attached), ``packets``
(how many in each run), ``runs``, ``kill`` (do not wait for the rest of its output), ``flood`` (it reads meanwhile),
``programs`` (report its BPF programs), ``start`` (it measures itself, and prints the result as JSON), ``to_socket``
(the packets are for a socket of this host, and not dropped by IP).
Writes one object per case, one per line, to $LAB_OUT/results.jsonl: the runs' instructions per packet and packets per
second; what was sent; ``ran``: how often each BPF program ran per packet, and its instructions per packet, by the
kernel's own statistics; what the tracer said, which is also in $LAB_OUT/NAME.err and .out; ``started``: what such a
command printed.

The clock counts instructions and skips idle time, so nothing here waits for a time or ends after one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Optional

OUT = Path(os.environ["LAB_OUT"])
WORK = Path("/tmp/bench")  # in memory
PKTGEN = Path("/proc/net/pktgen")
WARM_UP = 500
DROPPED, DELIVERED = "198.51.100.1", "10.9.0.2"  # addresses to which packets are sent

SETUP = """
set -e
. "$LAB_LIB"
make_bonded_host
ip link add idle0 type dummy
make_bond bond1 active-backup idle0
modprobe pktgen
"""


def main() -> None:
    """Measure all cases."""
    WORK.mkdir(exist_ok=True)
    subprocess.run(["bash", "-c", SETUP], check=True)
    taps = [_tap(device) for device in ("eth0", "bond0")]
    reader = _reader()
    with (OUT / "results.jsonl").open("w") as file:
        for case in json.loads(Path(sys.argv[1]).read_text()):
            print(f"{case['name']} ...", flush=True)
            _pktgen_setup("10.9.0.1" if case["to_socket"] else "192.0.2.1", DELIVERED if case["to_socket"] else DROPPED)
            told = measure(case)
            print(f"{case['name']}: {told}", flush=True)
            file.write(json.dumps({**case, **told}) + "\n")
            file.flush()
    for one in (*taps, reader):
        one.terminate()


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Attach, send, detach; return what was measured."""
    name = case["name"].replace(" ", "-").replace("/", "-")
    if case["start"]:
        return {"started": json.loads(subprocess.run(case["command"], check=True, stdout=subprocess.PIPE).stdout)}
    if not case["command"]:
        return _runs(case)
    with (WORK / f"{name}.out").open("wb") as out, (WORK / f"{name}.err").open("wb") as err:
        tracer = subprocess.Popen(case["command"], stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=WORK)
        try:
            problem = _wait_ready(tracer, case["ready"], name)
            told = {"problem": problem} if problem else _measured(case, tracer)
        finally:
            tracer.send_signal(signal.SIGKILL if case["kill"] else signal.SIGINT)
            status = tracer.wait()
    for stream in ("out", "err"):
        _keep(WORK / f"{name}.{stream}")
    out, err = WORK / f"{name}.out", WORK / f"{name}.err"
    return {**told, "status": status, "lines": _lines(out), "said": _end(err) + _end(out)}


def _keep(path: Path) -> None:
    """Keep the first 100 kB of what it said outside the guest."""
    with path.open("rb") as file:
        (OUT / path.name).write_bytes(file.read(100_000))


def _end(path: Path) -> str:
    """Return the end of what it said: a summary as JSON is there."""
    return path.read_bytes()[-20_000:].decode("utf-8", "replace")


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _wait_ready(tracer: subprocess.Popen[bytes], ready: str, name: str) -> Optional[str]:
    """Wait until it is attached: it says so, or (``kprobes N``) the kernel has that many kprobes. Return why it is not,
    or None."""
    while tracer.poll() is None:
        if ready.startswith("kprobes "):
            if len(Path("/sys/kernel/debug/kprobes/list").read_text().splitlines()) >= int(ready.split()[1]):
                return None
        elif any(ready in (WORK / f"{name}.{stream}").read_text(errors="replace") for stream in ("out", "err")):
            return None
        time.sleep(0.2)
    return f"ended with status {tracer.returncode}"


def _runs(case: dict[str, Any]) -> dict[str, Any]:
    _send(WARM_UP)
    runs = [_send(case["packets"]) for _ in range(case["runs"])]
    return {
        "instructions": [one["busy_us"] * 1000 / case["packets"] for one in runs],
        "per_second": [case["packets"] / one["total_us"] * 1e6 for one in runs],
        "sent": WARM_UP + case["packets"] * case["runs"],
    }


def _measured(case: dict[str, Any], tracer: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the results of the runs. Where instructions are measured, the tracer's process is stopped meanwhile."""
    if case["flood"]:
        return _runs(case)
    tracer.send_signal(signal.SIGSTOP)
    try:
        told = _runs(case)
        return {**told, "ran": _programs(case["packets"])} if case["programs"] else told
    finally:
        tracer.send_signal(signal.SIGCONT)


def _programs(packets: int) -> dict[str, tuple[float, float]]:
    """Return by program how often it ran per packet, and its instructions per packet."""
    Path("/proc/sys/kernel/bpf_stats_enabled").write_text("1")
    before = _statistics()
    _send(packets)
    after = _statistics()
    Path("/proc/sys/kernel/bpf_stats_enabled").write_text("0")
    none = (0, 0)
    return {
        name: ((runs - before.get(name, none)[0]) / packets, (time_ns - before.get(name, none)[1]) / packets)
        for name, (runs, time_ns) in after.items()
        if runs > before.get(name, none)[0]
    }


def _statistics() -> dict[str, tuple[int, int]]:
    told = json.loads(subprocess.run(["bpftool", "--json", "prog", "show"], check=True, capture_output=True).stdout)
    return {one["name"]: (one.get("run_cnt", 0), one.get("run_time_ns", 0)) for one in told if "name" in one}


def _pg(file: str, *words: str) -> None:
    for word in words:
        (PKTGEN / file).write_text(f"{word}\n")


def _reader() -> subprocess.Popen[bytes]:
    """Start a program whose socket takes what is sent to its address; its buffer holds all of a run."""
    program = (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.setsockopt(socket.SOL_SOCKET, 33, 1 << 28)\ns.bind(('{DELIVERED}', 9))\nprint('ready', flush=True)\n"
        "while True:\n    s.recv(100)"
    )
    reader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert reader.stdout and reader.stdout.readline() == b"ready\n"
    return reader


def _pktgen_setup(source: str, destination: str) -> None:
    mac = Path("/sys/class/net/eth0/address").read_text().strip()
    _pg("kpktgend_0", "rem_device_all", "add_device eth0@0")
    _pg(
        "eth0@0",
        "xmit_mode netif_receive",
        "pkt_size 60",
        "delay 0",
        f"dst_mac {mac}",
        f"src_min {source}",
        f"src_max {source}",
        f"dst {destination}",
        "udp_dst_min 9",
        "udp_dst_max 9",
    )


def _send(packets: int) -> dict[str, int]:
    """Send packets; return pktgen's own times: busy (without waiting for others on this CPU), and total."""
    _pg("eth0@0", f"count {packets}")
    _pg("pgctrl", "start")
    result = re.search(r"(\d+)\(c(\d+)\+d(\d+)\) usec", (PKTGEN / "eth0@0").read_text())
    assert result, (PKTGEN / "eth0@0").read_text()
    return {"total_us": int(result[1]), "busy_us": int(result[2])}


def _tap(device: str) -> subprocess.Popen[bytes]:
    """Start a tcpdump that discards what it reads; it must stay root, or it would take over the device file."""
    said: IO[bytes]
    with (WORK / f"tap-{device}").open("wb") as said:
        tap = subprocess.Popen(
            [shutil.which("tcpdump") or "/usr/bin/tcpdump", "-Z", "root", "-n", "-i", device, "-w", "/dev/null"],
            stderr=said,
        )
    while b"listening on" not in (WORK / f"tap-{device}").read_bytes():
        assert tap.poll() is None, (WORK / f"tap-{device}").read_text()
        time.sleep(0.2)
    return tap


if __name__ == "__main__":
    main()
