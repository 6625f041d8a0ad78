# SPDX-License-Identifier: GPL-2.0-or-later
# title: a VLAN device that is down, and an outer tag of 802.1ad where there are 802.1Q devices
# description: bond0.200 is down; frames with two tags for bond0.100.7, one of them with an outer tag of 802.1ad
# iface: bond0

setup() {
    make_bonded_host
    ip link add link bond0 name bond0.200 type vlan id 200
    ip link add link bond0 name bond0.100 type vlan id 100
    ip link set bond0.100 up
    ip link add link bond0.100 name bond0.100.7 type vlan id 7
    ip link set bond0.100.7 up
    start_taps eth0 bond0 bond0.100 bond0.100.7
}

play() {
    in_namespace gw send_frame port0 ffffffffffff 020000000001 8100 00c8 88b5 "$(hex packet-141)"
    in_namespace gw send_frame port0 ffffffffffff 020000000001 8100 0064 8100 0007 88b5 "$(hex packet-142)"
    in_namespace gw send_frame port0 ffffffffffff 020000000001 88a8 0064 8100 0007 88b5 "$(hex packet-143)"
    pause 1
}
