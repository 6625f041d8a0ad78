# SPDX-License-Identifier: GPL-2.0-or-later
# title: a ping in every other mode of bond
# description: balance-rr, balance-xor, broadcast, balance-tlb and balance-alb, a bond of two slaves each, pinged both ways
# iface: rr
# trace: --iface rr --iface xor --iface cast --iface tlb --iface alb

bonds="rr:balance-rr:1 xor:balance-xor:2 cast:broadcast:3 tlb:balance-tlb:4 alb:balance-alb:5"

setup() {
    keep_quiet
    ip link set lo up
    local bond name mode number end
    for bond in $bonds; do
        IFS=: read -r name mode number <<<"$bond"
        make_namespace gw-$name
        make_bridge gw-$name br0
        ip -n gw-$name addr add 10.9.$number.1/24 dev br0
        for end in 0 1; do
            make_port $name$end gw-$name br0 port$end
        done
        make_bond $name "$mode" ${name}0 ${name}1
        ip addr add 10.9.$number.2/24 dev $name
        start_taps ${name}0 ${name}1 $name
    done
}

play() {
    local bond name mode number
    for bond in $bonds; do
        IFS=: read -r name mode number <<<"$bond"
        ping -q -c 2 -i 0.3 -W 5 10.9.$number.1
        in_namespace gw-$name ping -q -c 2 -i 0.3 -W 5 10.9.$number.2
    done
}
