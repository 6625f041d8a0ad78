# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists the network namespaces of this host, and runs code inside one of them.

A namespace is identified by its inode number, as the kernel does (``net:[4026531840]``). Found are the
ones with a name (``ip netns``, Docker) and those of processes that this user may look at; one
that only a thread, a file descriptor or a device keeps alive is not found.

Invariant: the calling thread never changes its own namespace; work inside another one is done by a short-lived thread.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Optional, TypeVar

from ...errors import BondtraceError, UsageError
from .netlink import Netlink

T = TypeVar("T")

_DOCKERS = "/run/docker/netns"
NAMED_DIRECTORIES = ("/run/netns", _DOCKERS)
_CONTAINER = "container "
_CONTAINER_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # Docker, containerd, Podman, CRI-O
_LXC_NAME = re.compile(r"/lxc(?:\.payload[./]|/)([\w.-]{1,64})")
_PROC_BYTES = 1 << 20
_OWN = "/proc/thread-self/ns/net"
_CLONE_NEWNET = 0x40000000
_GONE = (errno.ENOENT, errno.ESRCH, errno.ENOTDIR)


class Namespace(NamedTuple):
    """One network namespace: ``name`` as in ``ip netns`` ("" without one), ``path`` can be opened
    for setns(2), ``pid`` is the lowest process id known to be in it (``None``: not known), ``holder`` what that process
    is: its container ("container 3f2a1b4c5d6e"), else its command; "" where that is not known or not needed."""

    inode: int
    name: str
    path: str
    pid: Optional[int] = None
    holder: str = ""

    @property
    def label(self) -> str:
        """Return what people call it: the name that a person gave it, else its container, else the name that a program
        gave it, else a process in it, else its inode."""
        is_container = self.holder.startswith(_CONTAINER)
        if self.name and not (is_container and self.path.startswith(_DOCKERS)):
            return self.name
        if is_container or self.pid is None:
            return self.holder or f"net:[{self.inode}]"
        return f"netns of pid {self.pid}" + (f" ({self.holder})" if self.holder else "")


def current_netns() -> int:
    """Return the inode of the calling thread's network namespace."""
    return os.stat(_OWN).st_ino


def current_namespace() -> Namespace:
    """Return the calling thread's network namespace."""
    return Namespace(current_netns(), "", "/proc/self/ns/net", os.getpid())


def list_namespaces() -> dict[int, Namespace]:
    """Return the namespaces of this host by inode, the current one first.

    Source: the directories of named ones and ``/proc/PID/ns/net``. Processes of other users are
    left out without the right to inspect them (PTRACE_MODE_READ).
    """
    own = current_namespace()
    found = {own.inode: own}
    for inode, pid in _of_processes():
        if inode not in found:
            found[inode] = Namespace(inode, "", f"/proc/{pid}/ns/net", pid, holder_of(pid))
    for named in _named():
        known = found.get(named.inode)
        path = known.path if known is not None and named.inode == own.inode else named.path
        found[named.inode] = named._replace(
            path=path, pid=known.pid if known else None, holder=known.holder if known else ""
        )
    return found


def holder_of(pid: int) -> str:
    """Return what a process is to people: the container that it is in, else its command; "" where it is gone.

    Source: ``/proc/PID/cgroup`` (a container's 64 digits, or LXC's name), ``/proc/PID/comm``.
    """
    groups = proc_text(f"/proc/{pid}/cgroup")
    named = _CONTAINER_ID.search(groups) or _LXC_NAME.search(groups)
    return f"{_CONTAINER}{named[1]}" if named else proc_text(f"/proc/{pid}/comm").removesuffix("\n")


def proc_text(path: str) -> str:
    """Return what a file in /proc says, of a very long one the begin; "" where it is gone."""
    try:
        with open(path, "rb") as file:
            return file.read(_PROC_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _of_processes() -> Iterator[tuple[int, int]]:
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        inode = _link_inode(f"/proc/{pid}/ns/net")
        if inode is not None:
            yield inode, pid


def _link_inode(path: str) -> Optional[int]:
    try:
        return parse_link(os.readlink(path))
    except OSError:
        return None


def parse_link(link: str) -> Optional[int]:
    """Return the inode in ``net:[4026531840]``; ``None`` for any other text."""
    digits = link[5:-1]
    return int(digits) if link.startswith("net:[") and link.endswith("]") and digits.isdigit() else None


def _named() -> Iterator[Namespace]:
    for directory in reversed(NAMED_DIRECTORIES):  # later ones win: `ip netns` names before others
        try:
            names = sorted(os.listdir(directory), reverse=True)
        except OSError:
            continue
        for name in names:
            found = _at_path(os.path.join(directory, name), name)
            if found is not None:
                yield found


def _at_path(path: str, name: str = "") -> Optional[Namespace]:
    """Return the namespace mounted at ``path``; ``None`` when there is none (a left-over file)."""
    try:
        there = os.stat(path)
        nsfs = os.stat(_OWN).st_dev
    except OSError:
        return None
    return Namespace(there.st_ino, name, path) if there.st_dev == nsfs else None


def resolve(spec: str) -> Namespace:
    """Return the namespace that ``spec`` means.

    :param spec: a name as in ``ip netns``, a path, a process id, an inode number or ``net:[inode]`` (a number that is
        both is the inode).
    :raises UsageError: none of these.
    :raises BondtraceError: the process may not be inspected.
    """
    known = list_namespaces()
    for namespace in known.values():
        if spec and namespace.name == spec:
            return namespace
    found = _at_path(spec) if "/" in spec else _by_number(spec, known)
    if found is None:
        raise UsageError(_unknown(spec, known.values()))
    return known.get(found.inode, found)


def _by_number(spec: str, known: dict[int, Namespace]) -> Optional[Namespace]:
    inode = parse_link(spec)
    if inode is not None:
        return known.get(inode)
    if not (spec.isascii() and spec.isdigit() and len(spec) <= 20):
        return None
    return known[int(spec)] if int(spec) in known else _of_process(int(spec))


def _of_process(pid: int) -> Optional[Namespace]:
    path = f"/proc/{pid}/ns/net"
    try:
        inode = parse_link(os.readlink(path))
    except PermissionError:
        raise BondtraceError(
            f"cannot look at the network namespace of process {pid}: not permitted "
            "(run as root, or with CAP_SYS_PTRACE)"
        ) from None
    except OSError:
        return None
    return None if inode is None else Namespace(inode, "", path, pid)


def _unknown(spec: str, known: Iterable[Namespace]) -> str:
    names = sorted(namespace.name for namespace in known if namespace.name)
    there_are = f"there are: {', '.join(names)}" if names else "none has a name"
    return (
        f"no network namespace {spec!r} (give a name as in `ip netns`, a process id, a path or an inode; {there_are})"
    )


def run_in(path: str, work: Callable[[], T]) -> T:
    """Return what ``work()`` returns inside the network namespace at ``path``.

    It is called directly when that is the current one (no privilege is needed then), otherwise in a new
    thread that enters it by setns(2) and ends. Raises what ``work`` raises, and ``OSError`` when the
    namespace is gone or may not be entered (EPERM without CAP_SYS_ADMIN).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_ino == current_netns():
            return work()
        return _in_thread(descriptor, work)
    finally:
        os.close(descriptor)


def _in_thread(descriptor: int, work: Callable[[], T]) -> T:
    import threading

    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            _setns(descriptor)
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="bondtrace-netns", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _setns(descriptor: int) -> None:
    setns = getattr(os, "setns", None)  # Python 3.12 and newer
    if setns is not None:
        setns(descriptor, _CLONE_NEWNET)
        return
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def open_netlink(netns_path: str, protocol: int, groups: int = 0, elsewhere: bool = False) -> Netlink:
    """Return a netlink socket of the namespace at ``netns_path``, for any thread. Raises ``OSError`` as ``run_in``
    does."""
    return run_in(netns_path, lambda: Netlink(protocol, groups, elsewhere))


@contextmanager
def told(namespace: Namespace, what: str, problems: Optional[list[str]]) -> Iterator[None]:
    """Turn an ``OSError`` from reading ``what`` in ``namespace`` into a sentence.

    It is appended to ``problems``, or raised as ``BondtraceError`` when that is ``None``. A
    namespace that vanished meanwhile is no problem.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _GONE:
            return
        if problems is None:
            raise unreadable(namespace, what, error) from error
        problems.append(str(unreadable(namespace, what, error)))


def unreadable(namespace: Namespace, what: str, error: OSError) -> BondtraceError:
    """Return the error for ``what`` in a namespace that cannot be read."""
    fact = f"cannot read the {what} of network namespace {namespace.label}"
    if isinstance(error, PermissionError):
        return BondtraceError(f"{fact}: not permitted (run as root, or with CAP_SYS_ADMIN)")
    return BondtraceError(f"{fact}: {error.strerror or error}")
