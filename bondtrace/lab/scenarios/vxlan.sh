# SPDX-License-Identifier: GPL-2.0-or-later
# title: VXLAN over a bond
# description: VXLANs over IPv4 and over IPv6 with the gateway, and a VNI that this host lacks: a ping through each, a datagram to a closed port
# iface: bond0

setup() {
    make_bonded_host
    use_ipv6 bond0 fd00:9::2/64
    in_namespace gw use_ipv6 br0 fd00:9::1/64
    ip link add vx0 type vxlan id 42 dstport 4789 local 10.9.0.2 remote 10.9.0.1 dev bond0
    ip link add vx6 type vxlan id 46 dstport 4789 local fd00:9::2 remote fd00:9::1 dev bond0
    ip addr add 10.42.0.2/24 dev vx0
    ip addr add 10.46.0.2/24 dev vx6
    ip link set vx0 up
    ip link set vx6 up
    local id
    for id in 42 43; do
        ip -n gw link add vx$id type vxlan id $id dstport 4789 local 10.9.0.1 remote 10.9.0.2 dev br0
    done
    ip -n gw link add vx46 type vxlan id 46 dstport 4789 local fd00:9::1 remote fd00:9::2 dev br0
    for id in 42 43 46; do
        ip -n gw addr add 10.$id.0.1/24 dev vx$id
        ip -n gw link set vx$id up
    done
    ip -n gw neigh add 10.43.0.2 lladdr 02:00:00:00:00:43 dev vx43
    start_taps eth0 eth1 bond0 vx0 vx6
}

play() {
    in_namespace gw ping_with packet-001 10.42.0.2
    in_namespace gw send_udp 10.42.0.2 5000 packet-002
    in_namespace gw ping_with packet-003 10.43.0.2 -W 1
    in_namespace gw ping_with packet-004 10.46.0.2
    pause 1
}
