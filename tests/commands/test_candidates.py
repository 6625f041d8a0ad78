# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell may complete values with."""

import os

import click

from bondtrace.commands import candidates


def offered(completer, incomplete=""):
    context = click.Context(click.Command("live"))
    return [item.value for item in completer(context, click.Option(["--iface"]), incomplete)]


def test_names_that_a_shell_would_run_are_not_offered(tmp_path, monkeypatch):
    # given devices and namespaces of all names that Linux takes
    names = ["eth0", "eth0.7", "br-lan", "$(reboot)", "a;b", "eth*", "x`id`", "q'", "a,b", "ü", b"\xff\xfe", "\033[2J"]
    for directory in ("net", "netns"):
        (tmp_path / directory).mkdir()
        for name in names:
            os.mkdir(os.path.join(os.fsencode(tmp_path / directory), os.fsencode(name)))
    (tmp_path / "net" / "bonding_masters").write_text("bond0\n")
    monkeypatch.setattr(candidates, "_DEVICES", str(tmp_path / "net"))
    monkeypatch.setattr("bondtrace.capture.host.namespaces.NAMED_DIRECTORIES", (str(tmp_path / "netns"), "/nosuch"))

    # then only those are offered that are safe to stand on a command line, and no file that lies beside them
    assert offered(candidates.devices) == offered(candidates.namespaces) == ["br-lan", "eth0", "eth0.7"]
    assert offered(candidates.devices, "eth0.") == ["eth0.7"]


def test_names_of_the_recording_in_the_line_are_offered(recording):
    def of(completer, incomplete=""):
        context = click.Context(click.Command("show"))
        context.params["files"] = (str(recording), "icmp")
        return [item.value for item in completer(context, click.Option(["--tap"]), incomplete)]

    assert of(candidates.taps) == ["tcpdump", "41003"]
    assert of(candidates.recorded_devices, "bond") == ["bond0", "bond0.7"]
    assert of(candidates.drop_reasons, "NO") == ["NOT_SPECIFIED", "NO_SOCKET"]


def test_without_a_recording_no_names_are_offered_and_nothing_fails(tmp_path):
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no recording")
    context = click.Context(click.Command("show"))
    for files in ((), ("nosuch",), (str(damaged),)):
        context.params["files"] = files
        assert candidates.taps(context, click.Option(["--tap"]), "") == []
        assert candidates.drop_reasons(context, click.Option(["--dropped"]), "") == []
