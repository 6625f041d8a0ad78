# SPDX-License-Identifier: GPL-2.0-or-later
# title: mirrors, of what a bond receives and of what it sends
# description: tc mirrors to mon0 what bond0 receives and sends; a datagram is mirrored and then dropped by tc
# iface: bond0
# trace: --iface bond0 --iface mon0

setup() {
    make_bonded_host
    ip link add mon0 type dummy
    ip link set mon0 up
    tc qdisc add dev bond0 clsact
    tc filter add dev bond0 ingress prio 1 protocol ip flower ip_proto udp dst_port 5001 \
        action mirred egress mirror dev mon0 pipe action drop
    tc filter add dev bond0 ingress prio 2 matchall action mirred egress mirror dev mon0
    tc filter add dev bond0 egress prio 2 matchall action mirred egress mirror dev mon0
    start_taps eth0 bond0 mon0 any
}

play() {
    in_namespace gw ping_with packet-084 10.9.0.2
    in_namespace gw send_udp 10.9.0.2 5001 packet-085
    pause 1
}
