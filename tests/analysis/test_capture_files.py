# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tap wrote a capture file, by what its process was told to write."""

from dataclasses import replace
from pathlib import Path

import pytest

from bondtrace.analysis.capture_files import writer
from bondtrace.errors import UsageError
from bondtrace.model import Process
from build import ON_BOND0, ON_ETH0, TAPS, scene, tcpdump


def tap_with(line, comm="tcpdump"):
    return replace(TAPS[ON_ETH0], processes=(Process(801, comm, line),))


def is_of_it(name, line, comm="tcpdump"):
    """Is a file of this name of the tap with this command line, where another tap writes elsewhere?"""
    around = scene(taps={ON_ETH0: tap_with(line, comm), ON_BOND0: tcpdump(ON_BOND0, "bond0", "-w", "/var/other.pcap")})
    try:
        return writer(Path(name), 1, "", "", around).inode == ON_ETH0
    except UsageError:
        return False


@pytest.mark.parametrize(
    "name, line",
    [
        ("a/eth0.pcap", "tcpdump -i eth0 -w eth0.pcap"),
        ("eth0.pcap", "tcpdump -nni eth0 -w/tmp/x/eth0.pcap icmp"),
        ("eth0.pcap12", "tcpdump -i eth0 -C 10 -w eth0.pcap"),
        ("t-2026-11-28_01.pcap", "tcpdump -G 60 -w t-%Y-%m-%d_%H.pcap"),
        ("t-20261128.pcap3", "tcpdump -G 60 -w /x/t-%F.pcap -C 1"),
        ("all-55", "tcpdump -w all-%S"),
        ("a_00001_20261128010203.pcapng", "dumpcap -b files:3 -i eth0 -w /tmp/a.pcapng"),
    ],
)
def test_a_file_that_its_process_was_told_to_write(name, line):
    assert is_of_it(name, line, line.split()[0])


@pytest.mark.parametrize(
    "name, line, comm",
    [
        ("eth0.pcap", "tcpdump -i eth0 -w eth1.pcap", "tcpdump"),
        ("eth0.pcapx", "tcpdump -i eth0 -w eth0.pcap", "tcpdump"),
        ("eth0.pcap", "tcpdump -i eth0 -r -w eth0.pcap", "tcpdump"),  # of -r
        ("eth0.pcap", "tcpdump -i eth0 -- -w eth0.pcap", "tcpdump"),
        ("eth0.pcap", "other -w eth0.pcap", "other"),
        ("t-1.cap", "tcpdump -w t-%Y.pcap", "tcpdump"),
        ("t", "tcpdump -w " + "%Y" * 500, "tcpdump"),
        ("a_1_2.pcapng", "dumpcap -w a.pcapng", "dumpcap"),
    ],
)
def test_a_file_of_something_else(name, line, comm):
    assert not is_of_it(name, line, comm)


def test_a_whole_path_decides(tmp_path):
    here, elsewhere = tmp_path / "eth0.pcap", "/else/eth0.pcap"
    around = scene(
        taps={ON_ETH0: tap_with(f"tcpdump -w {elsewhere}"), ON_BOND0: tcpdump(ON_BOND0, "bond0", "-w", str(here))}
    )

    assert writer(here, 1, "", "", around).inode == ON_BOND0
    with pytest.raises(UsageError, match=r"may be of several taps; --tap eth0.pcap=INODE"):
        writer(Path("/third/eth0.pcap"), 1, "", "", around)


def test_without_taps_that_is_said():
    with pytest.raises(UsageError, match=r"is of no tap that this recording has"):
        writer(Path("x.pcap"), 1, "", "", scene(taps={}))
