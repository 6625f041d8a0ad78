# SPDX-License-Identifier: GPL-2.0-or-later
# title: QinQ: stacked tags, and a tag that lies in the frame
# description: bond0.10 for 802.1ad with bond0.10.20 on it, a socket for IPv4 on bond0; a slave that puts the tags of bond0.30 into the frame itself
# iface: bond0
# needs: ethtool (ethtool)

setup() {
    make_bonded_host
    ip link add link bond0 name bond0.10 type vlan proto 802.1ad id 10
    ip link set bond0.10 up
    ip addr add 10.10.0.2/24 dev bond0.10
    ip -n gw link add link br0 name br0.10 type vlan proto 802.1ad id 10
    ip -n gw link set br0.10 up
    ip -n gw addr add 10.10.0.1/24 dev br0.10
    ip link add link bond0.10 name bond0.10.20 type vlan id 20
    ip link set bond0.10.20 up
    ip link add link bond0 name bond0.30 type vlan id 30
    ip link set bond0.30 up
    ip addr add 10.30.0.2/24 dev bond0.30
    ip -n gw link add link br0 name br0.30 type vlan id 30
    ip -n gw link set br0.30 up
    ip -n gw addr add 10.30.0.1/24 dev br0.30
    ethtool -K eth0 txvlan off
    start_taps eth0 bond0 bond0.10 bond0.10.20 bond0.30
    start_tap icmp eth0 icmp
    start_sockets ip-bond0:bond0:0x0800 tags-bond0:bond0:0x8100
}

# stacked OUTER INNER TEXT: an IPv4 packet behind two tags; each is its protocol and its id.
stacked() {
    in_namespace gw send_frame port0 ffffffffffff 020000000001 $1 $2 0800 \
        4500001e 00010000 40fd 0000 0a090001 0a0900ff "$(hex "$3")"
}

play() {
    stacked 88a8000a 81000014 packet-151
    stacked 88a8000b 81000014 packet-152
    ping_with packet-153 10.30.0.1
    ping_with packet-154 10.10.0.1
    pause 1
}
