# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial ports between the host and a guest: one for what is said to its command, and one that is a terminal.

On the host each is a socket that QEMU connects to, in the guest a device (virtio-serial). What is sent before the guest
has opened its end waits.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from types import TracebackType

from ..errors import BondtraceError

#: The name of the port in the guest's /sys/class/virtio-ports, and the other one's device.
CONTROL = "bondtrace.control"
TERMINAL_DEVICE = "/dev/hvc0"

_BUS = "bondtrace"
_BLOCK = 65536


class Port:
    """The host's end of one port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.setblocking(False)
        self._connection: socket.socket | None = None
        self._unsent = b""

    def fileno(self) -> int:
        """Return what to wait for: QEMU, or what it sends."""
        return (self._connection or self._listener).fileno()

    @property
    def is_full(self) -> bool:
        """Return whether the guest does not take what was sent before."""
        return len(self._unsent) > _BLOCK

    def send(self, data: bytes) -> None:
        """Send as much as can be sent now; the rest goes with the next call."""
        self._unsent += data
        self._accept()
        if self._connection is None or not self._unsent:
            return
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # the machine has ended

    def receive(self) -> bytes:
        """Return what has arrived, b"" if nothing."""
        self._accept()
        try:
            return self._connection.recv(_BLOCK) if self._connection else b""
        except OSError:
            return b""

    def _accept(self) -> None:
        """Take QEMU's connection; that of a machine that is booted again replaces the earlier one."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        if self._connection:
            self._connection.close()
        self._connection = connection

    def close(self) -> None:
        """Close both sockets."""
        self._listener.close()
        if self._connection:
            self._connection.close()


class Ports:
    """The ports of one machine, as long as the ``with`` block lasts.

    :raises BondtraceError: the sockets cannot be made in the directory for temporary files.
    """

    def __init__(self, with_terminal: bool = False, virtio: str = "pci") -> None:
        self._virtio = virtio
        self._directory = tempfile.TemporaryDirectory(prefix="bondtrace-ports-")
        try:
            self.control = Port(Path(self._directory.name) / "control")
            self.terminal = Port(Path(self._directory.name) / "terminal") if with_terminal else None
        except OSError as error:  # a path of more than 107 characters, for example
            self._directory.cleanup()
            raise BondtraceError(f"cannot make a socket in {self._directory.name}: {error}; set TMPDIR") from None

    def __enter__(self) -> Ports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.control.close()
        if self.terminal:
            self.terminal.close()
        self._directory.cleanup()

    @property
    def qemu_options(self) -> str:
        """Return QEMU's options for these ports."""
        options = [f"-device virtio-serial-{self._virtio},id={_BUS}"]
        for port, kind in ((self.control, f"virtserialport,name={CONTROL}"), (self.terminal, "virtconsole")):
            if port:
                name = f"{_BUS}.{port.path.name}"
                options.append(f"-chardev socket,id={name},path={port.path}")
                options.append(f"-device {kind},bus={_BUS}.0,chardev={name}")
        return " ".join(options)
