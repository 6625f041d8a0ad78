# SPDX-License-Identifier: GPL-2.0-or-later
"""ARP, reverse ARP and inverse ARP."""

from frames import V4, A, B, Case, arp, ether, for_each

CASES = [
    Case("ARP request", ether(0x0806, arp(1, [10, 9, 0, 1], [10, 9, 0, 2])), 42,
         (0x0806, "ARP", *V4, "who-has 10.9.0.2 tell 10.9.0.1"), message="who-has"),
    Case("ARP reply", ether(0x0806, arp(2, [10, 9, 0, 1], [10, 9, 0, 2], B)), 42,
         (0x0806, "ARP", *V4, f"10.9.0.1 is-at {A}"), message="is-at"),
    Case("ARP probe", ether(0x0806, arp(1, [0] * 4, [10, 9, 0, 2])), 42,
         (0x0806, "ARP", "0.0.0.0", "10.9.0.2", "who-has 10.9.0.2 (probe)"), message="who-has"),
    Case("gratuitous request", ether(0x0806, arp(1, [10, 9, 0, 1], [10, 9, 0, 1])), 42,
         (0x0806, "ARP", V4[0], V4[0], "who-has 10.9.0.1 tell 10.9.0.1 (gratuitous)"), message="who-has"),
    Case("gratuitous reply", ether(0x0806, arp(2, [10, 9, 0, 1], [10, 9, 0, 1], A)), 42,
         (0x0806, "ARP", V4[0], V4[0], f"10.9.0.1 is-at {A} (gratuitous)"), message="is-at"),
    Case("RARP", ether(0x8035, arp(3, [0] * 4, [0] * 4, A)), 42,
         (0x8035, "RARP", "0.0.0.0", "0.0.0.0", f"reverse request who-is {A} tell {A}"), message="reverse request"),
    Case("RARP reply", ether(0x8035, arp(4, [10, 9, 0, 1], [10, 9, 0, 2], B)), 42,
         (0x8035, "RARP", *V4, f"reverse reply {B} is 10.9.0.2"), message="reverse reply"),
    Case("inverse request", ether(0x0806, arp(8, [10, 9, 0, 1], [0] * 4, B)), 42,
         (0x0806, "ARP", V4[0], "0.0.0.0", f"inverse request who-is {B} tell {A}"), message="inverse request"),
    Case("inverse reply", ether(0x0806, arp(9, [10, 9, 0, 1], [10, 9, 0, 2], B)), 42,
         (0x0806, "ARP", *V4, f"inverse reply {A} is 10.9.0.1"), message="inverse reply"),
    Case("operation without a name", ether(0x0806, arp(17, [10, 9, 0, 1], [10, 9, 0, 2], B)), 42,
         (0x0806, "ARP", *V4, "operation 17"), message="operation"),
    Case("ARP for something else", ether(0x0806, b"\0\1\x80\x9b\6\3\0\1" + bytes(18)), 22,
         (0x0806, "ARP", A, B, "request hardware 1 protocol 0x809b"), message="request"),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)
