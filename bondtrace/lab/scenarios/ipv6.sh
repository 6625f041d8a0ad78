# SPDX-License-Identifier: GPL-2.0-or-later
# title: IPv6: forwarded, translated, and in tunnels over a bond
# description: Pings to a guest behind a routed veth, from the guest by NAT, and through 6in4, GRE over IPv6 and IPv6 in IPv6
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface veth0 --iface eth9
# needs: nft (nftables)

# tunnels LOCAL4 REMOTE4 LOCAL6 REMOTE6 HOST
tunnels() {
    local number=3 name
    ip link add sit1 type sit local "$1" remote "$2" ttl 64
    ip link add gre6 type ip6gre local "$3" remote "$4"
    ip link add tnl6 type ip6tnl mode ip6ip6 local "$3" remote "$4"
    for name in sit1 gre6 tnl6; do
        ip link set "$name" up
        use_ipv6 "$name" "fd00:$number::$5/64"
        number=$((number + 1))
    done
}

setup() {
    make_bonded_host
    make_namespace guest
    use_ipv6 bond0 fd00:9::2/64
    in_namespace gw use_ipv6 br0 fd00:9::1/64
    ip link add veth0 type veth peer name eth9 netns guest
    ip link set veth0 up
    ip -n guest link set eth9 up
    use_ipv6 veth0 fd00:8::1/64
    in_namespace guest use_ipv6 eth9 fd00:8::2/64
    ip -n guest -6 route add default via fd00:8::1
    ip -n gw -6 route add fd00:8::/64 via fd00:9::2
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    tunnels 10.9.0.2 10.9.0.1 fd00:9::2 fd00:9::1 2
    ip netns exec gw bash -c "$(declare -f tunnels use_ipv6); tunnels 10.9.0.1 10.9.0.2 fd00:9::1 fd00:9::2 1"
    nft -f - <<'RULES'
table ip6 nat {
    chain c_post {
        type nat hook postrouting priority 100
        oifname "bond0" ip6 saddr fd00:8::/64 masquerade
    }
}
RULES
    start_taps eth0 bond0 veth0 sit1 gre6 tnl6
    start_tap_in guest eth9 eth9
    start_sockets ip6-bond0:bond0:0x86dd
}

play() {
    in_namespace gw ping_with packet-211 fd00:8::2
    in_namespace guest ping_with packet-212 fd00:9::1
    in_namespace gw ping_with packet-213 fd00:3::2
    in_namespace gw ping_with packet-214 fd00:4::2
    in_namespace gw ping_with packet-215 fd00:5::2
    pause 1
}
