# SPDX-License-Identifier: GPL-2.0-or-later
# title: a published port: DNAT from a bond to a container behind a bridge
# description: UDP port 8080 goes to a container; ports 8081, 9000 and 9002 are dropped at three hooks of netfilter
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
        udp dport 8080 dnat to 172.18.0.2:80
        udp dport 8081 dnat to 172.18.0.2:81
    }
    chain c_post {
        type nat hook postrouting priority 100
        oifname "bond0" masquerade
    }
}
table ip filter {
    chain c_forward {
        type filter hook forward priority 0
        udp dport 81 drop
    }
    chain c_input {
        type filter hook input priority 0
        udp dport 9000 drop
    }
}
table netdev early {
    chain c_ingress {
        type filter hook ingress device "eth0" priority 0
        udp dport 9002 drop
    }
}
RULES
    start_taps eth0 bond0 docker0 veth0 any
    start_tap_in cont eth9 eth9
}

play() {
    # The first waits for an answer to ARP, the second does not.
    in_namespace gw send_udp 10.9.0.2 8080 packet-061
    pause 1
    in_namespace gw send_udp 10.9.0.2 8080 packet-062
    in_namespace gw send_udp 10.9.0.2 8081 packet-063
    in_namespace gw send_udp 10.9.0.2 9000 packet-064
    in_namespace gw send_udp 10.9.0.2 9002 packet-065
    pause 1
}
