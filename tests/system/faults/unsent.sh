# SPDX-License-Identifier: GPL-2.0-or-later
# title: answers that are dropped on their way out, inside of a list receive
# description: eth0 receives pings in lists; tc drops the answers, which are sent meanwhile, at eth0's egress
# iface: bond0

setup() {
    make_bonded_host
    in_namespace gw ethtool -K port0 tso off
    ethtool -K eth0 gro on
    start_taps eth0 bond0
    ping -q -c 1 -W 5 10.9.0.1
    in_namespace gw ping -q -c 1 -W 5 10.9.0.2
    tc qdisc add dev eth0 clsact
    tc filter add dev eth0 egress protocol ip matchall action drop
}

play() {
    in_namespace gw ping -q -c 5 -i 0.1 -W 1 10.9.0.2 || true
    tc -s filter show dev eth0 egress | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' >"$LAB_OUT/unsent"
}
