# SPDX-License-Identifier: GPL-2.0-or-later
# title: LACP frames, which the bond consumes
# description: Two 802.3ad bonds back to back: pings, and LACP frames that the slaves' taps see and the bond's never do
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
}

agreed() { ping -c 1 -W 1 10.9.0.1; }

play() {
    ping -q -c 3 -i 0.1 -W 5 10.9.0.1
    # Two exchanges of LACP frames, one per second.
    sleep 3
}
