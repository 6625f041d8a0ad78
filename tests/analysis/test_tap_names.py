# SPDX-License-Identifier: GPL-2.0-or-later
"""The name that people use for a tap, from what /proc says about its process."""

import pytest

from bondtrace.analysis.tap_names import LABEL_CHARS, NO_PROCESS, label, process_label, told_apart
from bondtrace.model import Process, Tap


def tap(*processes):
    return Tap(1, 1, 0, 3, "raw", processes=processes)


@pytest.mark.parametrize(
    ("comm", "cmdline", "expected"),
    [
        # capture tools: device and filter, nothing else
        ("tcpdump", "tcpdump -i eth0 icmp", "tcpdump -i eth0 icmp"),
        ("tcpdump", "/usr/bin/tcpdump -i eth0 -w /dev/null icmp or arp", "tcpdump -i eth0 icmp or arp"),
        ("tcpdump", "tcpdump", "tcpdump"),
        ("tcpdump", "tcpdump -ni any", "tcpdump -i any"),
        ("tcpdump", "tcpdump -nnvvibond0 -c 5", "tcpdump -i bond0"),
        ("tcpdump", "tcpdump icmp -i eth0", "tcpdump -i eth0 icmp"),
        ("tcpdump", "tcpdump --interface=eth0 -Z root port 80", "tcpdump -i eth0 port 80"),
        ("tcpdump", "tcpdump --interface eth0 --count port 80", "tcpdump -i eth0 port 80"),
        ("tcpdump", "tcpdump --immediate-mode -s 0 -i eth0 -- not port 22", "tcpdump -i eth0 not port 22"),
        ("tcpdump", "tcpdump -i", "tcpdump"),
        ("tcpdump", "tcpdump -w - -i eth0 -", "tcpdump -i eth0 -"),
        ("dumpcap", "/usr/bin/dumpcap -n -i eth0 -Z none", "dumpcap -i eth0"),
        ("dumpcap", "dumpcap -i eth0 -f icmp or arp -w /tmp/x", "dumpcap -i eth0 icmp or arp"),
        ("tshark", "tshark -i eth0 -i eth1 -Y dns -f port 53", "tshark -i eth0 -i eth1 port 53"),
        # daemons: the program
        ("lldpd", "lldpd: monitor. ", "lldpd"),
        ("dhclient", "/sbin/dhclient -4 -v -i -pf /run/dhclient.eth0.pid eth0", "dhclient"),
        ("dhcpcd", "dhcpcd: [BPF BOOTP] eth0", "dhcpcd"),
        ("NetworkManager", "/usr/sbin/NetworkManager --no-daemon", "NetworkManager"),
        ("wpa_supplicant", "/sbin/wpa_supplicant -u -s", "wpa_supplicant"),
        ("keepalived", "/usr/sbin/keepalived --dont-fork", "keepalived"),
        ("zeek", "/opt/zeek/bin/zeek -i af_packet::eth0", "zeek"),
        ("snort", "snort -i eth0", "snort"),
        ("Suricata-Main", "/usr/bin/suricata -D --af-packet", "suricata"),
        # names that the kernel cut at 15 bytes
        ("systemd-network", "/lib/systemd/systemd-networkd", "systemd-networkd"),
        ("systemd-network", "", "systemd-networkd"),
        ("a-name-of-fiftee", "/usr/bin/a-name-of-fifteen-and-more", "a-name-of-fiftee"),
        ("a-name-of-fifte", "/usr/bin/a-name-of-fifteen-and-more", "a-name-of-fifteen-and-more"),
        ("a-name-of-fifte", "something else", "a-name-of-fifte"),
        # weird ones
        ("", "/usr/bin/sniff --all", "sniff"),
        ("", "", "pid 9"),
        ("evil\x1b[31m\n", "x", "evil\\x1b[31m\\x0a"),
        ("tcpdump", "tcpdump -i \udcff\u202e", "tcpdump -i \\xff\\xe2\\x80\\xae"),
        ("réseau", "réseau", "réseau"),
        ("tcpdump", "tcpdump " + "x" * 200, "tcpdump " + "x" * 71 + "…"),
    ],
)
def test_the_name_of_a_process(comm, cmdline, expected):
    assert process_label(Process(9, comm, cmdline)) == expected


def test_a_tap_without_a_process_says_so():
    assert label(tap()) == NO_PROCESS == "(no process: held by the kernel or hidden)"


def test_processes_of_one_name_are_named_once():
    assert label(tap(Process(7, "lldpd", "lldpd: monitor."), Process(8, "lldpd", "lldpd: no neighbor."))) == "lldpd"


def test_of_several_the_first_is_named_and_process_1_last():
    # given a socket that systemd hands to two others
    holders = [Process(1, "systemd", "/sbin/init"), Process(8, "b", "b"), Process(7, "a", "a")]
    # when / then
    assert label(tap(*holders)) == "a and 2 more"


def test_a_label_is_never_longer_than_it_may_be():
    holders = [Process(7, "tcpdump", "tcpdump " + "x" * 200), Process(8, "b", "b")]
    assert label(tap(*holders)) == "tcpdump " + "x" * 60 + "… and 1 more"


def names_of(*lines):
    """The names of taps of processes with these command lines."""
    taps = (
        Tap(place, 1, 0, 3, "raw", processes=(Process(800 + place, line.split()[0], line),))
        for place, line in enumerate(lines)
    )
    return list(told_apart(taps).values())


@pytest.mark.parametrize(
    "lines, expected",
    [
        # one of its kind
        (["tcpdump -i eth0 -w a.pcap -Q in"], ["tcpdump -i eth0"]),
        (["tcpdump -i eth0", "tcpdump -i eth1 -w a.pcap"], ["tcpdump -i eth0", "tcpdump -i eth1"]),
        (["tcpdump -i eth0 icmp -w a", "tcpdump -i eth0 -w b"], ["tcpdump -i eth0 icmp", "tcpdump -i eth0"]),
        # what differs
        (
            ["tcpdump -i eth0 -w /tmp/a.pcap", "tcpdump -i eth0 -w /tmp/b.pcap"],
            ["tcpdump -i eth0 -w a.pcap", "tcpdump -i eth0 -w b.pcap"],
        ),
        (["tcpdump -i eth0 -Qin", "tcpdump -i eth0"], ["tcpdump -i eth0 -Q in", "tcpdump -i eth0"]),
        (
            ["tcpdump -i eth0 --direction=in -w a", "tcpdump -i eth0 -Q out -w a"],
            ["tcpdump -i eth0 -Q in", "tcpdump -i eth0 -Q out"],
        ),
        (["tcpdump -i eth0", "tcpdump -i eth0"], ["tcpdump -i eth0 pid 800", "tcpdump -i eth0 pid 801"]),
        (
            ["tcpdump -i eth0 -w a", "tcpdump -i eth0 -w a", "tcpdump -i eth0 -w b"],
            ["tcpdump -i eth0 -w a pid 800", "tcpdump -i eth0 -w a pid 801", "tcpdump -i eth0 -w b pid 802"],
        ),
        (["lldpd", "lldpd"], ["lldpd pid 800", "lldpd pid 801"]),
        (["tshark -i eth0 -Q", "tshark -i eth0 -w x"], ["tshark -i eth0", "tshark -i eth0 -w x"]),
    ],
)
def test_names_that_several_have_are_told_apart_by_what_differs(lines, expected):
    assert names_of(*lines) == expected


def test_taps_of_one_process_and_those_of_none_keep_their_name():
    holder = (Process(9, "lldpd", "lldpd"),)
    taps = [Tap(1, 1, 2, 3, "raw", processes=holder), Tap(2, 1, 3, 3, "raw", processes=holder), tap(), tap()]
    assert set(told_apart(taps).values()) == {"lldpd", NO_PROCESS}


def test_a_name_that_is_told_apart_is_printable_and_short():
    evil = "tcpdump -i eth0 " + "x" * 200 + " -w /tmp/\x1b[31m" + "y" * 99
    found = names_of(evil + "1", "tcpdump -i eth0 " + "x" * 200)
    assert all(len(name) <= LABEL_CHARS and name.isprintable() for name in found) and len(set(found)) == 2
