# SPDX-License-Identifier: GPL-2.0-or-later
"""The netlink client: parsing of bytes, and the kernel's errors and dumps for real."""

import errno
import struct

import pytest

from bondtrace.capture.host import netlink


def test_messages_are_split_at_their_padded_length():
    # given two messages, the first of 5 bytes payload and so padded by 3
    data = netlink.message(16, 2, 7, b"abcde") + netlink.message(3, 2, 7, b"\0\0\0\0")
    # when
    found = list(netlink.messages(data))
    # then
    assert found == [netlink.Message(16, 2, 7, b"abcde"), netlink.Message(3, 2, 7, b"\0\0\0\0")]


@pytest.mark.parametrize("length", [0, 15, 40])
def test_a_message_with_a_wrong_length_is_an_error(length):
    # given a header whose length is less than a header's, or more than there is
    data = struct.pack("=IHHII", length, 16, 0, 0, 0) + b"\0" * 8
    # when / then
    with pytest.raises(OSError, match="cut short") as raised:
        list(netlink.messages(data))
    assert raised.value.errno == errno.EBADMSG


def test_attributes_nest_and_lose_their_flag_bits():
    # given a nested attribute (flag 0x8000) that holds one of odd length, and one after it
    inner = netlink.attribute(1, b"abc")
    data = b"HEAD" + netlink.attribute(0x8000 | 18, inner) + netlink.attribute(4, struct.pack("=I", 1500))
    # when
    outer = netlink.attributes(data, 4)
    # then
    assert outer == {18: inner, 4: struct.pack("=I", 1500)}
    assert netlink.attributes(outer[18]) == {1: b"abc"}


@pytest.mark.parametrize("tail", [b"\x03", b"\x03\x00\x01\x00", b"\x40\x00\x01\x00ab"])
def test_a_malformed_attribute_ends_the_walk(tail):
    assert netlink.attributes(netlink.attribute(3, b"eth0") + tail) == {3: b"eth0"}


@pytest.mark.parametrize(
    ("value", "signed", "expected"),
    [
        (None, False, None),
        (b"\x07", False, 7),
        (struct.pack("=H", 65535), False, 65535),
        (struct.pack("=i", -1), True, -1),
        (struct.pack("=Q", 1 << 40), False, 1 << 40),
        (b"abc", False, None),
        (b"", False, None),
    ],
)
def test_numbers(value, signed, expected):
    assert netlink.number(value, signed) == expected


def test_text_ends_at_nul_and_keeps_bytes_that_are_no_utf8():
    assert netlink.text(b"eth\xff\0junk") == "eth\udcff"


class Scripted(netlink.Netlink):
    """A client whose kernel answers each request with the next of the given datagrams."""

    def __init__(self, answers):
        self._answers = answers
        self._datagrams = []
        self._sequence = 0

    def _send(self, kind, flags, payload):
        self._sequence += 1
        self._datagrams = self._answers.pop(0)
        return self._sequence

    def receive(self, wait=True):
        return self._datagrams.pop(0)


def test_an_interrupted_dump_is_begun_anew():
    # given a dump whose second part says NLM_F_DUMP_INTR, and a good one
    first = [netlink.message(16, 2, 1, b"old1"), netlink.message(16, 0x12, 1, b"old2")]
    first.append(netlink.message(3, 2, 1, b"\0\0\0\0"))
    stale = netlink.message(16, 2, 1, b"late")
    second = [stale + netlink.message(16, 2, 2, b"new1"), netlink.message(3, 2, 2, b"\0\0\0\0")]
    client = Scripted([first, second])
    # when
    answer = client.dump(18, b"")
    # then nothing of the first dump is in it, nor what came late
    assert answer == [netlink.Message(16, 2, 2, b"new1")]


@pytest.mark.parametrize("kind", [netlink.NLMSG_ERROR, netlink.NLMSG_DONE])
def test_an_error_during_a_dump_is_an_oserror(kind):
    client = Scripted([[netlink.message(kind, 2, 1, struct.pack("=i", -errno.EPERM))]])
    with pytest.raises(PermissionError):
        client.dump(18, b"")


def test_the_kernels_error_is_an_oserror():
    # given a real socket
    with netlink.Netlink(netlink.NETLINK_ROUTE) as client, pytest.raises(OSError) as raised:
        # when an ifindex is asked for that no device has
        client.request(18, struct.pack("=BxHiII", 0, 0, 0x7FFFFFFF, 0, 0))
    # then
    assert raised.value.errno == errno.ENODEV


def test_nothing_to_receive_does_not_wait():
    with netlink.Netlink(netlink.NETLINK_ROUTE) as client, pytest.raises(BlockingIOError):
        client.receive(wait=False)


def test_an_unknown_protocol_is_an_oserror():
    with pytest.raises(OSError) as raised:
        netlink.Netlink(31)
    assert raised.value.errno in (errno.EPROTONOSUPPORT, errno.ENOPROTOOPT, errno.EPERM)
