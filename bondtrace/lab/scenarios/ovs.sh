# SPDX-License-Identifier: GPL-2.0-or-later
# title: Open vSwitch on a bond
# description: A datapath ovs0 whose port is bond0: pings between the gateway and the switch's internal port
# iface: bond0
# trace: --iface bond0 --iface ovs0

here_scenarios=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

setup() {
    make_gateway
    make_bond bond0 active-backup eth0 eth1
    modprobe openvswitch
    /usr/bin/env python3 "$here_scenarios/ovs.py" ovs0 bond0
    ip link set ovs0 up
    ip addr add 10.9.0.2/24 dev ovs0
    wait_until ping -c 1 -W 1 10.9.0.1
    start_taps eth0 bond0 ovs0
}

play() {
    in_namespace gw ping -c 1 -W 5 10.9.0.2
}
