# SPDX-License-Identifier: GPL-2.0-or-later
"""One scenario on several kernels, without booting any."""

import sys

import pytest
from guests import machines, trace

from bondtrace.errors import BondtraceError
from bondtrace.lab import compare


@pytest.fixture
def guest(monkeypatch):
    return machines(monkeypatch)


def test_each_kernel_is_recorded_in_a_directory_of_its_own(guest, tmp_path):
    asked, said = [], []

    def body(words, out_dir, env, on_output, release):
        asked.append((words[3:], out_dir, env, release))
        return trace(words, out_dir, env, on_output, release)

    guest(body)
    runs = compare.run_kernels(
        specs=["5.10", "/boot/vmlinuz-6.1"], scenario="ping", out_dir=tmp_path, cpus=2, notify=said.append
    )
    first, second = tmp_path / "5.10", tmp_path / "vmlinuz-6.1"
    assert [(one.kernel, one.recording, one.error) for one in runs] == [
        ("5.10", first / "trace.arrows", ""),
        ("vmlinuz-6.1", second / "trace.arrows", ""),
    ]
    assert asked[0] == (
        [sys.executable, "-m", "bondtrace", "record", "--force", "-o", str(first / "trace.arrows"), "--iface", "bond0"],
        first,
        {"LAB_IFACE": "bond0"},
        "5.10.0-amd64",
    )
    assert said[:4] == [
        "5.10: machine 1 of 2",
        "5.10: booting kernel 5.10.0-amd64",
        "5.10: attached in 1.0 s",
        "5.10: done",
    ]


def test_a_kernel_that_fails_does_not_end_the_others(guest, tmp_path):
    def body(words, out_dir, env, on_output, release):
        if release.startswith("5.10"):
            raise BondtraceError("kernel 5.10 panicked in the lab")
        if release.startswith("6.1."):
            (out_dir / "lab" / "output").write_text("bondtrace lab: the scenario failed in its setup at: false\n\n")
            return 4
        return trace(words, out_dir, env, on_output, release)

    guest(body)
    runs = compare.run_kernels(
        specs=["5.10", "6.1", "9.9", "7.3"], scenario="ping", out_dir=tmp_path, cpus=2, notify=lambda text: None
    )
    assert [(one.kernel, one.error) for one in runs] == [
        ("5.10", "kernel 5.10 panicked in the lab"),
        (
            "6.1",
            "the run ended with status 4: bondtrace lab: the scenario failed in its setup at: false; "
            f"see {tmp_path}/6.1",
        ),
        ("9.9", "no kernel 9.9 is available"),
        ("7.3", ""),
    ]
