# SPDX-License-Identifier: GPL-2.0-or-later
# title: a VLAN device in a container
# description: bond0.50 lives in the namespace c1, with the number that eth0 has here: frames for it on both slaves, and one of another VLAN
# iface: bond0

setup() {
    make_bonded_host
    make_namespace c1
    next_number c1 eth0
    ip link add link bond0 name bond0.50 netns c1 type vlan id 50
    [ "$(ip netns exec c1 cat /sys/class/net/bond0.50/ifindex)" = "$(</sys/class/net/eth0/ifindex)" ]
    ip -n c1 link set bond0.50 up
    start_taps eth0 eth1 bond0 any
    start_tap_in c1 v50 bond0.50
    start_sockets_in c1 all50:bond0.50:3
}

# tagged PORT VLAN TEXT: a broadcast out of a port of the gateway.
tagged() { in_namespace gw send_frame "$1" ffffffffffff 020000000001 8100 "$2" 88b5 "$(hex "$3")"; }

play() {
    tagged port1 0032 packet-101
    tagged port0 0032 packet-102
    tagged port0 0033 packet-103
    pause 1
}
