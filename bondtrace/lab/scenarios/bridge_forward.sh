# SPDX-License-Identifier: GPL-2.0-or-later
# title: a bridge on a bond, a guest behind it, and a firewall that drops what is forwarded
# description: br_netfilter hands what br1 forwards to a rule that drops UDP port 7000, while a tcpdump makes br1 promiscuous
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface br1 --iface veth0 --iface eth9
# needs: nft (nftables)

setup() {
    make_bridged_host
    modprobe br_netfilter
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
    nft -f - <<'RULES'
table ip filter {
    chain c_forward {
        type filter hook forward priority 0
        udp dport 7000 drop
    }
    chain c_pre {
        type filter hook prerouting priority 0
        udp dport 7001 drop
    }
}
RULES
    start_taps eth0 bond0 veth0 br1 any
    start_tap_in guest eth9 eth9
}

play() {
    in_namespace gw ping_with packet-131 10.9.0.3
    in_namespace gw send_udp 10.9.0.3 7000 packet-132
    in_namespace gw send_udp 10.9.0.3 7001 packet-133
    in_namespace gw ping_with packet-134 10.9.0.2
    pause 1
}
