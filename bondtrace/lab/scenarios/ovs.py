# SPDX-License-Identifier: GPL-2.0-or-later
"""An Open vSwitch datapath by the kernel's own means, without daemons: ovs.py SWITCH DEVICE

SWITCH becomes a datapath with an internal port of that name, with DEVICE as its port 1, and with two flows that forward
everything from one to the other. Source: include/uapi/linux/openvswitch.h (generic netlink families ovs_datapath,
ovs_vport, ovs_flow).
"""

from __future__ import annotations

import os
import socket
import struct
import sys

NETLINK_GENERIC, CONTROL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 16, 3, 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
CMD_NEW = 1
DP_NAME, DP_UPCALL_PID = 1, 2
PORT_NUMBER, PORT_TYPE, PORT_NAME, PORT_UPCALL_PID, TYPE_NETDEV = 1, 2, 3, 5, 1
FLOW_KEY, FLOW_ACTIONS, FLOW_MASK = 1, 2, 7
KEY_IN_PORT, KEY_ETHERNET, ACTION_OUTPUT = 3, 4, 1


def attribute(kind: int, value: bytes) -> bytes:
    """Return a netlink attribute with its header and padding."""
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """Return an attribute of 32 bits."""
    return attribute(kind, struct.pack("=I", value))


class Generic:
    """A generic netlink socket. ``OSError`` where the kernel refuses a request."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self._socket.bind((0, 0))

    def request(self, family: int, command: int, version: int, payload: bytes) -> bytes:
        """Send a request; return what the kernel answers before it acknowledges."""
        body = struct.pack("=BBH", command, version, 0) + payload
        head = struct.pack("=IHHII", len(body) + 16, family, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
        self._socket.send(head + body)
        answer = b""
        while True:
            data = self._socket.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_ERROR:
                    error = -struct.unpack_from("=i", data, 16)[0]
                    if error:
                        raise OSError(error, os.strerror(error))
                    return answer
                answer, data = data[20:length], data[(length + 3) & ~3 :]

    def family(self, name: str) -> int:
        """Return the number of a family."""
        answer = self.request(CONTROL, CTRL_CMD_GETFAMILY, 1, attribute(CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0"))
        at = 0
        while at < len(answer):
            length, kind = struct.unpack_from("=HH", answer, at)
            if kind == CTRL_ATTR_FAMILY_ID:
                return int(struct.unpack_from("=H", answer, at + 4)[0])
            at += (length + 3) & ~3
        raise OSError(f"no number for {name}")


def main() -> None:
    """Make the datapath of the command line."""
    switch, device = sys.argv[1:]
    netlink = Generic()
    netlink.request(
        netlink.family("ovs_datapath"),
        CMD_NEW,
        2,
        struct.pack("=i", 0) + attribute(DP_NAME, switch.encode() + b"\0") + number(DP_UPCALL_PID, 0),
    )
    datapath = struct.pack("=i", socket.if_nametoindex(switch))
    netlink.request(
        netlink.family("ovs_vport"),
        CMD_NEW,
        1,
        datapath
        + number(PORT_TYPE, TYPE_NETDEV)
        + attribute(PORT_NAME, device.encode() + b"\0")
        + number(PORT_NUMBER, 1)
        + number(PORT_UPCALL_PID, 0),
    )
    flows = netlink.family("ovs_flow")
    for source, target in ((1, 0), (0, 1)):
        key = number(KEY_IN_PORT, source) + attribute(KEY_ETHERNET, bytes(12))
        mask = number(KEY_IN_PORT, 0xFFFFFFFF) + attribute(KEY_ETHERNET, bytes(12))
        netlink.request(
            flows,
            CMD_NEW,
            1,
            datapath
            + attribute(FLOW_KEY, key)
            + attribute(FLOW_MASK, mask)
            + attribute(FLOW_ACTIONS, number(ACTION_OUTPUT, target)),
        )


main()
