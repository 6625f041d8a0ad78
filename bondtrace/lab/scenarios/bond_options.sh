# SPDX-License-Identifier: GPL-2.0-or-later
# title: options of bonds that decide which slave may receive
# description: prim0 with a primary slave that is the active one; lone0 of 802.3ad without a partner; arp0 whose slaves are watched by ARP
# iface: prim0
# trace: --iface prim0 --iface lone0 --iface arp0

# make_ports NAME: NAME0 and NAME1, whose other ends are ports of a bridge of NAME in gw.
make_ports() {
    make_bridge gw "br_$1"
    make_port "$1"0 gw "br_$1" "$1"_p0
    make_port "$1"1 gw "br_$1" "$1"_p1
}

setup() {
    keep_quiet
    make_namespace gw
    local name
    for name in p l a; do make_ports $name; done
    ip -n gw addr add 10.9.3.1/24 dev br_a
    make_bond prim0 active-backup p0 p1
    ip link set prim0 type bond primary p1
    wait_until active_is prim0 p1
    make_bond lone0 802.3ad l0 l1
    # No miimon beside an ARP monitor, whose interval is long: an emulated machine may answer late.
    modprobe bonding max_bonds=0
    ip link add arp0 type bond mode active-backup arp_interval 3000 arp_ip_target 10.9.3.1 arp_validate all num_grat_arp 0
    for name in a0 a1; do
        ip link set $name down
        ip link set $name master arp0
    done
    ip addr add 10.9.3.2/24 dev arp0
    ip link set arp0 up
    wait_until forwards a0
    wait_until forwards a1
    ip link set arp0 type bond primary a0
    wait_until active_is arp0 a0
    start_taps p0 p1 prim0 l0 l1 lone0 a0 a1 arp0
}

# broadcast BRIDGE TEXT: who has 10.9.3.77? To both slaves; the text is behind it.
broadcast() {
    in_namespace gw send_frame "$1" ffffffffffff 020000000001 0806 \
        0001080006040001 020000000001 0a090309 000000000000 0a09034d "$(hex "$2")"
}

play() {
    wait_until active_is arp0 a0 # while the tracer started, answers may have come too late for the ARP monitor
    broadcast br_a packet-167
    broadcast br_p packet-165
    broadcast br_l packet-166
    pause 1
}
