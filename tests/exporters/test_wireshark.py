# SPDX-License-Identifier: GPL-2.0-or-later
"""What Wireshark is told of bondtrace's interfaces; how they are installed; the fields made of comments, by tshark."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from exported import exported_pcapng, needs_tshark

from bondtrace.errors import UsageError
from bondtrace.exporters import wireshark
from bondtrace.model import Process
from build import (
    ON_5354,
    ON_ANY,
    ON_ETH0,
    TAPS,
    beyond_ip,
    drop,
    ether,
    given,
    ip4,
    losses,
    protocol,
    received,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    udp,
)


def test_an_interface_for_what_is_stacked_and_one_for_all(tmp_path):
    # given a bond, a VLAN on it, a device of its own, and one whose name would break the protocol's lines
    for name, below in (("abc0", "eth0"), ("bond0", "eth0"), ("bond0.7", "bond0"), ("eth0", ""), ("x}{y", "eth0")):
        (tmp_path / name).mkdir()
        if below:
            (tmp_path / name / f"lower_{below}").touch()
    (tmp_path / "bond0" / "bonding").mkdir()
    (tmp_path / "bonding_masters").touch()

    first, *others = wireshark.interfaces(tmp_path)

    assert first.startswith("extcap {version=")
    assert others == [
        "interface {value=bondtrace-bond0}{display=bond0 with taps and verdicts}",
        "interface {value=bondtrace-abc0}{display=abc0 with taps and verdicts}",
        "interface {value=bondtrace-bond0.7}{display=bond0.7 with taps and verdicts}",
        "interface {value=bondtrace}{display=Every device with taps and verdicts}",
    ]
    assert wireshark.device_of("bondtrace-bond0.7") == "bond0.7" and wireshark.device_of("bondtrace") is None
    with pytest.raises(UsageError, match="'eth0' is no interface of bondtrace"):
        wireshark.device_of("eth0")


@pytest.mark.parametrize(
    "told, extcap, lua",
    [
        (None, "~/.local/lib/wireshark/extcap", "~/.local/lib/wireshark/plugins"),
        ("Personal Lua Plugins: \t/h/lua\nExtcap path: \t/usr/lib/x\n", "~/.config/wireshark/extcap", "/h/lua"),
        ("Personal Lua Plugins:\t/h/lua\nPersonal Extcap path:\t/h/extcap\n", "/h/extcap", "/h/lua"),
    ],
    ids=["none installed", "4.0", "4.2"],
)
def test_the_folders_are_those_of_the_installed_wireshark(tmp_path, told, extcap, lua):
    if told is not None:
        program = tmp_path / "tshark"
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '-G folders' ] && printf '{told}'\n")
        program.chmod(0o755)

    found = wireshark.folders({"PATH": str(tmp_path)})

    assert found == (Path(extcap).expanduser(), Path(lua).expanduser(), told is not None)


@pytest.mark.parametrize("uid, allowed, by_sudo", [(0, 1, False), (1000, 1, True), (1000, 0, False)])
def test_only_to_capture_the_script_asks_sudo(tmp_path, uid, allowed, by_sudo):
    # given programs that print how they are called, and a sudo that also answers whether it would
    called = tmp_path / "it's bondtrace"
    sudo = f'[ "$2" = -l ] && {{ echo maybe; [ {allowed} = 1 ]; exit; }}\necho "sudo $*"'
    for program, text in ((called, 'echo "bondtrace $*"'), (tmp_path / "sudo", sudo), (tmp_path / "id", f"echo {uid}")):
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    script = tmp_path / "script"
    script.write_text(wireshark.wrapper([str(called)]))

    def run(*more):
        done = subprocess.run(
            ["sh", script, *more], env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert run("--extcap-interfaces") == "bondtrace extcap --extcap-interfaces\n"
    assert run("--extcap-interface", "x", "--extcap-capture-filter", "icmp") == (
        "bondtrace extcap --extcap-interface x --extcap-capture-filter icmp\n"
    )
    capture = ("--capture", "--extcap-interface", "x", "--fifo", "/tmp/a b")
    by = f"sudo -n {called} extcap" if by_sudo else "bondtrace extcap"
    assert run(*capture) == f"{by} --capture --extcap-interface x --fifo /tmp/a b\n"


def test_what_is_to_be_typed_can_be_typed(tmp_path):
    where = wireshark.Folders(tmp_path / "ext cap", tmp_path / "plug ins", known=True)
    text = wireshark.how_to(where, ["/usr/bin/bondtrace"], "alice", is_own=False)
    subprocess.run(["sh", "-e"], input=text, text=True, check=True)

    script = where.extcap / "bondtrace"
    assert os.access(script, os.X_OK) and script.read_text() == wireshark.wrapper(["/usr/bin/bondtrace"])
    assert (where.lua / "bondtrace.lua").read_bytes() == wireshark.LUA.read_bytes()
    assert "alice ALL=(root) NOPASSWD: /usr/bin/bondtrace extcap --capture *" in text


def test_no_rule_for_sudo_where_the_user_could_change_what_it_runs():
    where = wireshark.Folders(Path("/x"), Path("/y"), known=False)
    text = wireshark.how_to(where, ["/home/alice/bondtrace"], "alice", is_own=True)

    assert "NOPASSWD" not in text and "if sudo ran it as root, alice\n#    would be root." in text
    assert "NOPASSWD" not in wireshark.how_to(where, ["/usr/bin/bondtrace"], "root", is_own=False)


# --- fields ------------------------------------------------------------------------------------------------


def test_every_field_is_documented_and_no_other():
    documented = (Path(__file__).parents[2] / "docs" / "wireshark.md").read_text()
    rows = [line.split("|")[1] for line in documented.splitlines() if line.startswith("| `bondtrace.")]

    in_script = re.findall(r'ProtoField\.\w+\("([\w.]+)"', wireshark.LUA.read_text())
    assert re.findall(r"`([\w.]+)`", "".join(rows)) and len(in_script) > 25
    assert set(re.findall(r"`([\w.]+)`", "".join(rows))) == set(in_script)


def told(*names):
    """The fields of these names."""
    return [f"bondtrace.{name}" for name in names]


def fields(data, names, wanted="frame"):
    """Rows of these fields of the frames that a filter selects, by tshark with the script; several values joined by
    "|"."""
    done = subprocess.run(
        [
            *("tshark", "-n", "-r", "-", "-X", f"lua_script:{wireshark.LUA}", "-Y", wanted),
            *("-T", "fields", "-E", "aggregator=|", *(word for name in names for word in ("-e", name))),
        ],
        input=data,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"lua" in done.stderr.lower()) == (0, False), done.stderr.decode()
    return [line.split("\t") for line in done.stdout.decode().splitlines()]


@needs_tshark
def test_where_and_in_which_journey_a_frame_is():
    names = told("journey", "part", "parts", "direction", "dev", "cpu", "pass", "round")
    assert fields(exported_pcapng(received(), refused(50), sent(100)), names) == [
        ["1", "1", "2", "rx", "eth0", "0", "1", "1"],
        ["1", "2", "2", "rx", "bond0", "0", "1", "2"],
        ["2", "1", "1", "rx", "eth1", "1", "1", "1"],
        ["3", "1", "2", "tx", "bond0", "0", "1", "1"],
        ["3", "2", "2", "tx", "eth0", "0", "2", "1"],
    ]


@needs_tshark
def test_what_taps_and_handlers_did():
    data = exported_pcapng(received(), refused(50), sent(100))
    names = [
        f"bondtrace.{name}"
        for name in ("outcome", "tap", "tap.inode", "full", "filtered", "handler", "verdict", "next")
    ]
    rows = fields(data, names)

    assert rows[0] == [
        "captured|captured",
        "tcpdump -i any [41004]|tcpdump -i eth0 [41001]",
        "41004|41001",
        *("", "", "bond_handle_frame", "ANOTHER", "bond0"),
    ]
    assert rows[2][5:] == ["bond_handle_frame", "EXACT", ""]
    assert rows[3][0] == "captured|filtered" and rows[3][4] == "tcpdump -i bond0 [41003]"
    assert rows[4][0] == "captured|full" and rows[4][3] == "tcpdump -i eth0 [41001]"
    assert fields(data, ["frame.number"], 'bondtrace.outcome == "filtered"') == [["4"]]
    assert fields(data, ["frame.number"], 'bondtrace.verdict == "EXACT" and bondtrace.captured contains "eth1"') == [
        ["3"]
    ]


@needs_tshark
def test_who_did_not_see_it_and_why():
    data = exported_pcapng(received(), refused(50), sent(100))
    rows = fields(data, ["bondtrace.unseen", "bondtrace.reason", "bondtrace.doubt", "bondtrace.other"])

    assert rows[2] == [
        "tcpdump -i eth0 [41001]|tcpdump -i bond0 [41003]|lldpd [41005]",
        "bound-elsewhere|inactive-slave|protocol",
        "",
        "",
    ]
    assert rows[1][3] == "note: tcpdump -i any [41004] saw it twice: on eth0, then bond0"
    assert fields(data, ["frame.number"], 'bondtrace.reason == "inactive-slave"') == [["3"]]


@needs_tshark
def test_an_absence_that_may_be_a_loss_is_told_with_its_doubt():
    data = exported_pcapng(refused(), around=scene(losses(0, lost=[5])))
    [[taps, reasons, doubts]] = fields(data, ["bondtrace.unseen", "bondtrace.reason", "bondtrace.doubt"])

    assert (taps.count("|"), reasons) == (2, "bound-elsewhere|inactive-slave|protocol")
    assert doubts in ("1|1|1", "True|True|True")


@needs_tshark
def test_where_packets_end():
    dropped = rx("eth0", tap(ON_ETH0), protocol("ip_rcv"), drop("NO_SOCKET"), packet=reply())
    rows = fields(exported_pcapng(dropped), told("protocol", "drop", "drop.reason", "end", "other"))
    assert rows == [["ip_rcv", "sch_handle_ingress", "NO_SOCKET", "dropped", ""]]


@needs_tshark
def test_what_sockets_did():
    around = beyond_ip()
    one = rx("eth0", protocol("ip_rcv"), given(ON_5354), packet=ether(ip4(udp(), 17)))
    rows = fields(exported_pcapng(one, around=around), told("socket", "socket.outcome", "end"))
    assert rows == [["dnsd's UDP socket *:5354 [12385]", "queued", "socket"]]


@needs_tshark
def test_no_process_can_forge_a_field():
    # given a tap whose process calls itself what other comments look like
    for name in (
        "captured by lldpd [7]",
        "x: PASS (",
        "end (socket): y",
        "dropped by the kernel in f: R",
        "journey #9, ",
    ):
        liar = replace(TAPS[ON_ANY], processes=(Process(1, name[:15], name),))
        data = exported_pcapng(received(), around=scene(taps={**TAPS, ON_ANY: liar}))
        rows = fields(
            data, ["bondtrace.journey", "bondtrace.outcome", "bondtrace.verdict", "bondtrace.drop", "bondtrace.end"]
        )

        assert rows == [
            ["1", "captured|captured", "ANOTHER", "", ""],
            ["1", "captured|captured", "", "", "not-watched"],
        ], name


@needs_tshark
def test_another_programs_comments_are_left_alone():
    data = exported_pcapng(refused()).replace(b"journey #", b"journal #")
    [[comments, outcomes]] = fields(data, ["frame.comment", "bondtrace.outcome"])

    assert "captured by tcpdump -i eth1 arp [41002]" in comments and outcomes == ""
