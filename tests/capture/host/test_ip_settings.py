# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses and settings of devices, as the kernel has them in a namespace."""

import os
import subprocess

import pytest

from bondtrace.capture.host import namespaces
from bondtrace.capture.host.ip_settings import SETTINGS, read_settings


def inside(netns, *command):
    subprocess.run(["ip", "netns", "exec", netns.name, *command], check=True, capture_output=True)


@pytest.fixture
def netns():
    """A namespace of its own, gone afterwards with everything in it."""
    name = f"bt-ip-{os.getpid()}"
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    yield namespaces.resolve(name)
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_what_is_set_in_a_namespace_is_read_there(netns):
    # given a device with two addresses, and settings of its own and of all
    inside(netns, "ip", "link", "add", "m0", "type", "veth", "peer", "name", "m1")
    inside(netns, "ip", "address", "add", "192.0.2.7/24", "dev", "m0")
    inside(netns, "ip", "address", "add", "2001:db8::7/64", "dev", "m0", "nodad")
    inside(netns, "sysctl", "-q", "-w", "net.ipv4.conf.m0.rp_filter=1", "net.ipv4.conf.all.arp_ignore=2")
    inside(netns, "sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.m0.arp_ignore=8")
    ifindex = int(
        subprocess.run(
            ["ip", "netns", "exec", netns.name, "cat", "/sys/class/net/m0/ifindex"], check=True, capture_output=True
        ).stdout
    )
    # when they are read, also of a device that has gone meanwhile
    told, gone = read_settings(netns, {ifindex: "m0", 999: "gone0"})
    # then
    assert (told.netns, told.ifindex, set(told.addresses)) == (netns.inode, ifindex, {"192.0.2.7", "2001:db8::7"})
    values = {name: (own, of_all) for name, own, of_all in told.settings}
    assert set(values) == set(SETTINGS)
    assert values["rp_filter"] == (1, 0) and values["arp_ignore"] == (8, 2)
    assert (gone.ifindex, gone.addresses, gone.settings) == (999, (), ())
