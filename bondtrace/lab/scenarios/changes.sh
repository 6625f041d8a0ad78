# SPDX-License-Identifier: GPL-2.0-or-later
# title: slaves that join, take over, are renamed and leave while the bond is traced
# description: eth2 joins bond0, becomes the active slave, is renamed to up2 and leaves; pings before and after each step
# iface: bond0

setup() {
    make_gateway
    make_port eth2 gw br0 port2
    make_bond bond0 active-backup eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
    start_taps eth0 bond0
}

pings() { ping -q -c 3 -i 0.1 -W 5 10.9.0.1; }

activate() {
    ip link set bond0 type bond active_slave "$1"
    wait_until active_is bond0 "$1"
    sleep 0.5
}

play() {
    pings
    ip link set eth2 down
    ip link set eth2 master bond0
    wait_until slave_is_up eth2
    activate eth2
    pings
    # Older kernels rename only a device that is down.
    ip link set eth2 down
    ip link set eth2 name up2
    ip link set up2 up
    wait_until slave_is_up up2
    activate up2
    pings
    activate eth1
    ip link set up2 nomaster
    sleep 0.5
    pings
}
