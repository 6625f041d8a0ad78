# SPDX-License-Identifier: GPL-2.0-or-later
# title: fanout groups
# description: A group that puts fragments together before it chooses a member, one that distributes by the packet's hash; a ping in fragments and a datagram
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 bond0
    # The group's number, the kind (0: by hash) and the flag PACKET_FANOUT_FLAG_DEFRAG.
    start_sockets defrag1:bond0:3:0x80000063 defrag2:bond0:3:0x80000063
    start_sockets hash1:bond0:3:0x00000064 hash2:bond0:3:0x00000064
}

play() {
    in_namespace gw ping_with packet-171 10.9.0.2 -s 2000
    in_namespace gw send_udp 10.9.0.2 5000 packet-172
    pause 1
}
