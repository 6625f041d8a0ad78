# SPDX-License-Identifier: GPL-2.0-or-later
# title: BPF programs that send packets elsewhere
# description: By tc: to a container's veth (its number is ifb0's here), out of the bond, and to be received anew on another device
# iface: bond0
# trace: --netns /proc/self/ns/net --netns c3 --iface bond0 --iface eth5 --iface eth6 --iface eth7 --iface in0 --iface ifb0 --iface e3

setup() {
    make_bonded_host
    make_far eth5 eth6 eth7
    make_namespace c3
    ip link add in0 type dummy
    ip link set in0 up
    modprobe ifb numifbs=0
    ip link add ifb0 type ifb
    ip link set ifb0 up
    ip -n c3 link add e3 index "$(<"/sys/class/net/ifb0/ifindex")" type veth peer name lxc3 netns $$
    ip link set lxc3 up
    ip -n c3 link set e3 up
    ip -n far route add 10.9.0.0/24 via 10.6.0.2
    pin_program peer peer lxc3
    pin_program neigh neigh bond0
    pin_program ingress ingress in0
    redirect_at eth7 peer
    redirect_at eth6 neigh
    redirect_at eth5 ingress
    start_taps eth0 bond0 eth5 eth6 eth7 in0 ifb0 any
    start_tap_in c3 e3 e3
}

play() {
    local e3 eth6
    e3=$(ip netns exec c3 cat /sys/class/net/e3/address)
    eth6=$(<"/sys/class/net/eth6/address")
    in_namespace far send_frame p7 "${e3//:/}" 020000000001 88b5 "$(hex packet-091)"
    ip -n far neigh add 10.6.0.2 lladdr "$eth6" dev p6
    in_namespace far send_udp 10.9.0.1 9 packet-092
    in_namespace far send_frame p5 ffffffffffff 020000000001 88b5 "$(hex packet-093)"
    pause 1
}
