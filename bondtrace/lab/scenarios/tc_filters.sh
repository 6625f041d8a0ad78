# SPDX-License-Identifier: GPL-2.0-or-later
# title: drops by filters of tc, told by their place
# description: Datagrams that filters drop at the ingress of a slave and of the bond: u32, flower in another chain, a BPF program, one with two actions; and one that a filter lets pass to a closed port
# iface: bond0
# trace: --iface bond0 --iface copies

setup() {
    local on="protocol ip flower ip_proto udp dst_port"
    make_bonded_host
    ip link add copies type dummy
    ip link set copies up
    pin_program drop tc-drop
    tc qdisc add dev eth0 clsact
    tc filter add dev eth0 ingress protocol ip pref 11 u32 match ip protocol 17 0xff match ip dport 7221 0xffff \
        action drop
    tc qdisc add dev bond0 clsact
    tc filter add dev bond0 ingress pref 5 $on 7222 action goto chain 7
    tc filter add dev bond0 ingress chain 7 pref 2 $on 7222 action drop
    tc filter add dev bond0 ingress pref 6 $on 7223 action goto chain 9
    tc filter add dev bond0 ingress chain 9 pref 1 protocol ip bpf da object-pinned /sys/fs/bpf/drop
    tc filter add dev bond0 ingress pref 7 $on 7224 action mirred egress mirror dev copies action drop
    tc filter add dev bond0 ingress pref 8 $on 7225 action pass
    start_taps eth0 bond0 copies
}

play() {
    local number
    for number in 1 2 3 4 5; do in_namespace gw send_udp 10.9.0.2 722$number packet-22$number; done
    pause 1
}
