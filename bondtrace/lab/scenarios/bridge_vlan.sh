# SPDX-License-Identifier: GPL-2.0-or-later
# title: a bridge that knows VLANs, on a bond
# description: br1 with bond0 as a trunk and a guest's veth as an untagged port of VLAN 10; br1.20 is the host's own: a ping to each
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface veth0 --iface eth9

setup() {
    make_gateway
    make_bond bond0 active-backup eth0 eth1
    make_namespace guest
    ip link add br1 type bridge forward_delay 0 mcast_snooping 0 vlan_filtering 1
    ip link set bond0 master br1
    ip link set br1 up
    ip link add veth0 type veth peer name eth9 netns guest
    ip link set veth0 master br1 up
    ip -n guest link set eth9 up
    bridge vlan add dev bond0 vid 10
    bridge vlan add dev bond0 vid 20
    bridge vlan add dev br1 vid 20 self
    bridge vlan add dev veth0 vid 10 pvid untagged
    ip link add link br1 name br1.20 type vlan id 20
    ip link set br1.20 up
    ip addr add 10.20.0.2/24 dev br1.20
    ip -n guest addr add 10.10.0.2/24 dev eth9
    local number
    for number in 10 20; do
        ip -n gw link add link br0 name br0.$number type vlan id $number
        ip -n gw link set br0.$number up
        ip -n gw addr add 10.$number.0.1/24 dev br0.$number
    done
    start_taps eth0 bond0 veth0 br1.20
    start_tap_in guest eth9 eth9
}

play() {
    in_namespace gw ping_with packet-195 10.10.0.2
    in_namespace gw ping_with packet-196 10.20.0.2
    pause 1
}
