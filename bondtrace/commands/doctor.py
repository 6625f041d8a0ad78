# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace doctor`: what this host allows, which probes would be used, and what is missing."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any, Optional

import click

from ..capture import capabilities
from ..capture.kernel import compiler, loader
from ..capture.kernel.btf import Btf
from ..capture.live.handlers import loading_of
from ..errors import BondtraceError
from ..format.stages import BEYOND_IP, essential
from ..net.pcap import Filter
from ..reporters.fitting import Column, drawn, width_of
from ..util.untrusted import printable
from .options import filter_of, json_option

_COLUMNS = (
    Column(("stage",)),
    Column(("reports",), least=12, wraps=True),
    Column(("attached",), least=9, wraps=True),
    Column(("probes",), least=30, wraps=True),
)


@click.command()
@click.option("--kprobes", is_flag=True, help="Attach by kprobes only, even where fentry is available.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Also print the kernel's full log for each program that it refuses, for a bug report.",
)
@json_option
@click.argument("filter", nargs=-1)
def doctor(kprobes: bool, verbose: bool, as_json: bool, filter: tuple[str, ...]) -> None:
    """Show what bondtrace can trace on this host, by trying: probes are attached and detached again.

    With FILTER, also whether this kernel accepts it. Exit status 1 if packets or the usual kinds of taps would not be
    seen.
    """
    packet_filter = filter_of(None, filter)
    findings = _examine(not kprobes, packet_filter)
    if as_json:
        print(json.dumps(findings))
    else:
        _print(findings, verbose)
    if not findings["can_trace"] or findings["does_not_see"]:
        sys.exit(1)


def _examine(fentry: bool, packet_filter: Optional[Filter]) -> dict[str, Any]:
    findings: dict[str, Any] = {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "root": os.geteuid() == 0,
        "filter": packet_filter.expression if packet_filter else None,
        "checks": [],
        "stages": [],
        "refusals": [],
        "can_trace": False,
        "does_not_see": [],
    }
    checks = findings["checks"]
    try:
        bcc = compiler.import_bcc()
        checks.append({"check": "bcc", "ok": True, "detail": f"{getattr(bcc, '__version__', '?')}"})
    except BondtraceError as error:
        checks.append({"check": "bcc", "ok": False, "detail": str(error)})
    try:
        kernel = loader.read_kernel()
        checks.append(
            {"check": "kernel type information (BTF)", "ok": True, "detail": f"{kernel.btf.type_count} types"}
        )
    except BondtraceError as error:
        checks.append({"check": "kernel type information (BTF)", "ok": False, "detail": str(error)})
    checks += [_capability(one) for one in capabilities.NEEDED]
    if all(check["ok"] for check in checks):
        checks += [_capability(one) for one in capabilities.HELPFUL]
        checks.append(drop_reasons(kernel.btf))
        _try_plan(findings, kernel, fentry, packet_filter)
    return findings


def _capability(one: capabilities.Capability) -> dict[str, Any]:
    """Return the check for a capability: is it available?"""
    there = capabilities.has(one)
    remedy = f"without it {one.without}" if one.without else "run it with sudo"
    return {"check": one.name, "ok": there, "detail": one.serves if there else f"{one.serves}; {remedy}"}


def drop_reasons(types: Btf) -> dict[str, Any]:
    """Return the check for drop reasons, without which bondtrace can trace: does this kernel have any?"""
    count = len(types.drop_reasons())
    return {
        "check": "drop reasons",
        "ok": count > 0,
        "detail": f"{count} names"
        if count
        else "this kernel gives none (Linux before 5.17): a drop is reported with its function only",
    }


def _try_plan(findings: dict[str, Any], kernel: loader.Kernel, fentry: bool, packet_filter: Optional[Filter]) -> None:
    """Attach briefly, as `live` would."""
    try:
        with loader.attached(
            lambda plan: loader.Tracer(kernel, plan, 1 << 20, packet_filter, compile_anew=True),
            lambda refused: loader.make_plan(kernel, fentry=fentry, refused=refused, asked=BEYOND_IP),
        ) as tracer:
            for stage in tracer.plan.waiting:
                if not any(probe.module and loading_of(probe.module) is None for probe in stage.probes):
                    tracer.attach_stage(stage.name)
            stages, waiting = tracer.plan.stages, tracer.plan.waiting
            findings["refusals"] = [
                {"probe": one.probe, "program": one.program, "said": one.sentence, "log": one.log}
                for one in tracer.refusals
            ]
            problem = _problem(tracer)
    except BondtraceError as failure:
        findings["checks"].append({"check": "BPF programs", "ok": False, "detail": str(failure)})
        return
    findings["stages"] = [
        {
            "stage": stage.name,
            "tells": stage.tells,
            "available": None if stage in waiting else stage.available,
            "missing": stage.missing,
            "without": stage.without,
            "when": "--sockets" if stage.name in BEYOND_IP else stage.when,
            "probes": [f"{probe.mechanism} {probe.symbol}" for probe in stage.probes],
        }
        for stage in (*stages, *waiting)
    ]
    if problem:
        findings["checks"].append({"check": "filter" if packet_filter else "attaching", "ok": False, "detail": problem})
    findings["can_trace"] = not problem
    findings["does_not_see"] = [stage.tells for stage in stages if stage.name in essential() and not stage.available]


def _problem(tracer: loader.Tracer) -> str:
    try:
        tracer.require_packets()
    except BondtraceError as error:
        return str(error).replace(loader.ELSEWHERE, "")
    return ""


def _print(findings: dict[str, Any], verbose: bool) -> None:
    print(f"kernel {findings['kernel']} ({findings['machine']})")
    for check in findings["checks"]:
        mark = "ok     " if check["ok"] else "MISSING"
        print(printable(f"  {mark} {check['check']}: {check['detail']}".rstrip(": ")))
    if findings["stages"]:
        rows = [
            [
                stage["stage"],
                stage["tells"],
                _attached(stage),
                "\n".join(map(printable, stage["probes"])) or f"{printable(stage['missing'])}\n-> {stage['without']}",
            ]
            for stage in findings["stages"]
        ]
        print(drawn(_COLUMNS, rows, "simple", width_of(sys.stdout)))
    _print_refusals(findings, verbose)
    print(_verdict(findings))


def _attached(stage: dict[str, Any]) -> str:
    """Return whether a stage is attached, as people read it."""
    if stage["available"] is False:
        return "NO"
    return f"with {stage['when']}" if stage["when"] else "yes"


def _print_refusals(findings: dict[str, Any], verbose: bool) -> None:
    """Print what the kernel refused, even if something else took its place; with ``verbose`` its full log."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for one in findings["refusals"]:
        alike.setdefault(one["said"], []).append(one)
    for said, refused in alike.items():
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        print(printable(f"refused: {refused[0]['probe']}{more}: {said}"))
        for one in refused if verbose else ():
            print(printable(f"  {one['probe']}, program {one['program']}:"))
            print("\n".join(f"    {printable(line)}" for line in one["log"].splitlines()))
    if findings["refusals"]:
        print("to report this, send what `bondtrace doctor --verbose` prints, and this distribution's name and release")


def _verdict(findings: dict[str, Any]) -> str:
    """Return the last line: can bondtrace trace here, and what would it not see?"""
    if findings["can_trace"] and findings["does_not_see"]:
        return f"bondtrace can trace here, but does not see {'; '.join(findings['does_not_see'])}"
    words = "trace here with this filter" if findings["filter"] else "trace here"
    if findings["can_trace"]:
        return f"bondtrace can {words}"
    elsewhere = "; `bondtrace lab` traces a bond in a virtual machine"
    is_without = bool(findings["stages"]) and not findings["filter"]
    return f"bondtrace cannot {words}{elsewhere if is_without else ''}"
