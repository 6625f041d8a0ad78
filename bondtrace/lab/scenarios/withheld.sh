# SPDX-License-Identifier: GPL-2.0-or-later
# title: packets that the slave's taps see and the bond's never do
# description: As lacp, and tc drops datagrams at the ingress of the slaves, before the bond
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lacp.sh"

eval "lacp_$(declare -f setup)"

setup() {
    local end
    lacp_setup
    for end in 0 1; do
        tc qdisc add dev eth$end clsact
        tc filter add dev eth$end ingress protocol ip matchall action pass
        tc filter add dev eth$end ingress protocol ip prio 1 u32 match ip protocol 17 0xff action drop
    done
}

play() {
    ping -q -c 3 -i 0.1 -W 5 10.9.0.1
    in_namespace peer bash -c 'for i in 1 2 3 4 5; do echo dropped >/dev/udp/10.9.0.2/9; done'
    sleep 3
}
