# SPDX-License-Identifier: GPL-2.0-or-later
# title: a ping over an active-backup bond
# description: ARP and ping between a host with bond0 (eth0 active, eth1 backup) and its gateway behind a bridge
# iface: bond0

setup() {
    keep_quiet
    ip link set lo up
    make_namespace gw
    make_bridge gw br0
    ip -n gw addr add 10.9.0.1/24 dev br0
    make_port eth0 gw br0 port0
    make_port eth1 gw br0 port1
    make_bond bond0 active-backup eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
    start_taps eth0 eth1 bond0
}

play() {
    # Each ping begins with an ARP request; the gateway's goes through the bridge to both slaves.
    ip neigh flush dev bond0
    ip -n gw neigh flush dev br0
    ping -c 1 -W 5 10.9.0.1
    ip neigh flush dev bond0
    ip -n gw neigh flush dev br0
    in_namespace gw ping -c 1 -W 5 10.9.0.2
}
