# SPDX-License-Identifier: GPL-2.0-or-later
# title: containers on a bond: macvlan, ipvlan, and a bridge
# description: A macvlan on bond0 and an ipvlan on bond0.40, each with the number of a device here, and a veth behind a bridge on bond0.41
# iface: bond0
# trace: --netns /proc/self/ns/net --netns c1 --netns c2 --netns c3 --iface bond0 --iface veth3 --iface e3

setup() {
    make_bonded_host
    local number
    for number in 1 2 3; do make_namespace c$number; done
    for number in 40 41; do
        ip link add link bond0 name bond0.$number type vlan id $number
        ip link set bond0.$number up
        ip -n gw link add link br0 name br0.$number type vlan id $number
        ip -n gw link set br0.$number up
        ip -n gw addr add 10.$number.0.1/24 dev br0.$number
    done
    next_number c1 eth0
    next_number c2 eth1
    ip link add link bond0 name mv0 netns c1 type macvlan mode bridge
    ip link add link bond0.40 name iv0 netns c2 type ipvlan mode l2
    ip link add br5 type bridge forward_delay 0 mcast_snooping 0
    ip link set br5 up
    ip -n c3 link add e3 index "$(<"/sys/class/net/bond0/ifindex")" type veth peer name veth3 netns $$
    ip link set veth3 master br5 up
    ip link set bond0.41 master br5
    ip -n c1 link set mv0 up
    ip -n c2 link set iv0 up
    ip -n c3 link set e3 up
    ip -n c1 addr add 10.9.0.3/24 dev mv0
    ip -n c2 addr add 10.40.0.2/24 dev iv0
    ip -n c3 addr add 10.41.0.2/24 dev e3
    start_taps eth0 bond0 bond0.40 bond0.41 br5 veth3 any
    start_tap_in c1 mv0 mv0
    start_tap_in c2 iv0 iv0
    start_tap_in c3 e3 e3
}

play() {
    in_namespace gw ping_with packet-111 10.9.0.3
    in_namespace gw send_frame port0 ffffffffffff 020000000001 88b5 "$(hex packet-112)"
    in_namespace gw ping_with packet-113 10.40.0.2
    in_namespace gw ping_with packet-114 10.41.0.2
    # To an address that nobody has, and to one in the ipvlan's network that it does not have.
    in_namespace gw send_frame port0 0200000000aa 020000000001 88b5 "$(hex packet-115)"
    pause 1
}
