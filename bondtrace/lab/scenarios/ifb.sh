# SPDX-License-Identifier: GPL-2.0-or-later
# title: shapers of what is received: two devices share an ifb
# description: What bond0 and eth6 receive is redirected to ifb0 and comes back: a ping by each, and a datagram to a closed port
# iface: bond0
# trace: --iface bond0 --iface eth6 --iface ifb0

shaped() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress matchall action mirred egress redirect dev ifb0
}

setup() {
    make_bonded_host
    make_far eth6
    modprobe ifb numifbs=0
    ip link add ifb0 type ifb
    ip link set ifb0 up
    shaped eth6
    shaped bond0
    start_taps eth0 bond0 eth6 ifb0 any
    start_sockets ip-bond0:bond0:0x0800
}

play() {
    in_namespace far ping_with packet-081 10.6.0.2
    in_namespace gw ping_with packet-082 10.9.0.2
    in_namespace far send_udp 10.6.0.2 5000 packet-083
    pause 1
}
