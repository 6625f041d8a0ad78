# SPDX-License-Identifier: GPL-2.0-or-later
"""Completions of values for a shell: devices, namespaces, scenarios, eras; names of the recording in the line.

They need no root and use no kernel interface that could block. Of a recording only the begin is read.

Invariant: only names of letters, digits and ``_ . @ + -`` are offered. A device may be called ``$(reboot)``, and a
shell puts a completion on the command line unquoted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Optional

import click
from click.shell_completion import CompletionItem

from ..analysis.eras import ERAS
from ..analysis.names import last_labels
from ..analysis.scene import Scene
from ..errors import BondtraceError
from ..util.pipes import STDIO
from ..util.untrusted import PLAIN_NAME

Items = list["CompletionItem"]  # in quotes: generic only in later versions of click

_DEVICES = "/sys/class/net"
_PATHS = (".", "/", "~")
_BATCHES = 4  # of a recording: the first has the devices and taps of its start


def devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the network devices of this namespace."""
    try:
        there = [name for name in os.listdir(_DEVICES) if os.path.isdir(os.path.join(_DEVICES, name))]
    except OSError:
        return []
    return _items(dict.fromkeys(sorted(there), ""), incomplete)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the namespaces that have a name, as `ip netns` lists them; for what looks like a path, files."""
    from ..capture.host.namespaces import NAMED_DIRECTORIES

    if incomplete.startswith(_PATHS):
        return [CompletionItem(incomplete, type="file")]
    found: set[str] = set()
    for directory in NAMED_DIRECTORIES:
        try:
            found.update(os.listdir(directory))
        except OSError:
            continue
    return _items(dict.fromkeys(sorted(found), ""), incomplete)


def scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the lab's scenarios with their titles; for what looks like a path, files."""
    from .. import lab

    if incomplete.startswith(_PATHS):
        return [CompletionItem(incomplete, type="file")]
    return _items({one.name: one.title for one in lab.scenarios()}, incomplete)


def eras(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the kernels of --as-if."""
    return _items({era.name: era.kernels for era in ERAS}, incomplete)


def recorded_devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the devices of the recording in the line; those of this namespace without one."""
    from ..analysis import names

    scene = _scene(ctx)
    return _items(dict.fromkeys(names.devices(scene), ""), incomplete) if scene else devices(ctx, param, incomplete)


def taps(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the taps of the recording in the line: inodes, with what they are; names that need no quotes."""
    scene = _scene(ctx)
    if scene is None:
        return []
    last = {inode: history.last_known() for inode, history in scene.taps.items()}
    labels = last_labels(scene)
    programs = {process.comm: "" for tap in last.values() if tap for process in tap.processes}
    return _items({**programs, **{str(inode): labels.get(inode, "") for inode in last}}, incomplete)


def drop_reasons(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the reasons for drops of the recording's kernel."""
    from ..analysis import names

    scene = _scene(ctx)
    return _items(dict.fromkeys(names.drop_reasons(scene), ""), incomplete) if scene else []


def _scene(ctx: click.Context) -> Optional[Scene]:
    """Return what the begin of the first recording in the line tells; ``None`` where that is not known."""
    from ..format.recording import Recording

    for word in (one for one in ctx.params.get("files") or () if Path(one) != STDIO):
        with suppress(BondtraceError, ValueError, OSError):
            scene = Scene()
            for batch in islice(Recording(Path(word)).batches(), _BATCHES):
                for event in batch.events:
                    scene.apply(event)
            return scene
    return None


def _items(helps: dict[str, str], incomplete: str) -> Items:
    return [
        CompletionItem(name, help=text or None)
        for name, text in helps.items()
        if name.startswith(incomplete) and PLAIN_NAME.fullmatch(name)
    ]
