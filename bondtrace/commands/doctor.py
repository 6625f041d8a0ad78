# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace doctor`: what this host allows, which probes would be used, what is missing."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any

import click
from tabulate import tabulate

from .. import rights
from ..errors import BondtraceError
from ..foreign import printable
from ..kernel import loader
from ..kernel.btf import Btf
from .options import json_option


@click.command()
@click.option("--kprobes", is_flag=True, help="Attach by kprobes alone, even where fentry is to be had.")
@json_option
def doctor(kprobes: bool, as_json: bool) -> None:
    """Tell what bondtrace can trace on this host, by trying: probes are attached and detached again."""
    findings = _examine(not kprobes)
    if as_json:
        print(json.dumps(findings))
    else:
        _print(findings)
    if not findings["can_trace"]:
        sys.exit(1)


def _examine(fentry: bool) -> dict[str, Any]:
    findings: dict[str, Any] = {"kernel": platform.release(), "machine": platform.machine(), "root": os.geteuid() == 0,
                                "checks": [], "stages": [], "can_trace": False}
    checks = findings["checks"]
    try:
        bcc = loader.import_bcc()
        checks.append({"check": "bcc", "ok": True, "detail": f"{getattr(bcc, '__version__', '?')}"})
    except BondtraceError as error:
        checks.append({"check": "bcc", "ok": False, "detail": str(error)})
    try:
        kernel = loader.read_kernel()
        checks.append({"check": "kernel type information (BTF)", "ok": True,
                       "detail": f"{kernel.btf.type_count} types"})
    except BondtraceError as error:
        checks.append({"check": "kernel type information (BTF)", "ok": False, "detail": str(error)})
    checks += [_capability(one) for one in rights.NEEDED]
    if all(check["ok"] for check in checks):
        checks += [_capability(one) for one in rights.HELPFUL]
        checks.append(drop_reasons(kernel.btf))
        _try_plan(findings, kernel, fentry)
    return findings


def _capability(one: rights.Capability) -> dict[str, Any]:
    """A right that root has: is it here?"""
    there = rights.has(one)
    remedy = f"without it {one.without}" if one.without else "run it with sudo"
    return {"check": one.name, "ok": there, "detail": one.serves if there else f"{one.serves}; {remedy}"}


def drop_reasons(types: Btf) -> dict[str, Any]:
    """Does this kernel say why it drops a packet? Without that bondtrace traces all the same."""
    count = len(types.drop_reasons())
    return {"check": "drop reasons", "ok": count > 0, "detail": f"{count} names" if count else
            "this kernel gives none (Linux before 5.17): a drop is told with its function alone"}


def _try_plan(findings: dict[str, Any], kernel: loader.Kernel, fentry: bool) -> None:
    """Attach for a moment, as `live` would."""
    refused: frozenset[str] = frozenset()
    while True:
        plan = loader.make_plan(kernel, fentry=fentry, refused=refused)
        try:
            with loader.Tracer(kernel, plan, 1 << 20) as tracer:
                error = _attach(tracer)
                found, more = tracer.plan, tracer.refused
        except BondtraceError as failure:
            findings["checks"].append({"check": "BPF programs", "ok": False, "detail": str(failure)})
            return
        findings["stages"] = [
            {"stage": stage.name, "tells": stage.tells, "available": stage.available, "missing": stage.missing,
             "without": stage.without, "probes": [f"{probe.mechanism} {probe.symbol}" for probe in stage.probes]}
            for stage in found.stages]
        if not more:
            break
        refused |= more
    if error:
        findings["checks"].append({"check": "attaching", "ok": False, "detail": error})
    findings["can_trace"] = not error


def _attach(tracer: loader.Tracer) -> str:
    try:
        tracer.attach()
    except BondtraceError as error:
        return str(error)
    return ""


def _print(findings: dict[str, Any]) -> None:
    print(f"kernel {findings['kernel']} ({findings['machine']})")
    for check in findings["checks"]:
        mark = "ok     " if check["ok"] else "MISSING"
        print(printable(f"  {mark} {check['check']}: {check['detail']}".rstrip(": ")))
    if findings["stages"]:
        rows = [[stage["stage"], stage["tells"], "yes" if stage["available"] else "NO",
                 "\n".join(map(printable, stage["probes"])) or f"{printable(stage['missing'])}\n-> {stage['without']}"]
                for stage in findings["stages"]]
        print(tabulate(rows, headers=["stage", "tells", "attached", "probes"]))
    print("bondtrace can trace here" if findings["can_trace"] else "bondtrace cannot trace here")
