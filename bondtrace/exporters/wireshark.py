# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace as an interface of Wireshark: what it says of itself in the extcap protocol, and how it is installed.

Invariant: only devices are offered whose names are letters, digits and ``_ . @ + -``, as the protocol quotes nothing.
Source: extcap(4), and the chapter on extcap in Wireshark's Developer's Guide.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from ..errors import UsageError
from ..format.wire import SNAPLEN_MAX
from ..util.untrusted import PLAIN_NAME
from ..version import __version__

ANY = "bondtrace"
LUA = Path(__file__).with_name("bondtrace.lua")
_DEVICES = Path("/sys/class/net")
_PREFIX = f"{ANY}-"
_ASK_S = 20
_SINCE_4_2 = Path("~/.local/lib/wireshark/extcap")
_BEFORE_4_2 = Path("~/.config/wireshark/extcap")
_LUA_FOLDER = Path("~/.local/lib/wireshark/plugins")


def interfaces(devices: Path = _DEVICES) -> list[str]:
    """Return the lines that list the interfaces: one for each device with others below it, bonds first, and one for all
    devices."""
    stacked = sorted(
        (not (device / "bonding").exists(), device.name)
        for device in (devices.iterdir() if devices.is_dir() else ())
        if PLAIN_NAME.fullmatch(device.name) and any(device.glob("lower_*"))
    )
    names = [name for _, name in stacked]
    return [
        f"extcap {{version={__version__}}}{{display=bondtrace}}",
        *(f"interface {{value={_PREFIX}{name}}}{{display={name} with taps and verdicts}}" for name in names),
        f"interface {{value={ANY}}}{{display=Every device with taps and verdicts}}",
    ]


def device_of(interface: str) -> Optional[str]:
    """Return the device that an interface is for; ``None`` for all devices.

    :raises UsageError: for an interface that is not bondtrace's.
    """
    if interface == ANY:
        return None
    if not interface.startswith(_PREFIX):
        raise UsageError(
            f"{interface!r} is no interface of bondtrace: `bondtrace extcap --extcap-interfaces` lists them"
        )
    return interface[len(_PREFIX) :]


def link_types() -> list[str]:
    """Return the line on link types: a formality, as each interface of the pcapng has its own."""
    return ["dlt {number=1}{name=EN10MB}{display=As each device has it}"]


def arguments(interface: str) -> list[str]:
    """Return the lines that describe the options of an interface's capture, which are those of a trace."""
    of_all = [
        (
            "--iface",
            "Devices",
            "With their slaves, what is stacked on them and the tunnels over them; several with spaces between. "
            "Empty: every device of the network namespace",
            "{type=string}",
        )
    ]
    found = [
        *(of_all if device_of(interface) is None else ()),
        (
            "--netns",
            "Network namespace",
            "A name of `ip netns`, a pid or a path. Empty: the current one",
            "{type=string}",
        ),
        ("--sockets", "Also beyond IP", "Which sockets take or refuse the packets", "{type=boolflag}{default=false}"),
        (
            "--snaplen",
            "Bytes of each packet",
            f"At most {SNAPLEN_MAX}. 0: the headers only, at most 80 bytes",
            f"{{type=unsigned}}{{range=0,{SNAPLEN_MAX}}}{{default=0}}",
        ),
    ]
    return [
        f"arg {{number={number}}}{{call={call}}}{{display={display}}}{{tooltip={tooltip}}}{kind}{{required=false}}"
        for number, (call, display, tooltip, kind) in enumerate(found)
    ]


# --- installing it -------------------------------------------------------------------------------------


class Folders(NamedTuple):
    """Where Wireshark looks for what belongs to one user; ``known`` if it was asked."""

    extcap: Path
    lua: Path
    known: bool


def folders(environment: Mapping[str, str] = os.environ) -> Folders:
    """Return Wireshark's personal folders, as the installed one names them."""
    program = next(
        filter(None, (shutil.which(one, path=environment.get("PATH")) for one in ("tshark", "wireshark"))), ""
    )
    told: dict[str, str] = {}
    try:
        asked = [program, "-G", "folders"]
        done = subprocess.run(
            asked, env=dict(environment), capture_output=True, text=True, timeout=_ASK_S, check=True, errors="replace"
        )
        told = {name: place.strip() for name, _, place in (line.partition(":") for line in done.stdout.splitlines())}
    except (OSError, subprocess.SubprocessError):
        pass
    known = "Personal Lua Plugins" in told
    extcap = Path(told.get("Personal Extcap path") or (_BEFORE_4_2 if known else _SINCE_4_2))
    lua = Path(told.get("Personal Lua Plugins") or _LUA_FOLDER)
    return Folders(extcap.expanduser(), lua.expanduser(), known)


def program() -> list[str]:
    """Return how this bondtrace is called, in any directory. Python's ``-I`` keeps it from importing what lies there,
    which root must not."""
    script = Path(sys.executable).with_name("bondtrace")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-I", "-m", "bondtrace"]


def wrapper(called: list[str]) -> str:
    """Return the script that Wireshark calls: only capturing needs root.

    Where sudo would refuse, bondtrace itself says what it needs: tshark waits for somebody to open its pipe.
    """
    line = f'{shlex.join([*called, "extcap"])} "$@"'
    return (
        "#!/bin/sh\n"
        'case " $* " in *" --capture "*)\n'
        f'    [ "$(id -u)" = 0 ] || ! sudo -n -l {line} > /dev/null 2>&1 || exec sudo -n {line} ;;\n'
        "esac\n"
        f"exec {line}\n"
    )


def how_to(where: Folders, called: list[str], user: str, is_own: bool) -> str:
    """Return what to type so that Wireshark has the interfaces and the fields.

    :param is_own: can this user change the program, which root is to run?
    """
    script = where.extcap / "bondtrace"
    guess = "" if where.known else f"\n#    (It was not found, or does not answer. Before 4.2 that is {_BEFORE_4_2}.)"
    return f"""\
# 1. The interfaces: a script in Wireshark's personal extcap folder.{guess}
mkdir -p {shlex.quote(str(where.extcap))}
cat > {shlex.quote(str(script))} <<'END'
{wrapper(called)}END
chmod +x {shlex.quote(str(script))}

# 2. {_rights(called, user, is_own)}

# 3. Fields to filter by (bondtrace.outcome == "captured"): a script in the folder of Lua plugins.
mkdir -p {shlex.quote(str(where.lua))}
cp {shlex.quote(str(LUA))} {shlex.quote(str(where.lua))}/

# Without 1 and 2, also from another host (ssh HOST sudo ...):
# sudo bondtrace record -o - --iface bond0 | bondtrace export - --format pcapng -o - | wireshark -k -i -
"""


def _rights(called: list[str], user: str, is_own: bool) -> str:
    """Return how this user may trace, as a comment of the shell after its first "# "."""
    if user == "root":
        return "Tracing needs root, which you are."
    if is_own:
        return (
            f"Tracing needs root. {user} can change this bondtrace ({called[0]}): if sudo ran it as root, {user}\n"
            "#    would be root. Install bondtrace for all users first, or use the pipe below."
        )
    return (
        f"Tracing needs root: sudo has to let {user} capture without a password, by this line in a file of its own\n"
        "#    (sudo visudo -f /etc/sudoers.d/bondtrace):\n"
        f"#    {user} ALL=(root) NOPASSWD: {shlex.join([*called, 'extcap'])} --capture *"
    )


def can_change(called: list[str]) -> bool:
    """Can the calling user, who is not root, change the program or the package?"""
    places = [Path(called[0]), Path(called[0]).parent, Path(__file__), Path(__file__).parent, LUA.parents[1]]
    return os.geteuid() != 0 and any(os.access(place.resolve(), os.W_OK) for place in places)
