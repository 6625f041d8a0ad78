# SPDX-License-Identifier: GPL-2.0-or-later
# title: a bond that is made while its slaves-to-be are traced
# description: The tracer starts with eth0 and eth1 and without the bonding module; then bond0 is made, and pings
# iface: eth0
# trace: --iface eth0 --iface eth1 --iface bond0

setup() {
    make_gateway
    modprobe -r bonding 2>/dev/null || true
    ip link set eth0 up
    ip link set eth1 up
    # so that the tracer finds a bond0, although it is not a bond yet
    ip link add bond0 type dummy
    start_taps eth0 eth1
}

play() {
    ip link del bond0
    make_bond bond0 active-backup eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
    start_taps bond0
    sleep 1
    ping -q -c 3 -i 0.2 -W 5 10.9.0.1
}
