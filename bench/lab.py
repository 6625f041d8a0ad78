#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench-lab`: what tracing costs the traffic, in instructions per packet, and what is lost at the full rate.

    .venv/bin/python bench/lab.py [--kernel 6.1]... [--only WORD] [--no-write]

Needs no root. Boots an emulated machine with one CPU whose clock counts instructions, so that the figures are the same
on any host, however busy (within 1 %): pktgen's own busy time, divided by packets, is instructions per packet. The
packets go straight into the receive path of a bond's active slave (`xmit_mode netif_receive`), past two taps: a tcpdump
on the slave and one on the bond. The tracer's process is stopped while instructions are counted: what it does with
records is not included. All rows of a kernel are from one run of one machine. bench/guest.py is the guest's part.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout's own bondtrace

from run import PAGE, put, table

from bondtrace.errors import BondtraceError
from bondtrace.lab import apt, arches, kernels, machine

HERE = Path(__file__).resolve().parent
LIB = Path(machine.__file__).resolve().parent / "scenarios" / "lib.sh"
#: sleep=off: idle time is skipped. shift=0: an instruction takes a nanosecond.
COUNTING = ("-icount shift=0,sleep=off",)
ATTACHED = "bondtrace: attached"
TO_SOCKET = ", to a socket of UDP"  # a packet that a socket takes; in the other rows IP drops it
NOTHING = "tcp port 4242"  # what is sent is UDP
BPFTRACE = """
tracepoint:net:netif_receive_skb { printf("receive %p %d\\n", args->skbaddr, args->len); }
kprobe:tpacket_rcv { printf("tap %p %s\\n", arg0, ((struct net_device *)arg1)->name); @dev[tid] = arg1; }
kretprobe:tpacket_rcv { printf("tap done\\n"); }
kprobe:bond_handle_frame { printf("handler %p\\n", arg0); }
kretprobe:bond_handle_frame { printf("verdict %d\\n", retval); }
kprobe:ip_rcv { printf("ip %p %s\\n", arg0, ((struct net_device *)arg1)->name); }
tracepoint:skb:kfree_skb { printf("drop %p\\n", args->skbaddr); }
"""
PING = "ip netns exec gw ping -c 1 10.9.0.2"
PWRU_FUNCTIONS = ("__netif_receive_skb_one_core", "tpacket_rcv", "skb_copy_bits", "ip_rcv", "consume_skb")


def main() -> None:
    """Run the measurements of the command line, and write their tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", action="append", help="of the lab's (default: 6.1, 6.12 and 7.3)")
    parser.add_argument("--only", action="append", default=[], help="rows whose name has this word")
    parser.add_argument("--packets", type=int, default=4_000, help="in each of two runs")
    parser.add_argument("--flood", type=int, default=150_000, help="where losses are counted")
    parser.add_argument("--programs", action="store_true", help="also show instructions by BPF program")
    parser.add_argument("--out", type=Path, help="keep what the guest left here")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    sections: dict[str, list[str]] = {"cost": [], "sockets": [], "loss": [], "attach": []}
    for spec in options.kernel or ["6.1", "6.12", "7.3"]:
        kernel = kernels.resolve(spec, lambda text: print(text, file=sys.stderr))
        with tempfile.TemporaryDirectory(prefix="bondtrace-bench-") as name:
            out = (options.out / kernel.release if options.out else Path(name)).absolute()
            asked = cases(options.packets, options.flood)
            rows = run(kernel, out, [{**row, "programs": options.programs} for row in asked], options.only)
        if options.programs:
            print(program_table(rows), flush=True)
        tables = {
            "cost": cost_table([row for row in rows if not row["to_socket"]]),
            "sockets": cost_table([row for row in rows if row["to_socket"]]),
            "loss": loss_table(rows),
            "attach": start_table(rows),
        }
        for section, text in tables.items():
            sections[section].append(f"Linux {kernel.release}:\n\n{text}")
            print(f"{sections[section][-1]}\n", flush=True)
    for section, texts in sections.items():
        if not options.no_write:
            put(section, "\n\n".join(texts), PAGE)


def cases(packets: int, flood: int) -> list[dict[str, Any]]:
    """Return all rows, in the order of the table. ``floor``: the row that its cost is compared with."""
    rows = [_case("no tracer", [], packets)]
    for mechanism, options in (("kprobes", ["--kprobes"]), ("fentry", [])):
        floor, counted = f"{mechanism}, empty programs", f"{mechanism}, empty programs of the counting stages"
        live = _bondtrace("live", options)
        rows += [
            _case(floor, ["python3", str(HERE / "floor.py"), *options], packets),
            _case(f"{mechanism}, journeys", [*live, "--json"], packets, floor, kill=True),
            _case(f"{mechanism}, filtered out", [*live, "--json", NOTHING], packets, floor),
            _case(f"{mechanism}, another interface", [*_bondtrace("live", options, "bond1"), "--json"], packets, floor),
            _case(counted, ["python3", str(HERE / "floor.py"), "--counted", *options], packets),
            _case(f"{mechanism}, summary only", [*live, "--summary-only", "--json"], packets, counted),
        ]
    rows.append({**_case(f"no tracer{TO_SOCKET}", [], packets), "to_socket": True})
    for mechanism, options in (("kprobes", ["--kprobes"]), ("fentry", [])):
        live = [*_bondtrace("live", options), "--json"]
        for name, command in (("journeys", live), ("journeys with --sockets", [*live, "--sockets"])):
            row = _case(f"{mechanism}, {name}{TO_SOCKET}", command, packets, kill=True)
            rows.append({**row, "to_socket": True})
    rows += [
        _flood("record", [*_bondtrace("record", []), "-o", "/tmp/bench/flood.arrows"], flood),
        _flood("record, kprobes", [*_bondtrace("record", ["--kprobes"]), "-o", "/tmp/bench/kprobes.arrows"], flood),
        _flood("journeys as JSON", [*_bondtrace("live", []), "--json"], flood // 2),
        _flood("summary only", [*_bondtrace("live", []), "--summary-only", "--json"], flood),
    ]
    start = [sys.executable, str(HERE / "startup.py"), "--runs", "1", "--packet", PING, "--attach"]
    rows += [{**_case(f"start by {how}", [*start, how], 0, runs=0), "start": True} for how in ("kprobes", "fentry")]
    peers = [("bpftrace", ["bpftrace", "-e", BPFTRACE], "kprobes 5")]
    pwru = _pwru()
    if pwru:
        peers.append(("pwru", [str(pwru), "--filter-func", f"^({'|'.join(PWRU_FUNCTIONS)})$"], "Listening for events"))
    for name, command, ready in peers:
        rows += [_case(name, command, packets, ready=ready), _flood(name, command, flood // 4, ready)]
    return rows


def _flood(name: str, command: list[str], packets: int, ready: str = ATTACHED) -> dict[str, Any]:
    return {**_case(f"flood: {name}", command, packets, ready=ready, runs=1), "flood": True}


def _case(
    name: str,
    command: list[str],
    packets: int,
    floor: str = "",
    ready: str = ATTACHED,
    runs: int = 2,
    kill: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "command": command,
        "ready": ready,
        "packets": packets,
        "runs": runs,
        "floor": floor,
        "kill": kill,
        "flood": False,
        "start": False,
        "to_socket": False,
    }


def _bondtrace(command: str, options: list[str], iface: str = "bond0") -> list[str]:
    return [sys.executable, "-m", "bondtrace", command, *options, "--iface", iface]


def run(kernel: kernels.Kernel, out: Path, rows: list[dict[str, Any]], only: list[str]) -> list[dict[str, Any]]:
    """Return the rows with what was measured."""
    wanted = [row for row in rows if not only or not row["command"] or any(word in row["name"] for word in only)]
    named = {row["floor"] for row in wanted}
    out.mkdir(parents=True, exist_ok=True)
    (out / "cases.json").write_text(json.dumps([row for row in rows if row in wanted or row["name"] in named]))
    status = machine.run(
        kernel,
        ["python3", str(HERE / "guest.py"), str(out / "cases.json")],
        out,
        cpus=1,
        timeout_s=7200,
        env={"LAB_LIB": str(LIB), "LAB_OUT": str(out)},
        qemu_opts=COUNTING,
        on_output=lambda data: print(data.decode("utf-8", "replace"), end="", file=sys.stderr, flush=True),
    )
    if status:
        raise SystemExit(f"the guest's part failed with status {status}; see above")
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def _pwru() -> Optional[Path]:
    """Return the path of pwru, from the newest of Debian's suites that has it, unpacked in the lab's cache; ``None``
    where it is not available."""
    cache = kernels.cache_directory() / "bench"
    program = cache / "pwru" / "usr" / "bin" / "pwru"
    if program.exists():
        return program
    try:
        apt.require_apt()
        sources = apt.private_sources(apt.machine_sources(), apt.machine_codename(), apt.DEBIAN_CODENAMES)
        private = apt.PrivateApt(cache / "apt", sources, arches.native().name)
        private.update()
        with tempfile.TemporaryDirectory() as name:
            apt.unpack(private.download(["pwru"], Path(name))[0], cache / "pwru")
    except BondtraceError as error:
        print(f"no pwru: {error}", file=sys.stderr)
        return None
    return program


def cost_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of costs: instructions per packet, the smaller of the runs."""
    costs = {row["name"]: min(row["instructions"]) for row in rows if "instructions" in row}
    alone = next((cost for name, cost in costs.items() if name.startswith("no tracer")), 0.0)
    lines = []
    for row in rows:
        name = row["name"]
        if row["flood"] or row["start"]:
            continue
        if name not in costs:
            lines.append([name, row["problem"], "", "", ""])
            continue
        floor = costs.get(row["floor"])
        added = costs[name] - alone
        lines.append(
            [
                name,
                f"{costs[name]:,.0f}",
                f"{added:,.0f}" if row["command"] else "",
                f"{costs[name] - floor:,.0f}" if floor else "",
                f"{added / (floor - alone):.2f}" if floor else "",
            ]
        )
    return table(["tracer", "instructions per packet", "added", "above its empty programs", "times these"], lines)


def program_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of where a tracer's instructions are: how often each program runs, and its instructions."""
    lines = [
        [row["name"], program, f"{runs:.2f}", f"{instructions:.0f}"]
        for row in rows
        for program, (runs, instructions) in row.get("ran", {}).items()
    ]
    return table(["tracer", "program", "runs per packet", "instructions per packet"], lines)


def loss_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of losses: the fate of the packets that were sent."""
    lines = []
    for row in rows:
        if "instructions" not in row or not row["flood"]:
            continue
        delivered, lost = told(row)
        lines.append(
            [row["name"].partition(": ")[2], f"{row['sent']:,}", delivered, lost, f"{max(row['per_second']):,.0f}"]
        )
    return table(["tracer", "packets sent", "delivered", "reported lost", "packets per second"], lines)


def start_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of the start: what cannot be measured without kprobes, and beside it what can. Imports are left
    out: here they cost what the lab's file system costs."""
    started = {row["name"]: row["started"] for row in rows if row["start"]}
    names = {
        "types_and_symbols_s": "types (BTF) and symbols read",
        "compile_s": "compiled",
        "attach_s": "loaded and attached",
        "probes": "probes",
        "packet_to_line_s": "from the first packet to its line",
    }
    lines = [
        [text, *(f"{one[name]:g}" if name == "probes" else f"{one[name]:.2f}" for one in started.values())]
        for name, text in names.items()
        if started
    ]
    return table(["step", *started], lines)


def told(row: dict[str, Any]) -> tuple[str, str]:
    """Return what a tracer said that it delivered and lost."""
    if "bondtrace" not in row["command"]:
        return f"{row['lines']:,} lines", _lost_lines(row["said"])
    found = re.search(r'^\{.*"trust".*\}$', row["said"], re.MULTILINE)
    if found:
        summary = json.loads(found[0])
        counts = [summary.get("journeys", summary.get("passes", 0)), summary["trust"]["losses"].get("records lost", 0)]
    else:
        counts = [
            int(one[1]) if (one := re.search(pattern, row["said"])) else 0
            for pattern in (r"(\d+) passes", r"records lost (\d+)")
        ]
    return f"{counts[0]:,}", f"{counts[1]:,}"


def _lost_lines(said: str) -> str:
    return next((line.strip() for line in said.splitlines() if "lost" in line.lower()), "nothing said")


if __name__ == "__main__":
    main()
