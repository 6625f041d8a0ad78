# SPDX-License-Identifier: GPL-2.0-or-later
"""Completions of values for a shell: devices, namespaces, scenarios, eras.

They need no root and use no kernel interface that could block.

Invariant: only names of letters, digits and ``_ . @ + -`` are offered. A device may be called ``$(reboot)``, and a
shell puts a completion on the command line unquoted.
"""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import CompletionItem

from ..analysis.eras import ERAS

Items = list["CompletionItem"]  # in quotes: generic only in later versions of click

_DEVICES = "/sys/class/net"
_SAFE = re.compile(r"[\w.@+-]+", re.ASCII)
_PATHS = (".", "/", "~")


def devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the network devices of this namespace."""
    try:
        names = [name for name in os.listdir(_DEVICES) if os.path.isdir(os.path.join(_DEVICES, name))]
    except OSError:
        return []
    return _items(dict.fromkeys(sorted(names), ""), incomplete)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the namespaces that have a name, as `ip netns` lists them; for what looks like a path, files."""
    from ..capture.host.namespaces import NAMED_DIRECTORIES

    if incomplete.startswith(_PATHS):
        return [CompletionItem(incomplete, type="file")]
    names: set[str] = set()
    for directory in NAMED_DIRECTORIES:
        try:
            names.update(os.listdir(directory))
        except OSError:
            continue
    return _items(dict.fromkeys(sorted(names), ""), incomplete)


def scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the lab's scenarios with their titles; for what looks like a path, files."""
    from .. import lab

    if incomplete.startswith(_PATHS):
        return [CompletionItem(incomplete, type="file")]
    return _items({one.name: one.title for one in lab.scenarios()}, incomplete)


def eras(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the kernels of --as-if."""
    return _items({era.name: era.kernels for era in ERAS}, incomplete)


def _items(helps: dict[str, str], incomplete: str) -> Items:
    return [
        CompletionItem(name, help=text or None)
        for name, text in helps.items()
        if name.startswith(incomplete) and _SAFE.fullmatch(name)
    ]
