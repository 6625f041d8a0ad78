# SPDX-License-Identifier: GPL-2.0-or-later
"""User lands: which one is meant, how it is made, and what the guest is told of it; without a machine."""

import os
import platform
import stat

import pytest

from bondtrace.errors import BondtraceError, UsageError
from bondtrace.lab import apt, userlands
from bondtrace.lab.arches import AMD64, ARM64

SOURCES = """\
Types: deb
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.fixture
def mmdebstrap(tmp_path, monkeypatch):
    """A machine with an archive and a mmdebstrap of this body; it is given the words that it was called with, a line
    each, and the root directory as $root."""

    def put(body):
        program = tmp_path / "bin" / "mmdebstrap"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/bash\nprintf "%s\\n" "$@" >{tmp_path}/words\n'
            f'cat "${{@: -1}}" >{tmp_path}/sources\nroot="${{@: -2:1}}"\n{body}\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("BONDTRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(apt, "require_apt", lambda: None)
    monkeypatch.setattr(apt, "machine_codename", lambda: "bookworm")
    monkeypatch.setattr(apt, "machine_sources", lambda: apt.parse_deb822(SOURCES))
    put('mkdir -p "$root/usr/bin"; touch "$root/usr/bin/python3"')
    return put


def test_a_release_is_made_once_from_the_machines_own_archive(mmdebstrap, tmp_path):
    told = []
    found = userlands.resolve("13", told.append)
    again = userlands.resolve("trixie", told.append)
    # then both are the same, made with all that bondtrace and the scenarios need
    assert found == again == userlands.Userland("trixie", tmp_path / "cache/userlands/trixie")
    assert told == ["making the user land trixie"]
    words = (tmp_path / "words").read_text().splitlines()
    assert f"--include={','.join(userlands.PACKAGES)}" in words and "trixie" in words
    assert (tmp_path / "sources").read_text().splitlines() == [
        "Types: deb",
        "URIs: http://archive.example/debian",
        "Suites: trixie",
        "Components: main",
        "Signed-By: /usr/share/keyrings/a.gpg",
        "",
        "Types: deb",
        "URIs: http://security.example/debian-security",
        "Suites: trixie-security",
        "Components: main",
    ]


def test_sid_has_no_security_archive(mmdebstrap, tmp_path):
    userlands.resolve("sid")
    sources = (tmp_path / "sources").read_text()
    assert "Suites: sid\n" in sources and "security" not in sources


@pytest.fixture
def on_amd64(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_one_for_another_processor_is_unpacked_and_finished_without_running_its_programs(
    mmdebstrap, tmp_path, on_amd64
):
    # given a release whose packages have their libraries, and a shadow file from a package
    libraries = '"$root/usr/lib/aarch64-linux-gnu"'
    mmdebstrap(f'mkdir -p "$root/usr/bin" "$root/etc" {libraries}; touch "$root/usr/bin/python3" "$root/usr/bin/mawk"')
    told = []
    found = userlands.resolve("13", told.append, ARM64)
    again = userlands.root_for("trixie", ARM64)
    # then it has a place beside this processor's
    assert found == userlands.Userland("trixie-arm64", tmp_path / "cache/userlands/trixie-arm64")
    assert (again, told) == (found.root, ["making the user land trixie-arm64"])
    words = (tmp_path / "words").read_text().splitlines()
    assert {"--variant=extract", "--architectures=arm64", "--skip=check/qemu"} <= set(words)
    assert "--variant=minbase" not in words and f"--include={','.join(userlands.UNPACKED)}" in words
    # and what the packages' scripts would have made
    assert os.readlink(found.root / "usr/bin/awk") == "mawk"
    assert os.readlink(found.root / "usr/lib/aarch64-linux-gnu/libblas.so.3") == "blas/libblas.so.3"
    assert "tcpdump:" in (found.root / "etc/passwd").read_text() and (found.root / "usr/lib/modules").is_dir()


def test_another_processor_has_a_user_land_even_where_none_is_named(mmdebstrap, tmp_path, on_amd64):
    mmdebstrap('mkdir -p "$root/usr/bin" "$root/etc" "$root/usr/lib/aarch64-linux-gnu"')
    assert userlands.root_for(None, AMD64) is None
    assert userlands.root_for(None, ARM64) == tmp_path / "cache/userlands/bookworm-arm64"


def test_one_with_other_packages_is_made_anew(mmdebstrap, tmp_path, monkeypatch):
    root = userlands.resolve("trixie").root
    (root / "old").touch()
    monkeypatch.setattr(userlands, "PACKAGES", ("python3",))
    assert userlands.resolve("trixie").root == root
    assert not (root / "old").exists()


def test_one_that_cannot_be_made_leaves_nothing_and_says_why(mmdebstrap, tmp_path):
    mmdebstrap('mkdir -p "$root/usr"; echo "I: running" >&2; echo "E: no such suite" >&2; echo "W: end" >&2; exit 25')
    with pytest.raises(BondtraceError, match=r"^mmdebstrap cannot make the user land trixie: E: no such suite$"):
        userlands.resolve("trixie")
    assert list((tmp_path / "cache/userlands").iterdir()) == []


def test_without_mmdebstrap_the_remedy_is_said(mmdebstrap, monkeypatch):
    monkeypatch.setattr(userlands.shutil, "which", lambda name: None)
    with pytest.raises(BondtraceError, match="apt install mmdebstrap"):
        userlands.resolve("trixie")


def test_a_root_directory_of_ones_own_is_taken_as_it_is(tmp_path):
    (tmp_path / "mine/usr/bin").mkdir(parents=True)
    (tmp_path / "mine/usr/bin/python3").symlink_to("python3.99")  # leads nowhere outside of it
    assert userlands.resolve(str(tmp_path / "mine")) == userlands.Userland("mine", tmp_path / "mine")


@pytest.mark.parametrize("spec", ["buster", "/nowhere"])
def test_what_is_no_user_land_is_refused(spec):
    with pytest.raises(UsageError) as raised:
        userlands.resolve(spec)
    assert str(raised.value) == (
        f"no user land {spec}: give one of bookworm, trixie, sid, or a root directory that has usr/bin/python3"
    )
