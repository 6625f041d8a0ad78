# SPDX-License-Identifier: GPL-2.0-or-later
"""What was captured and is not in a tool's file."""

from dataclasses import replace

import pytest

from bondtrace.analysis.in_file import left_out
from bondtrace.model import Process
from build import HERE, scene, tcpdump

LO, ETH0 = 1, 2
RECEIVED, SENT = {(HERE, ETH0, "rx"): 5}, {(HERE, ETH0, "tx"): 3}
LOOPED = {(HERE, LO, "tx"): 4, (HERE, LO, "rx"): 4}


OF_3 = "captured 3 packets sent, which -Q in discards in user space"
OF_5 = "captured 5 packets received, which -Q out discards in user space"
ON_LO = "captured 4 packets sent on a loopback device, which libpcap discards: received there, too"


@pytest.mark.parametrize(
    "options, captured, expected",
    [
        (["-Q", "in"], {**RECEIVED, **SENT}, [OF_3]),
        (["-Qout"], {**RECEIVED, **SENT}, [OF_5]),
        (["--direction=in"], SENT, [OF_3]),
        # nothing of the other direction, no direction, both
        (["-Q", "in"], RECEIVED, []),
        (["-Q", "in"], {**RECEIVED, (HERE, ETH0, "tx"): 0}, []),
        ([], {**RECEIVED, **SENT}, []),
        (["-Q", "inout"], {**RECEIVED, **SENT}, []),
        # a loopback device
        ([], LOOPED, [ON_LO]),
        (["-Q", "in"], LOOPED, [OF_3.replace("3", "4")]),
    ],
)
def test_what_libpcap_discards_is_told(options, captured, expected):
    assert list(left_out(tcpdump(7, "eth0", *options), captured, scene())) == expected


def test_of_other_programs_nothing_is_said():
    other = replace(tcpdump(7, "eth0"), processes=(Process(9, "sniffer", "sniffer -Q in"),))
    assert list(left_out(other, {**SENT, **LOOPED}, scene())) == []
    assert list(left_out(replace(other, processes=()), LOOPED, scene())) == []
