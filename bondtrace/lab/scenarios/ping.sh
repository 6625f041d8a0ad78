# SPDX-License-Identifier: GPL-2.0-or-later
# title: a ping over an active-backup bond
# description: ARP and ping between a host with bond0 (eth0 active, eth1 backup) and its gateway behind a bridge
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 eth1 bond0
}

play() {
    # Each ping begins with an ARP request; the gateway's goes through the bridge to both slaves.
    forget_neighbours
    ping -c 1 -W 5 10.9.0.1
    forget_neighbours
    in_namespace gw ping -c 1 -W 5 10.9.0.2
}
