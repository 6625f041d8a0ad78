# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs bondtrace as a process of its own, and checks what its failures look like."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PING = ROOT / "examples" / "ping.arrows"
BONDTRACE = [sys.executable, "-m", "bondtrace"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# The first journey of ``build.short_trace`` as `show` prints it.
REPLY = """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (7.0 µs)
       1.0 µs  eth0                 rx tap [41004] (known only by its inode): captured
       2.0 µs  eth0                 rx tap [41001] (known only by its inode): captured
       3.0 µs  eth0                 bond_handle_frame → ANOTHER, next bond0 (active slave)
       4.0 µs  bond0 (orig eth0)    rx tap [41004] (known only by its inode): captured
       5.0 µs  bond0 (orig eth0)    rx tap tcpdump -i bond0 [41003]: captured
       6.0 µs  bond0 (orig eth0)    → ip_rcv (beyond IP not watched: --sockets)
    [41004] saw it twice: on eth0, then bond0
"""

INSTALL = (
    "install it from your distribution: `apt install python3-bpfcc` (Debian, Ubuntu), `dnf install python3-bcc` "
    "(Fedora)"
)
# What may be in the place of bcc, and what is said about it; TMP is where it is.
BCCS = [
    (
        "raise ImportError(\"No module named 'bcc'\")",
        f"the BPF compiler collection (bcc) is not installed for this Python; {INSTALL}",
    ),
    (
        "raise ImportError('libLLVM-99.so: cannot open shared object file')",
        f"bcc does not load here (libLLVM-99.so: cannot open shared object file); {INSTALL}",
    ),
    (
        "def convert(): pass",
        f"the `bcc` that this Python imports (TMP/bcc/__init__.py) is another project's; `pip uninstall bcc` and "
        f"{INSTALL}",
    ),
]


def bondtrace(*words, path=(), **more):
    """Run the command line. ``path`` comes before everything else in PYTHONPATH."""
    environment = {**os.environ, "TZ": "UTC", "PYTHONPATH": ":".join(map(str, [*path, ROOT]))}
    for name in ("NO_COLOR", "FORCE_COLOR", "SUDO_UID", "SUDO_GID"):
        environment.pop(name, None)
    return subprocess.run(
        [*BONDTRACE, *map(str, words)],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        **more,
    )


def failure(done, status):
    """Return the message of a command (of ``bondtrace`` here, or of the fixture ``run``) that failed with this status:
    at most two lines on stderr, nothing on stdout."""
    found, out, err = done if isinstance(done, tuple) else (done.returncode, done.stdout, done.stderr)
    assert (found, out) == (status, "")
    assert "Traceback" not in err and 0 < len(err.splitlines()) <= 2
    return err


def other_bcc(directory, text):
    """Make a package ``bcc`` of this text in a directory; return the directory."""
    (directory / "bcc").mkdir()
    (directory / "bcc" / "__init__.py").write_text(text)
    return directory
