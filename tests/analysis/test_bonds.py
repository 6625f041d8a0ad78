# SPDX-License-Identifier: GPL-2.0-or-later
"""A bond's verdict is explained by its mode, and by those of its options that decided."""

from dataclasses import replace

import pytest

from bondtrace.analysis.bonds import Asked, reason
from build import BROADCAST, DEVICES, A

BOND, ACTIVE, BACKUP = DEVICES["bond0"], DEVICES["eth0"], DEVICES["eth1"]
ARP, IPV4 = 0x0806, 0x0800
GROUP = bytes.fromhex("01005e000001")


def asked(device=BACKUP, protocol=IPV4, destination=BROADCAST, **bond):
    return Asked(protocol, destination, device, replace(BOND, **bond), "eth0")


EVERY = ", let up by all_slaves_active: what a switch floods comes once per slave"


@pytest.mark.parametrize(
    ("one", "phrase"),
    [
        (asked(), "active slave"),  # it became active, and that was not read yet
        (asked(all_slaves_active=False), "active slave"),
        (asked(all_slaves_active=True), f"backup slave{EVERY}"),
        (asked(ACTIVE, all_slaves_active=True), "active slave"),
        (asked(all_slaves_active=True, bond_mode="802.3ad"), f"port that is not enabled{EVERY}"),
        (asked(ACTIVE, all_slaves_active=True, bond_mode="802.3ad"), "enabled port of 802.3ad"),
        # in these two modes all slaves have the state active, and one is current
        (
            asked(replace(BACKUP, slave_state="active"), all_slaves_active=True, bond_mode="balance-tlb"),
            f"not the current slave of balance-tlb{EVERY}",
        ),
        (asked(ACTIVE, all_slaves_active=True, bond_mode="balance-tlb"), "current slave of balance-tlb"),
        (asked(all_slaves_active=True, bond_mode="balance-alb"), f"not the current slave of balance-alb{EVERY}"),
        (
            asked(all_slaves_active=True, bond_mode="balance-alb", destination=A),
            "a slave of balance-alb that may receive this frame",
        ),
        (asked(all_slaves_active=True, bond_mode="balance-rr", device=ACTIVE), "every slave receives in balance-rr"),
    ],
)
def test_what_is_let_up(one, phrase):
    assert reason("ANOTHER", one) == phrase


@pytest.mark.parametrize(
    ("one", "phrase"),
    [
        (asked(), "inactive slave"),
        (asked(primary=2), "inactive slave: eth0, the primary, is active"),
        (
            asked(primary=3, primary_reselect="failure"),
            "inactive slave, though it is the primary (primary_reselect failure)",
        ),
        (asked(primary=9), "inactive slave"),
        (asked(replace(BACKUP, mii_status="down"), primary=2), "inactive slave: its link is down"),
        (asked(replace(BACKUP, mii_status="up")), "inactive slave"),
        (asked(replace(BACKUP, mii_status="going back")), "inactive slave: its link is going back"),
        (
            asked(resend_igmp=0, destination=GROUP),
            "inactive slave; resend_igmp is 0: after a failover nothing tells the switch where its groups are now",
        ),
        (asked(resend_igmp=1, destination=GROUP), "inactive slave"),
        (asked(resend_igmp=0), "inactive slave"),
    ],
)
def test_what_is_kept(one, phrase):
    assert reason("EXACT", one) == phrase


def port(actor, partner, aggregator=2):
    return replace(BACKUP, ad_actor_state=actor, ad_partner_state=partner, ad_aggregator=aggregator)


@pytest.mark.parametrize(
    ("one", "ad_partner", "told"),
    [
        (BACKUP, None, ""),
        (port(0x45, 0x02), "02:00:00:00:00:01", "; LACP as last read: aggregator 2, no partner has answered"),
        (port(0x05, 0x02), "00:00:00:00:00:00", "; LACP as last read: aggregator 2, no partner has answered"),
        (port(0x87, 0x3F), "02:00:00:00:00:01", "; LACP as last read: aggregator 2, its partner's word has expired"),
        (port(0x07, 0x07, None), None, "; LACP as last read: its partner is not in sync"),
        (port(0x0F, 0x3F), "02:00:00:00:00:01", "; LACP as last read: aggregator 2, partner 02:00:00:00:00:01"),
        (port(0x0F, 0x3F), None, "; LACP as last read: aggregator 2, the aggregator is not the active one"),
    ],
)
def test_a_port_that_is_not_enabled_is_told_with_what_its_partner_says(one, ad_partner, told):
    found = reason("EXACT", asked(one, bond_mode="802.3ad", ad_partner=ad_partner))

    assert found == f"port of 802.3ad that is not enabled{told}"


@pytest.mark.parametrize(
    ("policy", "state", "told"),
    [
        (None, "backup", "the ARP monitor looked at it"),
        ("none", "backup", "the ARP monitor looked at it"),
        ("all", "backup", "the ARP monitor looked at it: arp_validate all"),
        ("backup", "backup", "the ARP monitor looked at it: arp_validate backup"),
        ("filter_backup", "backup", "the ARP monitor looked at it: arp_validate filter_backup"),
        ("active", "backup", "the ARP monitor took it unchecked for a sign of life: arp_validate active"),
        ("filter", "backup", "the ARP monitor took it unchecked for a sign of life: arp_validate filter"),
        ("backup", "active", "the ARP monitor took it unchecked for a sign of life: arp_validate backup"),
        ("active", None, "the ARP monitor looked at it: arp_validate active"),
    ],
)
def test_the_arp_monitor_checks_those_slaves_that_arp_validate_names(policy, state, told):
    one = asked(replace(BACKUP, slave_state=state), ARP, arp_interval_ms=100, arp_validate=policy)

    assert reason("EXACT", one) == f"inactive slave; {told}"
    assert reason("PASS", one) == f"link-local frame on an inactive slave; {told}"
    assert reason("CONSUMED", one) == "consumed by the bond; why is not recorded"
