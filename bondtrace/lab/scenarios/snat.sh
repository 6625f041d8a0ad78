# SPDX-License-Identifier: GPL-2.0-or-later
# title: a container that goes out by a bond, beside taps for IPv4
# description: Masquerading to the gateway and a published port, while sockets for IPv4 on bond0 and docker0 share every packet; a drop at postrouting
# iface: bond0
# trace: --netns /proc/self/ns/net --netns cont --iface bond0 --iface docker0 --iface eth9
# needs: nft (nftables)

setup() {
    make_bonded_host
    make_guest docker0 cont 172.18.0
    nft -f - <<'RULES'
table ip nat {
    chain c_pre {
        type nat hook prerouting priority -100
        iifname "bond0" udp dport 8080 dnat to 172.18.0.2:80
    }
    chain c_post {
        type nat hook postrouting priority 100
        oifname "bond0" masquerade
    }
}
table ip filter {
    chain c_post {
        type filter hook postrouting priority 0
        udp dport 7100 drop
    }
}
RULES
    ip -n gw route add 172.18.0.0/24 via 10.9.0.2
    start_taps eth0 bond0 docker0 veth0
    start_tap_in cont eth9 eth9
    start_sockets dhcp:bond0:0x0800 ip-docker0:docker0:0x0800
}

play() {
    in_namespace cont ping_with packet-071 10.9.0.1
    in_namespace cont ping_with packet-072 10.9.0.1
    in_namespace gw send_udp 10.9.0.2 8080 packet-073
    in_namespace gw send_udp 172.18.0.2 7100 packet-074
    pause 1
}
