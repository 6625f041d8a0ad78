# SPDX-License-Identifier: GPL-2.0-or-later
# title: generic XDP, which comes before the taps
# description: Programs that drop, on eth5 and on the backup slave, and one that redirects, on eth6
# iface: bond0
# trace: --netns /proc/self/ns/net --netns far --iface bond0 --iface eth5 --iface eth6 --iface eth7 --iface p7

setup() {
    make_bonded_host
    make_far eth5 eth6 eth7
    pin_program drop xdp-drop
    pin_program redirect xdp-redirect eth7
    ip link set eth5 xdpgeneric pinned /sys/fs/bpf/drop
    ip link set eth1 xdpgeneric pinned /sys/fs/bpf/drop
    ip link set eth6 xdpgeneric pinned /sys/fs/bpf/redirect
    start_taps eth0 eth1 bond0 eth5 eth6 eth7
    start_tap_in far p7 p7
}

play() {
    in_namespace far send_frame p5 ffffffffffff 020000000001 88b5 "$(hex packet-095)"
    in_namespace gw send_frame port1 ffffffffffff 020000000001 88b5 "$(hex packet-096)"
    in_namespace far send_frame p6 ffffffffffff 020000000001 88b5 "$(hex packet-097)"
    in_namespace gw ping_with packet-098 10.9.0.2
    pause 1
}
