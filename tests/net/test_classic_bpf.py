# SPDX-License-Identifier: GPL-2.0-or-later
"""Classic BPF in columns: its verdicts are those of libpcap's own interpreter, and none where bytes are missing."""

import numpy as np
import pytest
from filtering import EXPRESSIONS, FRAMES, in_file

from bondtrace.net import pcap
from bondtrace.net.classic_bpf import ACCEPT, BLIND, REJECT, run

WHOLE = [in_file(*frame) for frame in FRAMES]
LENGTHS = np.array([len(frame) for frame in WHOLE])
BYTES = np.stack([np.frombuffer(frame.ljust(max(LENGTHS), b"\xaa"), np.uint8) for frame in WHOLE])
CUTS = (0, 1, 12, 14, 15, 23, 24, 33, 34, 37, 38, 50, 54, 80)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_verdict_is_libpcaps_or_none_where_bytes_are_missing(expression):
    program, expected = pcap.compile_filter(expression), np.array(pcap.verdicts(expression, WHOLE), int)

    assert run(program, BYTES, LENGTHS, LENGTHS).tolist() == expected.tolist()
    for cut in CUTS:
        kept = np.minimum(LENGTHS, cut)
        zeroed = np.where(np.arange(BYTES.shape[1]) < kept[:, None], BYTES, 0xAA).astype(np.uint8)
        verdicts = run(program, zeroed, kept, LENGTHS)
        told = verdicts != BLIND
        assert verdicts[told].tolist() == expected[told].tolist(), cut


@pytest.mark.parametrize(
    "expression, kept, verdict",
    [
        ("ip", 13, BLIND),
        ("ip", 14, ACCEPT),
        ("arp", 14, REJECT),
        ("icmp", 23, BLIND),
        ("icmp", 24, ACCEPT),
        ("icmp[0] = 8", 34, BLIND),
        ("icmp[0] = 8", 35, ACCEPT),
        ("icmp[500] = 8", 35, REJECT),  # beyond the packet itself: no byte is missing
        ("greater 90", 0, ACCEPT),
    ],
)
def test_how_many_bytes_a_filter_needs(expression, kept, verdict):
    assert run(pcap.compile_filter(expression), BYTES[:1], np.array([kept]), LENGTHS[:1]).tolist() == [verdict]


def test_of_no_packets_there_are_no_verdicts():
    assert run(pcap.compile_filter("icmp"), BYTES[:0], LENGTHS[:0], LENGTHS[:0]).tolist() == []
