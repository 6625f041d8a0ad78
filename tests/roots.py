# SPDX-License-Identifier: GPL-2.0-or-later
"""Fresh machines for tests: minimal root directories of Debian releases, in which commands are run. As root only."""

import os
import subprocess
import time

import pytest

from bondtrace.lab import apt

#: Ends with all that it started, and its mounts with it: they are in namespaces of its own.
ENTER = """
mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount -t sysfs sysfs "$1/sys" &&
mount --rbind /dev "$1/dev" && exec chroot "$1" su - "$2" -c "$3"
"""


def make_root(root, codename, packages):
    """A minimal Debian in a directory, with these packages, whose apt has the sources of this machine's."""
    sources = root.with_suffix(".sources")
    sources.write_text(apt.userland_sources(apt.machine_sources(), apt.machine_codename(), codename))
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            '--aptopt=Acquire::Check-Valid-Until "false"',  # sid's index may have expired; its signature stays valid
            codename,
            root,
            sources,
        ],
        check=True,
        env={**os.environ, "TMPDIR": str(root.parent)},
    )
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # as an installer writes it


def add_user(root, user):
    """An ordinary user with sudo, whose home nobody else may enter."""
    subprocess.run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", user], check=True)
    (root / "home" / user).chmod(0o700)
    (root / "etc/sudoers.d/user").write_text(f"{user} ALL=(ALL) NOPASSWD: ALL\n")


class Machine:
    """A fresh machine: run(command) as its user, in the user's home."""

    def __init__(self, root, user, figure):
        self.root, self.user, self._figure = root, user, figure

    def run(self, command, network=True, status=0):
        """What it prints, errors included. A command that ends with another status is a failure of the test."""
        begin = time.monotonic()
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
        done = subprocess.run(
            [*apart, "bash", "-c", ENTER, "-", self.root, self.user, command],
            check=False,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"]},
        )
        self._figure(f"{self.root.name}, {self.user}: {command.splitlines()[0]}: {time.monotonic() - begin:.0f} s")
        if done.returncode != status:
            print(done.stdout)
            pytest.fail(f"{self.root.name}: status {done.returncode} of: {command}")
        return done.stdout
