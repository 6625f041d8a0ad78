# SPDX-License-Identifier: GPL-2.0-or-later
# title: tunnels over a bond, beside a tap for IPv4
# description: Geneve, GRE, GRE with Ethernet inside and IPIP with the gateway; a socket for IPv4 on bond0, as a DHCP client has, shares the outer packets
# iface: bond0

# tunnels LOCAL REMOTE HOST: one of each kind; the last byte of their addresses is HOST.
tunnels() {
    local number=11 name
    ip link add gnv0 type geneve id 7 remote "$2"
    ip link add gre1 type gre local "$1" remote "$2" ttl 64
    ip link add tap1 type gretap local "$1" remote "$2" ttl 64
    ip link add ipip1 type ipip local "$1" remote "$2" ttl 64
    for name in gnv0 gre1 tap1 ipip1; do
        ip addr add "10.$number.0.$3/24" dev "$name"
        ip link set "$name" up
        number=$((number + 1))
    done
}

setup() {
    make_bonded_host
    tunnels 10.9.0.2 10.9.0.1 2
    in_namespace gw tunnels 10.9.0.1 10.9.0.2 1
    start_taps eth0 bond0 gnv0 gre1 tap1 ipip1 any
    start_sockets dhcp:bond0:0x0800
}

play() {
    local number
    for number in 11 12 13 14; do in_namespace gw ping_with packet-0$number 10.$number.0.2; done
    in_namespace gw send_udp 10.14.0.2 5000 packet-015
    ping_with packet-016 10.13.0.1
    pause 1
}
