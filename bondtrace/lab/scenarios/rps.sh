# SPDX-License-Identifier: GPL-2.0-or-later
# title: receive packet steering: handled on another CPU
# description: The ping of the scenario ping; what the slaves receive is handed to CPU 1
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/ping.sh"

eval "ping_$(declare -f setup)"

setup() {
    ping_setup
    local slave
    # Request and answer are handled by two CPUs: no second request where one of them stops for a second.
    echo 30000 >/proc/sys/net/ipv4/neigh/bond0/retrans_time_ms
    in_namespace gw bash -c 'echo 30000 >/proc/sys/net/ipv4/neigh/br0/retrans_time_ms'
    for slave in eth0 eth1; do
        echo 2 >/sys/class/net/$slave/queues/rx-0/rps_cpus
    done
}
