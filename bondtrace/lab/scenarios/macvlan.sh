# SPDX-License-Identifier: GPL-2.0-or-later
# title: macvlans on a bond, in another namespace
# description: mv0 and mv1 on bond0 live in the namespace guest: pings to one of them, and a broadcast to both
# iface: bond0

setup() {
    make_bonded_host
    make_namespace guest
    local number
    for number in 0 1; do
        ip link add link bond0 name mv$number netns guest type macvlan mode bridge
        ip -n guest link set mv$number up
    done
    ip -n guest addr add 10.9.0.3/24 dev mv0
    # Otherwise mv1 also answers for mv0's address, and the gateway uses the first answer.
    in_namespace guest bash -c 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore'
    start_taps eth0 bond0
    start_tap_in guest mv0 mv0
    start_tap_in guest mv1 mv1
}

play() {
    in_namespace gw ping -c 1 -W 5 10.9.0.3
    in_namespace gw send_frame port0 ffffffffffff 020000000001 88b5 "$(printf 'to everybody' | od -An -tx1 | tr -d ' \n')"
}
