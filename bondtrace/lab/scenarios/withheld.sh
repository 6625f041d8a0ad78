# SPDX-License-Identifier: GPL-2.0-or-later
# title: packets that the slave's taps see and the bond's never do
# description: an 802.3ad bond consumes LACP frames; tc drops datagrams at the ingress of a slave, before the bond
# iface: bond0

setup() {
    keep_quiet
    ip link set lo up
    make_namespace peer
    modprobe bonding max_bonds=0
    local end
    for end in 0 1; do
        ip link add eth$end type veth peer name port$end netns peer
    done
    ip -n peer link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast
    ip link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast
    for end in 0 1; do
        ip -n peer link set port$end master bond0
        ip link set eth$end master bond0
    done
    ip -n peer link set bond0 up
    ip link set bond0 up
    ip -n peer addr add 10.9.0.1/24 dev bond0
    ip addr add 10.9.0.2/24 dev bond0
    # The peers must have agreed: both slaves in one aggregator, collecting and distributing.
    wait_until agreed
    start_taps eth0 eth1 bond0
    for end in 0 1; do
        tc qdisc add dev eth$end clsact
        tc filter add dev eth$end ingress protocol ip matchall action pass
        tc filter add dev eth$end ingress protocol ip prio 1 u32 match ip protocol 17 0xff action drop
    done
}

agreed() { ping -c 1 -W 1 10.9.0.1; }

play() {
    ping -q -c 3 -i 0.1 -W 5 10.9.0.1
    in_namespace peer bash -c 'for i in 1 2 3 4 5; do echo dropped >/dev/udp/10.9.0.2/9; done'
    # Two rounds of LACP frames, one a second.
    sleep 3
}
