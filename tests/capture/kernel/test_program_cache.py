# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiled programs that are kept: found again, and only where they are right and nobody else can have written them."""

import importlib.util
import os

import pytest

from bondtrace.capture.kernel import compiler, program_cache
from bondtrace.capture.kernel.programs import Programs
from bondtrace.util.cache import programs_directory


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """The texts that were compiled, in turn; what is kept is in a directory of its own."""
    texts = []

    def compile_programs(text):
        texts.append(text)
        return Programs((), {text: b"12345678"})

    monkeypatch.setenv("BONDTRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "compile_programs", compile_programs)
    return texts


def kept():
    return sorted(programs_directory().iterdir())


def test_the_same_text_is_compiled_once(compiled):
    first, again, other = (program_cache.compiled(text) for text in ("a", "a", "b"))
    assert (first, compiled) == (again, ["a", "b"])
    assert (again.code, other.code) == ({"a": b"12345678"}, {"b": b"12345678"})
    assert programs_directory().stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in kept()] == [0o600, 0o600]


def other_kernel(monkeypatch):
    here = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*here[:2], "9.9", *here[3:])))


FACTS = {
    "kernel": other_kernel,
    "bcc": lambda monkeypatch: monkeypatch.setattr(program_cache, "_bcc", lambda: ("another",)),
    "bondtrace": lambda monkeypatch: monkeypatch.setattr(program_cache, "__version__", "9.9"),
    "options": lambda monkeypatch: monkeypatch.setattr(compiler, "OPTIONS", ("-O3",)),
}


@pytest.mark.parametrize("fact", FACTS)
def test_it_is_compiled_again_where_anything_else_has_changed(compiled, monkeypatch, fact):
    program_cache.compiled("a")
    FACTS[fact](monkeypatch)
    program_cache.compiled("a")
    assert compiled == ["a", "a"]


def test_a_bcc_of_another_time_is_another(monkeypatch, tmp_path):
    package = tmp_path / "bcc"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError  # it is not loaded to be told apart\n")
    found = importlib.util.spec_from_file_location("bcc", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    first = program_cache.key("a")
    assert program_cache.key("a") == first
    os.utime(package / "__init__.py", ns=(1, 1))
    assert program_cache.key("a") != first


def damaged(file):
    file.write_bytes(file.read_bytes()[:-3])


def linked(file):
    file.rename(file.parent / "elsewhere")
    file.symlink_to(file.parent / "elsewhere")


WRONG = {
    "damaged": damaged,
    "a symbolic link": linked,
    "writable by others": lambda file: file.chmod(0o666),
    "in a directory that is": lambda file: file.parent.chmod(0o777),
    "too large": lambda file: os.truncate(file, 20 << 20),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_trusted_is_compiled_again(compiled, wrong):
    program_cache.compiled("a")
    WRONG[wrong](kept()[0])
    assert program_cache.compiled("a").code == {"a": b"12345678"}
    assert compiled == ["a", "a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to own files as another user")
@pytest.mark.parametrize("whose", ["file", "directory"])
def test_another_users_programs_are_not_loaded(compiled, whose):
    program_cache.compiled("a")
    os.chown(kept()[0] if whose == "file" else programs_directory(), 1234, -1)
    program_cache.compiled("a")
    assert compiled == ["a", "a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to own files as another user")
def test_root_writes_nothing_into_a_users_home(compiled, monkeypatch, tmp_path):
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 1234, -1)
    monkeypatch.setenv("BONDTRACE_CACHE", str(tmp_path / "home" / ".cache" / "bondtrace"))
    program_cache.compiled("a")
    assert list((tmp_path / "home").iterdir()) == []


def test_where_nothing_can_be_kept_nothing_else_changes(compiled, monkeypatch):
    monkeypatch.setenv("BONDTRACE_CACHE", "/proc/nowhere")
    assert program_cache.compiled("a") == program_cache.compiled("a")
    assert compiled == ["a", "a"]


def test_what_is_kept_is_used_where_it_cannot_be_touched(compiled, monkeypatch):
    program_cache.compiled("a")

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    program_cache.compiled("a")
    assert compiled == ["a"]


def test_the_programs_that_were_not_used_for_longest_go(compiled, monkeypatch):
    monkeypatch.setattr(program_cache, "_KEPT_MAX", 2)
    for text in ("a", "b"):
        program_cache.compiled(text)
        os.utime(programs_directory() / program_cache.key(text), ns=(1, 1))
    program_cache.compiled("a")  # used again
    program_cache.compiled("c")
    assert set(kept()) == {programs_directory() / program_cache.key(text) for text in ("a", "c")}
