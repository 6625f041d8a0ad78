# SPDX-License-Identifier: GPL-2.0-or-later
"""New files: whose they are, over what they are never written, and what others may do to their way meanwhile."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from bondtrace.errors import UsageError
from bondtrace.exporters.output import Output
from bondtrace.format.recording import Recorder
from bondtrace.util import files
from build import events, received, record


def writers(path, force):
    """Everything that makes a file of that name."""
    return [lambda: Recorder(path, force), lambda: Output(path, force)]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["symbolic link", "dangling link", "pipe", "device", "directory"])
def test_only_regular_files_are_overwritten(tmp_path, kind, force):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    path = tmp_path / "out"
    if kind.endswith("link"):
        path.symlink_to(precious if kind == "symbolic link" else tmp_path / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/null")
    before = path.lstat()

    for write in writers(path, force):
        with pytest.raises(UsageError) as caught:
            write()
        word = "symbolic link" if kind.endswith("link") else kind
        assert str(caught.value) == (
            f"{path} is a {word}, not a regular file; name another file"
            if force
            else f"{path} already exists; name another file, or use --force to overwrite it"
        )
    after = path.lstat()
    assert (after.st_mode, after.st_uid, after.st_ino) == (before.st_mode, before.st_uid, before.st_ino)
    assert precious.read_text() == "precious" and not (tmp_path / "nothing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    "uid, gid, owner",
    [
        ("1234", "5678", (1234, 5678)),
        ("1234", "", (1234, 0)),
        ("", "5678", (0, 0)),
        ("-1", "0", (0, 0)),
        ("x", "y", (0, 0)),
        ("1234", "$(id)", (1234, 0)),
        ("99999999999999999999", "1", (0, 0)),
        ("٣", "1", (0, 0)),
    ],
)
def test_under_sudo_files_are_the_callers(tmp_path, monkeypatch, uid, gid, owner):
    monkeypatch.setenv("SUDO_UID", uid)
    monkeypatch.setenv("SUDO_GID", gid)
    old = os.umask(0)
    try:
        record(tmp_path / "x.arrows", (received(), events()))
        with Output(tmp_path / "y") as output:
            output.text.write("y")
    finally:
        os.umask(old)
    assert {path.name for path in tmp_path.iterdir()} == {"x.arrows", "y"}
    for path in tmp_path.iterdir():
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (*owner, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory and a link of others")
def test_a_directory_that_another_user_planted_is_not_followed(tmp_path):
    # given a directory as /tmp is, of one user, in which another planted a link to a directory
    sticky, target = tmp_path / "sticky", tmp_path / "target"
    sticky.mkdir(mode=0o1777)
    sticky.chmod(0o1777)
    target.mkdir()
    (sticky / "link").symlink_to(target)
    os.chown(sticky / "link", 1234, 1234, follow_symlinks=False)

    # nor where a link of ours leads over it
    (tmp_path / "ours").symlink_to("sticky/link")

    for way in (sticky / "link", tmp_path / "ours"):
        for write in writers(way / "out", False):
            with pytest.raises(Exception, match=r"Permission denied; name another file"):
                write()
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("force", [False, True])
def test_what_others_do_to_the_way_meanwhile_leads_nowhere_else(tmp_path, monkeypatch, force):
    # given a directory that is looked at, and then moved away, with a link in its place
    way, target, moved = (tmp_path / name for name in ("way", "target", "moved"))
    target.mkdir()
    really = os.open

    def swapped(path, flags, *more, **where):
        if flags & os.O_CREAT and "out" in str(path) and not way.is_symlink():
            way.rename(moved)
            way.symlink_to(target)
        return really(path, flags, *more, **where)

    for write in (
        lambda: record(way / "out", (received(), events()), force=force),
        lambda: exported(way / "out", force),
    ):
        way.mkdir()
        if force:
            (way / "out").write_text("old")
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", swapped)
            write()
        # then everything happens where it was
        assert [one.name for one in moved.iterdir()] == ["out"] and (moved / "out").stat().st_size > 3
        assert list(target.iterdir()) == []
        way.unlink()
        shutil.rmtree(moved)


def exported(path, force):
    with Output(path, force) as output:
        output.text.write("exported")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_only_a_directory_that_was_made_is_given_to_the_caller(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "1234")
    precious, way = tmp_path / "precious", tmp_path / "way"
    precious.mkdir()
    really = os.mkdir

    def swapped(*words, **where):
        really(*words, **where)
        way.rename(tmp_path / "moved")
        way.symlink_to(precious)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="Not a directory"):
        patched.setattr(os, "mkdir", swapped)
        files.make_directory(way)
    assert precious.stat().st_uid == 0

    files.make_directory(precious)  # which is there
    assert precious.stat().st_uid == 0
    files.make_directory(tmp_path / "new")
    assert (tmp_path / "new").stat().st_uid == 1234


@pytest.mark.parametrize("way", ["/proc/self/cwd", "/proc/self/root/TMP", "link", ".", "up/../link/.", "/TMP/absolute"])
def test_ways_that_lead_to_a_directory(tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there" / "up").mkdir(parents=True)
    (tmp_path / "up").symlink_to("there/up")
    (tmp_path / "there" / "link").symlink_to("..")
    (tmp_path / "link").symlink_to("there/../there/link")
    (tmp_path / "absolute").symlink_to(tmp_path / "link")

    exported(Path(way.replace("/TMP", str(tmp_path))) / "out", False)
    assert (tmp_path / "out").read_text() == "exported"


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(Exception, match="Too many levels of symbolic links"):
        exported(tmp_path / "a" / "out", False)


def no_links(*_, **__):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch, links):
    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", no_links)
        exported(tmp_path / "out", False)
        assert (tmp_path / "out").read_text() == "exported"
        (tmp_path / "out").unlink()
    path = tmp_path / "out"
    with pytest.raises(UsageError, match="already exists"), Output(path) as output:
        output.text.write("new")
        path.write_text("another's")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"out": "another's"}


def test_a_name_of_its_own_is_found_for_what_is_not_whole(tmp_path):
    long = tmp_path / ("x" * 255)
    with Output(long) as output:
        output.text.write("whole")
    assert long.read_text() == "whole"
    assert len(files.aside_of(long)) < 255
