# SPDX-License-Identifier: GPL-2.0-or-later
# title: forwarding within a VRF, beside another VRF
# description: bond0 and a guest's veth are in red, bond0.30 in blue: a ping through red, one that is dropped there, one without a route, one by blue
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface veth0 --iface eth9
# needs: nft (nftables)

setup() {
    make_bonded_host
    make_namespace guest
    local name table=10
    for name in red blue; do
        ip link add $name type vrf table $table
        ip link set $name up
        table=$((table + 1))
    done
    ip link add link bond0 name bond0.30 type vlan id 30
    ip link add veth0 type veth peer name eth9 netns guest
    ip link set bond0 master red
    ip link set veth0 master red up
    ip link set bond0.30 master blue up
    ip addr replace 10.9.0.2/24 dev bond0
    ip addr add 10.8.0.1/24 dev veth0
    ip addr add 10.9.30.2/24 dev bond0.30
    ip route add blackhole 10.54.0.0/24 vrf red
    ip -n guest link set eth9 up
    ip -n guest addr add 10.8.0.2/24 dev eth9
    ip -n guest route add default via 10.8.0.1
    ip -n gw link add link br0 name br0.30 type vlan id 30
    ip -n gw link set br0.30 up
    ip -n gw addr add 10.9.30.1/24 dev br0.30
    ip -n gw route add 10.8.0.0/24 via 10.9.0.2
    ip -n gw route add 10.54.0.0/24 via 10.9.0.2
    echo 1 >/proc/sys/net/ipv4/ip_forward
    nft -f - <<'RULES'
table ip filter {
    chain c_forward {
        type filter hook forward priority 0
        udp dport 5003 drop
    }
}
RULES
    start_taps eth0 bond0 bond0.30 red blue veth0
    start_tap_in guest eth9 eth9
    start_sockets ip-red:red:0x0800
}

play() {
    in_namespace gw ping_with packet-051 10.8.0.2
    in_namespace gw ping_with packet-052 10.8.0.2
    in_namespace gw send_udp 10.8.0.2 5003 packet-053
    in_namespace gw send_udp 10.54.0.1 5004 packet-054
    in_namespace gw ping_with packet-055 10.9.30.2
    pause 1
}
