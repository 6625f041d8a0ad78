# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces: found, named by what users write, and entered without leaving one's own."""

import os
import socket
import subprocess
import threading

import pytest

from bondtrace.capture.host import namespaces
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.errors import BondtraceError, UsageError

NAME = f"bt-ns-{os.getpid()}"


@pytest.fixture
def named():
    """A new network namespace with a name, gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["ip", "netns", "add", NAME], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    yield namespaces.resolve(NAME)
    subprocess.run(["ip", "netns", "del", NAME], check=True)


@pytest.mark.parametrize(
    ("link", "inode"),
    [("net:[4026531840]", 4026531840), ("mnt:[4026531841]", None), ("net:[]", None), ("net:[12x]", None), ("", None)],
)
def test_the_inode_in_a_link(link, inode):
    assert namespaces.parse_link(link) == inode


def test_the_current_one_is_first_and_described():
    # when
    first = next(iter(namespaces.list_namespaces().values()))
    # then
    assert first.inode == namespaces.current_netns() == os.stat("/proc/self/ns/net").st_ino
    assert first.path == "/proc/self/ns/net"
    assert first.pid == os.getpid()


def test_labels_say_the_best_that_is_known():
    found = [
        Namespace(5, "blue", "/run/netns/blue", 7).label,
        Namespace(5, "", "/proc/7/ns/net", 7).label,
        Namespace(5, "", "/x").label,
        Namespace(5, "", "/proc/7/ns/net", 7, "nginx").label,
        Namespace(5, "", "/proc/7/ns/net", 7, "container 0123456789ab").label,
        Namespace(5, "blue", "/run/netns/blue", 7, "container 0123456789ab").label,
        Namespace(5, "1f2e3d", "/run/docker/netns/1f2e3d", 7, "container 0123456789ab").label,
        Namespace(5, "1f2e3d", "/run/docker/netns/1f2e3d", 7, "nginx").label,
    ]
    assert found == [
        *("blue", "netns of pid 7", "net:[5]", "netns of pid 7 (nginx)", "container 0123456789ab"),
        *("blue", "container 0123456789ab", "1f2e3d"),
    ]


DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "groups, holder",
    [
        (f"0::/system.slice/docker-{DIGITS}.scope\n", "container 0123456789ab"),
        (f"12:pids:/docker/{DIGITS}\n0::/docker/{DIGITS}\n", "container 0123456789ab"),
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{DIGITS}.scope\n", "container 0123456789ab"),
        (f"0::/machine.slice/libpod-{DIGITS}.scope/container\n", "container 0123456789ab"),
        ("0::/lxc.payload.web-1/system.slice/nginx.service\n", "container web-1"),
        ("0::/lxc/web-1\n", "container web-1"),
        ("0::/system.slice/nginx.service\n", "nginx"),
        (f"0::/user.slice/{DIGITS}a\n", "nginx"),
        ("", "nginx"),
    ],
)
def test_a_process_goes_by_its_container_or_its_command(monkeypatch, groups, holder):
    told = {"/proc/7/cgroup": groups, "/proc/7/comm": "nginx\n"}
    monkeypatch.setattr(namespaces, "proc_text", lambda path: told[path])

    assert namespaces.holder_of(7) == holder


def test_of_a_process_that_is_gone_nothing_is_said():
    assert namespaces.holder_of(1 << 30) == ""
    assert namespaces.holder_of(os.getpid()) != ""


def test_a_namespace_goes_by_name_path_inode_and_link(named):
    specs = [NAME, f"/run/netns/{NAME}", str(named.inode), f"net:[{named.inode}]"]
    assert [namespaces.resolve(spec) for spec in specs] == [named] * 4
    assert named == Namespace(os.stat(f"/run/netns/{NAME}").st_ino, NAME, f"/run/netns/{NAME}")


def test_a_process_id_means_its_namespace(named):
    # given a process in the new namespace
    process = subprocess.Popen(
        ["ip", "netns", "exec", NAME, "sh", "-c", "echo in; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    # when
    found = namespaces.resolve(str(process.pid))
    process.communicate(b"\n")
    # then it is the named one, now with its process
    assert found == named._replace(pid=process.pid, holder="sh")


def test_ones_own_process_id_means_the_current_namespace():
    assert namespaces.resolve(str(os.getpid())) == namespaces.current_namespace()


@pytest.mark.parametrize("spec", ["nosuch", "999999999", "net:[1]", "/etc/passwd", "/nosuch", "9" * 5000, ""])
def test_what_is_no_namespace_is_wrong_use(spec):
    with pytest.raises(UsageError, match=r"no network namespace '.*give a name as in `ip netns`, a process id"):
        namespaces.resolve(spec)


def test_a_left_over_file_is_no_namespace(tmp_path, monkeypatch):
    # given a directory of named ones with a plain file in it
    (tmp_path / "stale").touch()
    monkeypatch.setattr(namespaces, "NAMED_DIRECTORIES", (str(tmp_path),))
    # when / then
    assert [n.name for n in namespaces.list_namespaces().values()] == [""] * len(namespaces.list_namespaces())


def test_work_is_done_inside_and_the_caller_stays_outside(named):
    # given
    before = namespaces.current_netns()
    # when
    inside = namespaces.run_in(named.path, lambda: (namespaces.current_netns(), socket.if_nameindex()))
    # then
    assert inside == (named.inode, [(1, "lo")])
    assert namespaces.current_netns() == before
    assert "bondtrace-netns" not in [thread.name for thread in threading.enumerate()]


def test_an_error_inside_reaches_the_caller(named):
    def fail():
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        namespaces.run_in(named.path, fail)


def test_work_in_the_current_one_is_called_directly():
    own = threading.get_ident()
    assert namespaces.run_in("/proc/self/ns/net", threading.get_ident) == own


def test_what_cannot_be_read_becomes_a_sentence():
    # given
    problems = []
    blue = Namespace(5, "blue", "/run/netns/blue")
    # when it is forbidden, and when it has vanished
    with namespaces.told(blue, "taps", problems):
        raise PermissionError(1, "Operation not permitted")
    with namespaces.told(blue, "taps", problems):
        raise FileNotFoundError(2, "No such file or directory")
    # then only the first is told
    assert problems == [
        "cannot read the taps of network namespace blue: not permitted (run as root, or with CAP_SYS_ADMIN)"
    ]


def test_what_cannot_be_read_is_an_error_without_a_list():
    blue = Namespace(5, "blue", "/run/netns/blue")
    fact = "cannot read the taps of network namespace blue: I/O error"
    with pytest.raises(BondtraceError, match=fact), namespaces.told(blue, "taps", None):
        raise OSError(5, "I/O error")
