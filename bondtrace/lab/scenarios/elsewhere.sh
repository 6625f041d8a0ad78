# SPDX-License-Identifier: GPL-2.0-or-later
# title: what comes to be above a bond while it is traced
# description: A VLAN moved to a container, a macvlan made in another, GRE tunnels: one moved, one whose route comes later
# iface: bond0

setup() {
    make_bonded_host
    local number
    for number in 1 2 3; do make_namespace c$number; done
    # before there are any: each namespace gets one of its own
    modprobe ip_gre
    ip -n gw link add link br0 name br0.60 type vlan id 60
    ip -n gw link set br0.60 up
    ip -n gw addr add 10.60.0.1/24 dev br0.60
    ip -n gw addr add 10.99.0.1/32 dev lo
    make_tunnel gw gre1 10.61.0.1 local 10.9.0.1 remote 10.9.0.2 key 1
    make_tunnel gw gre2 10.62.0.1 local 10.99.0.1 remote 10.9.0.2 key 2
    # over what this one runs nobody knows yet
    ip link add gre2 type gre remote 10.99.0.1 key 2
    ip link set gre2 up
    ip addr add 10.62.0.2/24 dev gre2
    start_taps eth0 bond0 gre2
}

# make_tunnel NAMESPACE NAME ADDRESS WORD...: a GRE device that is up there.
make_tunnel() {
    ip -n "$1" link add "$2" type gre "${@:4}"
    ip -n "$1" link set "$2" up
    ip -n "$1" addr add "$3/24" dev "$2"
}

play() {
    in_namespace gw send_udp 10.62.0.2 5000 packet-080
    pause 0.5

    ip link add link bond0 name bond0.60 type vlan id 60
    ip link set bond0.60 netns c1
    ip -n c1 link set bond0.60 up
    ip -n c1 addr add 10.60.0.2/24 dev bond0.60
    start_tap_in c1 bond0.60 bond0.60
    in_namespace gw ping_with packet-081 10.60.0.2

    ip link add link bond0 name mv0 netns c2 type macvlan mode bridge
    ip -n c2 link set mv0 up
    ip -n c2 addr add 10.9.0.8/24 dev mv0
    start_tap_in c2 mv0 mv0
    in_namespace gw ping_with packet-082 10.9.0.8

    ip link add gre1 type gre local 10.9.0.2 remote 10.9.0.1 key 1
    ip link set gre1 netns c3
    ip -n c3 link set gre1 up
    ip -n c3 addr add 10.61.0.2/24 dev gre1
    start_tap_in c3 gre1 gre1
    in_namespace gw ping_with packet-083 10.61.0.2

    ip route add 10.99.0.1 via 10.9.0.1
    pause 3
    in_namespace gw ping_with packet-084 10.62.0.2
    pause 0.5
}
