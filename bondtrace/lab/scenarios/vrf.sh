# SPDX-License-Identifier: GPL-2.0-or-later
# title: a bond in a VRF
# description: bond0 belongs to the VRF red, whose tap is shown what is received: a ping, a datagram to a closed port, one that a firewall drops
# iface: bond0
# needs: nft (nftables)

setup() {
    make_bonded_host
    ip link add red type vrf table 10
    ip link set red up
    ip link set bond0 master red
    ip addr replace 10.9.0.2/24 dev bond0
    nft -f - <<'RULES'
table ip filter {
    chain c_input {
        type filter hook input priority 0
        udp dport 5002 drop
    }
}
RULES
    start_taps eth0 eth1 bond0 red any
}

play() {
    in_namespace gw ping_with packet-041 10.9.0.2
    in_namespace gw send_udp 10.9.0.2 5001 packet-042
    in_namespace gw send_udp 10.9.0.2 5002 packet-043
    pause 1
}
