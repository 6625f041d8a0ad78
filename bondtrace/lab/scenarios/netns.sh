# SPDX-License-Identifier: GPL-2.0-or-later
# title: routed into another namespace, where an ifindex means another device
# description: The gateway pings a host in the namespace guest; the packets come by bond0, are routed and cross a veth
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface veth0 --iface eth9

setup() {
    make_bonded_host
    make_namespace guest
    # Each namespace has its own ifindexes: eth9 gets that of bond0.
    ip -n guest link add eth9 index "$(cat /sys/class/net/bond0/ifindex)" type veth peer name veth0 netns $$
    ip link set veth0 up
    ip addr add 10.8.0.1/24 dev veth0
    ip -n guest link set eth9 up
    ip -n guest addr add 10.8.0.2/24 dev eth9
    ip -n guest route add default via 10.8.0.1
    ip -n gw route add 10.8.0.0/24 via 10.9.0.2
    echo 1 >/proc/sys/net/ipv4/ip_forward
    start_taps eth0 bond0 veth0
    start_tap_in guest eth9 eth9
}

play() {
    in_namespace gw ping -q -c 3 -i 0.2 -W 5 10.8.0.2
}
