# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices: parsed from the kernel's own bytes, watched as they change, and related to each other.

The captured messages are answers of Debian's kernel 6.1 (amd64) to an RTM_GETLINK dump on a host
with bond0 (active-backup; a port of the bridge br0) over the veths eth0 and eth1, and a VLAN on
it; attributes that nobody reads (statistics, af_spec, queue lengths ...) are taken out.
"""

import errno
import os
import select
import struct
import subprocess
import sys

import pytest

from bondtrace.capture.host import devices, namespaces, netlink
from bondtrace.capture.host.devices import Change, ElsewhereMonitor, LinkMonitor
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.model import Device
from bondtrace.net import topology

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the captured bytes are little-endian")

ETH0 = bytes.fromhex(
    "0000010002000000431801000000000009000300657468300000000008000400dc05000008001e000200000008000a00"
    "040000000a000100a677be2d776f00005400120009000100766574680000000009000400626f6e640000000038000500"
    "0500010000000000050002000000000008000300000000000a000400a677be2d776f0000060005000000000008000900"
    "0000000008002500000000000800050002000000"
)
BOND0 = bytes.fromhex(
    "000001000400000043140100000000000a000300626f6e643000000008000400dc05000008001e000100000008000a00"
    "060000000a000100a677be2d776f00001802120009000100626f6e6400000000cc000200050001000100000008000200"
    "0200000008000300320000000800040000000000080005000000000008001c0000000000050006000100000008000700"
    "00000000080009000000000008000a000000000005000c000000000005000d000000000005000e000000000008000f00"
    "010000000500100001000000050011000000000008001200000000000800130001000000080014000100000005001d00"
    "010000000500150000000000050016000000000005001b000100000005001e000200000005002000010000000b000400"
    "627269646765000030010500050001000000000006000200200000000800030002000000050004000000000005000500"
    "000000000500060000000000050007000000000005001c00000000000500080001000000050009000100000005001b00"
    "0100000005001e000100000005000a000000000005000c00000000000c000d008000a677be2d776f0c000e008000a677"
    "be2d776f06000f0001800000060010000000000006001100018000000600120001000000050013000000000005001400"
    "0000000005001d000000000006001f000000000005002000000000000500230000000000050024000000000005002100"
    "0000000005002700000000000c00150000000000000000000c00160000000000000000000c0017000000000000000000"
    "050019000100000008002500000200000800260000000000"
)
VLAN = bytes.fromhex(
    "000001000500000043100100000000000e000300626f6e64302e31303000000008000400dc05000008001e0000000000"
    "0a000100a677be2d776f00003000120009000100766c616e000000002000020006000500810000000600010064000000"
    "0c00020001000000ffffffff0800050004000000"
)
IFINFOMSG = struct.Struct("=BxHiII")


def link(name=b"x0\0", family=0, arphrd=1, flags=0, extra=b""):
    """The payload of an RTM_NEWLINK for ifindex 9, as include/uapi/linux/if_link.h lays it out."""
    return IFINFOMSG.pack(family, arphrd, 9, flags, 0) + netlink.attribute(3, name) + extra


def link_info(*parts):
    """IFLA_LINKINFO with the given (type, value) attributes in it."""
    return netlink.attribute(18, b"".join(netlink.attribute(kind, value) for kind, value in parts))


@little_endian
def test_a_slave_of_a_bond():
    assert devices.parse_device(7, ETH0) == Device(
        netns=7,
        ifindex=2,
        name="eth0",
        kind="veth",
        master=4,
        link=2,
        link_netnsid=0,
        up=True,
        address="a6:77:be:2d:77:6f",
        mtu=1500,
        promiscuity=2,
        slave_state="active",
        mii_status="up",
    )


@little_endian
def test_a_bond_in_a_bridge():
    assert devices.parse_device(7, BOND0) == Device(
        netns=7,
        ifindex=4,
        name="bond0",
        kind="bond",
        master=6,
        up=True,
        address="a6:77:be:2d:77:6f",
        mtu=1500,
        promiscuity=1,
        bond_mode="active-backup",
        active_slave=2,
        arp_interval_ms=0,
        all_slaves_active=False,
        primary_reselect="always",
        resend_igmp=1,
        arp_validate="none",
        lacp_active=True,
    )


@little_endian
def test_a_vlan():
    assert devices.parse_device(7, VLAN) == Device(
        netns=7,
        ifindex=5,
        name="bond0.100",
        kind="vlan",
        link=4,
        up=True,
        address="a6:77:be:2d:77:6f",
        mtu=1500,
        vlan_id=100,
        vlan_protocol=0x8100,
    )


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "balance-rr"),
        (1, "active-backup"),
        (2, "balance-xor"),
        (3, "broadcast"),
        (4, "802.3ad"),
        (5, "balance-tlb"),
        (6, "balance-alb"),
        (7, "mode-7"),
    ],
)
def test_bond_modes_by_the_names_of_the_bonding_documentation(number, name):
    # given a bond without active slave (the attribute is left out then)
    payload = link(extra=link_info((1, b"bond\0"), (2, netlink.attribute(1, bytes([number])))))
    # when / then
    assert devices.parse_device(7, payload) == Device(7, 9, "x0", "bond", bond_mode=name)


@pytest.mark.parametrize(
    ("slave_kind", "data", "state"),
    [
        (b"bond\0", netlink.attribute(1, b"\0"), "active"),
        (b"bond\0", netlink.attribute(1, b"\1"), "backup"),
        (b"bond\0", netlink.attribute(1, b"\2"), "state-2"),
        (b"bond\0", b"", None),
        (b"bridge\0", netlink.attribute(1, b"\1"), None),
    ],
)
def test_slave_states_only_of_slaves_of_a_bond(slave_kind, data, state):
    payload = link(extra=link_info((4, slave_kind), (5, data)))
    assert devices.parse_device(7, payload) == Device(7, 9, "x0", "ether", slave_state=state)


def u8(kind, value):
    return netlink.attribute(kind, bytes([value]))


def u32(kind, value):
    return netlink.attribute(kind, struct.pack("=I", value))


@pytest.mark.parametrize(
    ("attribute", "field", "value"),
    [
        *((u8(17, number), "all_slaves_active", bool(number)) for number in (0, 1)),
        (u32(11, 7), "primary", 7),
        *((u8(12, n), "primary_reselect", name) for n, name in enumerate(("always", "better", "failure", "policy-3"))),
        (u32(15, 0), "resend_igmp", 0),
        *(
            (u32(9, number), "arp_validate", name)
            for number, name in enumerate(
                ("none", "active", "backup", "all", "filter", "filter_active", "filter_backup", "policy-7")
            )
        ),
        (u8(29, 0), "lacp_active", False),
        (netlink.attribute(23, netlink.attribute(5, bytes.fromhex("020000000009"))), "ad_partner", "02:00:00:00:00:09"),
        (netlink.attribute(23, b""), "ad_partner", None),
    ],
)
def test_options_of_a_bond(attribute, field, value):
    payload = link(extra=link_info((1, b"bond\0"), (2, attribute)))
    assert devices.parse_device(7, payload) == Device(7, 9, "x0", "bond", **{field: value})


@pytest.mark.parametrize(
    ("attribute", "field", "value"),
    [
        *((u8(2, n), "mii_status", name) for n, name in enumerate(("up", "going down", "down", "going back"))),
        (netlink.attribute(6, struct.pack("=H", 300)), "ad_aggregator", 300),
        (u8(7, 0x3D), "ad_actor_state", 0x3D),
        (netlink.attribute(8, struct.pack("=H", 0x3F)), "ad_partner_state", 0x3F),
    ],
)
def test_state_of_a_slave(attribute, field, value):
    def parsed(slave_kind):
        return devices.parse_device(7, link(extra=link_info((4, slave_kind), (5, attribute))))

    assert parsed(b"bond\0") == Device(7, 9, "x0", "ether", **{field: value})
    assert parsed(b"bridge\0") == Device(7, 9, "x0", "ether")


@pytest.mark.parametrize("protocol", [0x8100, 0x88A8])
def test_a_vlans_tag_protocol_is_in_network_order(protocol):
    payload = link(extra=link_info((1, b"vlan\0"), (2, netlink.attribute(5, struct.pack("!H", protocol)))))
    assert devices.parse_device(7, payload) == Device(7, 9, "x0", "vlan", vlan_protocol=protocol)


@pytest.mark.parametrize(("arphrd", "kind"), [(1, "ether"), (772, "loopback"), (65534, "arphrd-65534")])
def test_a_device_without_a_kind_is_named_by_its_hardware(arphrd, kind):
    assert devices.parse_device(7, link(arphrd=arphrd)) == Device(7, 9, "x0", kind, arphrd=arphrd)


def test_a_name_that_is_no_utf8_survives():
    device = devices.parse_device(7, link(name=b"eth\xe9\0"))
    assert os.fsencode(device.name) == b"eth\xe9"


@pytest.mark.parametrize(
    "payload",
    [link(family=7), link(extra=netlink.attribute(11, b"\0\0\0\0")), IFINFOMSG.pack(0, 1, 9, 0, 0), b"\0\0\1\0"],
    ids=["about a bridge port", "wireless event", "no name", "cut short"],
)
def test_messages_that_describe_no_device(payload):
    assert devices.parse_device(7, payload) is None


def test_changes_in_order_and_a_port_that_leaves_its_bridge_is_not_removed():
    # given one datagram: changed, a bridge's word that a port left (AF_BRIDGE), removed, an address
    data = netlink.message(16, 0, 0, link(flags=1))
    data += netlink.message(17, 0, 0, link(family=7))
    data += netlink.message(17, 0, 0, link())
    data += netlink.message(20, 0, 0, b"\0" * 8)
    # when / then
    assert devices.parse_changes(7, data) == [
        Change("add", Device(7, 9, "x0", "ether", up=True)),
        Change("remove", Device(7, 9, "x0", "ether")),
    ]


# --- names ---

THERE = ((2, "eth0"), (3, "mv0"), (4, "mv1"))


def test_an_unknown_name_is_wrong_use():
    with pytest.raises(UsageError) as raised:
        devices.require_names([Device(2, number, name, "ether") for number, name in THERE], ["mv0", "nosuch"])
    assert str(raised.value) == (
        "no device named 'nosuch' in this network namespace (there are: eth0, mv0, mv1; `ip link` lists them)"
    )


# --- for real ---


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def netns():
    """A new network namespace of its own, gone afterwards with everything in it."""
    name = f"bt-dev-{os.getpid()}"
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    yield namespaces.resolve(name)
    ip("netns", "del", name)


def read_until(monitor, count):
    """Read changes until there are ``count``, waiting at most 5 s for each."""
    changes = []
    while len(changes) < count and select.select([monitor], [], [], 5)[0]:
        changes += monitor.read()
    return changes


def test_the_devices_of_this_host_as_sysfs_has_them():
    # when
    found = devices.read_devices([namespaces.current_namespace()])
    # then
    told = {d.name: (d.ifindex, d.arphrd, d.mtu, d.address) for d in found}

    def sysfs(name, file):
        with open(f"/sys/class/net/{name}/{file}", encoding="ascii") as content:
            return content.read().strip()

    assert told == {
        name: (int(sysfs(name, "ifindex")), int(sysfs(name, "type")), int(sysfs(name, "mtu")), address)
        for name in os.listdir("/sys/class/net")
        if os.path.isdir(f"/sys/class/net/{name}")
        for address in [sysfs(name, "address")]
    }


def test_devices_of_another_namespace(netns):
    # given a veth pair, one end in a bridge
    pair = ["address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "v1", "address", "02:00:00:00:00:02"]
    ip("-n", netns.name, "link", "add", "v0", *pair)
    ip("-n", netns.name, "link", "add", "br0", "address", "02:00:00:00:00:03", "type", "bridge")
    ip("-n", netns.name, "link", "set", "v1", "master", "br0")
    # when
    found = {d.name: d for d in devices.read_devices([netns])}
    # then
    v0, v1, bridge = found["v0"], found["v1"], found["br0"]
    assert set(found) >= {"lo", "v0", "v1", "br0"}
    told = {"link": v1.ifindex, "address": "02:00:00:00:00:01", "mtu": 1500, "qdisc": "noop"}
    assert v0 == Device(netns.inode, v0.ifindex, "v0", "veth", **told)
    assert v1 == Device(
        netns.inode,
        v1.ifindex,
        "v1",
        "veth",
        master=bridge.ifindex,
        link=v0.ifindex,
        address="02:00:00:00:00:02",
        mtu=1500,
        promiscuity=1,
        qdisc="noop",
    )

    # when they are up, then they have no queue
    for name in ("v0", "v1"):
        ip("-n", netns.name, "link", "set", name, "up")
    assert {d.qdisc for d in devices.read_devices([netns]) if d.name in ("v0", "v1")} == {"noqueue"}


def test_a_macvlan_on_a_device_of_another_namespace_knows_which(netns):
    # given a veth here and a macvlan on it over there
    name = f"btm{os.getpid() % 100000}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    try:
        added = ["ip", "link", "add", "link", name, "name", "mv0", "netns", netns.name, "type", "macvlan"]
        if subprocess.run(added, capture_output=True, check=False).returncode:
            pytest.skip("this kernel has no macvlan")
        # when
        here = namespaces.current_namespace()
        found = devices.read_devices([here, netns])
    finally:
        ip("link", "del", name)
    # then
    lower = next(d for d in found if d.name == name)
    upper = next(d for d in found if d.name == "mv0")
    assert (upper.kind, upper.link, upper.link_netns) == ("macvlan", lower.ifindex, here.inode)
    expected = {(here.inode, lower.ifindex), (netns.inode, upper.ifindex)}
    assert topology.family(found, [(here.inode, lower.ifindex)]).all == expected


def test_a_monitor_sees_a_device_come_change_and_go(netns):
    with LinkMonitor(netns) as monitor:
        assert monitor.read() == []
        # when
        pair = ["type", "veth", "peer", "name", "m1", "address", "02:00:00:00:00:02"]
        ip("-n", netns.name, "link", "add", "m0", "address", "02:00:00:00:00:01", *pair)
        ip("-n", netns.name, "link", "set", "m0", "mtu", "1400")
        ip("-n", netns.name, "link", "del", "m0")
        # then the peer comes first, still without m0; both go
        changes = read_until(monitor, 5)
    index = {d.name: d.ifindex for _, d, _ in changes}
    told = {"link": index["m1"], "address": "02:00:00:00:00:01", "mtu": 1500, "qdisc": "noop"}
    m0 = Device(netns.inode, index["m0"], "m0", "veth", **told)
    seen = [(what, d.name, d.mtu) for what, d, _ in changes]
    assert changes[1] == Change("add", m0)
    assert seen[:3] == [("add", "m1", 1500), ("add", "m0", 1500), ("add", "m0", 1400)]
    assert sorted(seen[3:]) == [("remove", "m0", 1400), ("remove", "m1", 1500)]


def test_a_device_that_is_moved_to_another_namespace_is_heard_of_elsewhere(netns):
    # given a veth here, and a macvlan on it
    name = f"btn{os.getpid() % 100000}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    here = namespaces.current_namespace()
    try:
        added = ["ip", "link", "add", "link", name, "name", "mv9", "type", "macvlan"]
        if subprocess.run(added, capture_output=True, check=False).returncode:
            pytest.skip("this kernel has no macvlan")
        with LinkMonitor(here) as monitor, ElsewhereMonitor(here) as elsewhere:
            # when it is moved, and set up there
            ip("link", "set", "mv9", "netns", netns.name)
            ip("-n", netns.name, "link", "set", "mv9", "up")
            own, others = read_until(monitor, 2), read_until(elsewhere, 2)
    finally:
        ip("link", "del", name)
    # then
    told = [(what, d.name, d.kind, d.netns) for what, d, _ in own if d.name == "mv9"]
    assert told == [("remove", "mv9", "macvlan", here.inode), ("elsewhere", "mv9", "macvlan", here.inode)]
    assert [(what, d.name, d.up) for what, d, _ in others] == [("elsewhere", "mv9", False), ("elsewhere", "mv9", True)]


def test_the_kernel_notifies_of_a_device_on_which_another_namespace_stacks_one(netns):
    # given a veth here: that nothing of it has changed is what tells
    name = f"bto{os.getpid() % 100000}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    here = namespaces.current_namespace()
    try:
        before = {d.name: d for d in devices.read_devices([here])}
        with LinkMonitor(here) as monitor:
            added = ["ip", "link", "add", "link", name, "name", "mv9", "netns", netns.name, "type", "macvlan"]
            if subprocess.run(added, capture_output=True, check=False).returncode:
                pytest.skip("this kernel has no macvlan")
            changes = read_until(monitor, 1)
    finally:
        ip("link", "del", name)
    # then
    of_it = [one for one in changes if one.device.name == name]  # other tests' devices come and go here, too
    assert of_it[0] == Change("add", before[name])


def test_lost_notifications_ask_for_a_full_read(monkeypatch):
    # given a monitor whose socket overran between two notifications
    answers = [netlink.message(16, 0, 0, link()), OSError(errno.ENOBUFS, ""), BlockingIOError()]

    class Overrun:
        def receive_from(self, wait):
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer, False

        def close(self):
            pass

    monkeypatch.setattr(devices, "open_netlink", lambda *_: Overrun())
    here = namespaces.current_namespace()
    with LinkMonitor(here) as monitor:
        # when / then
        assert monitor.read() == [
            Change("add", Device(here.inode, 9, "x0", "ether")),
            Change("reread", None, here.inode),
        ]


def test_a_namespace_that_cannot_be_entered_is_told(monkeypatch):
    # given
    def refuse(path, protocol, groups=0):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(devices, "open_netlink", refuse)
    blue = Namespace(5, "blue", "/run/netns/blue")
    problems = []
    # when / then
    fact = "cannot read the devices of network namespace blue: not permitted"
    sentence = f"{fact} (run as root, or with CAP_SYS_ADMIN)"
    assert devices.read_devices([blue], problems) == []
    assert problems == [sentence]
    with pytest.raises(BondtraceError) as raised:
        devices.read_devices([blue])
    assert str(raised.value) == sentence
