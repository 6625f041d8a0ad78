# SPDX-License-Identifier: GPL-2.0-or-later
# title: receive packet steering: handled on another CPU
# description: The ping of the scenario ping; what the slaves receive is handed to CPU 1
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/ping.sh"

eval "ping_$(declare -f setup)"

setup() {
    ping_setup
    local slave
    for slave in eth0 eth1; do
        echo 2 >/sys/class/net/$slave/queues/rx-0/rps_cpus
    done
}
