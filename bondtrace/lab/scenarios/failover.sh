# SPDX-License-Identifier: GPL-2.0-or-later
# title: the active slave loses its link, and comes back
# description: Pings over eth0; its link goes, pings over eth1; the link comes back and eth0 is made active again
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 eth1 bond0
}

pings() { ping -q -c 3 -i 0.2 -W 5 10.9.0.1; }

play() {
    pings
    ip -n gw link set port0 down
    wait_until active_is bond0 eth1
    pings
    ip -n gw link set port0 up
    wait_until slave_is_up eth0
    pings
    ip link set bond0 type bond active_slave eth0
    wait_until active_is bond0 eth0
    pings
}
