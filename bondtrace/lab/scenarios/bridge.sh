# SPDX-License-Identifier: GPL-2.0-or-later
# title: a bridge on a bond
# description: br1 has bond0 and a veth to the namespace guest as ports: pings to the bridge itself and, forwarded, to the guest
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface veth0 --iface eth9

setup() {
    make_bridged_host
    start_taps eth0 bond0 br1 veth0
    start_tap_in guest eth9 eth9
}

play() {
    in_namespace gw ping -c 1 -W 5 10.9.0.2
    in_namespace gw ping -c 1 -W 5 10.9.0.3
    # The spanning tree's address: the bridge does not forward it.
    in_namespace gw send_frame port0 0180c2000000 020000000001 0004 424203 "$(printf '0%.0s' {1..80})"
}
