# SPDX-License-Identifier: GPL-2.0-or-later
# title: drops by netfilter at every hook
# description: Datagrams that a rule drops at prerouting, input, forward and postrouting, at a device's ingress, and by an iptables rule; a socket for IPv4 on bond0, as a DHCP client has, shares the packets
# iface: bond0
# trace: --iface bond0 --iface eth6
# needs: nft (nftables)
# needs: iptables-legacy (iptables)

setup() {
    make_bonded_host
    make_far eth6
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip -n gw route add 10.6.0.0/24 via 10.9.0.2
    ip -n far route add 10.9.0.0/24 via 10.6.0.2
    # The number of the last byte of each port is that of the packet.
    nft -f - <<'RULES'
table ip filter {
    chain c_pre {
        type filter hook prerouting priority -300
        udp dport 7121 drop
    }
    chain c_input {
        type filter hook input priority 0
        udp dport 7122 drop
    }
    chain c_forward {
        type filter hook forward priority 0
        udp dport 7123 drop
    }
    chain c_post {
        type filter hook postrouting priority 0
        udp dport 7124 drop
    }
}
table netdev early {
    chain c_bond {
        type filter hook ingress device "bond0" priority 0
        udp dport 7125 drop
    }
    chain c_slave {
        type filter hook ingress device "eth0" priority 0
        udp dport 7126 drop
    }
}
RULES
    iptables-legacy -A INPUT -p udp --dport 7127 -j DROP
    start_taps eth0 bond0 eth6 any
    start_sockets dhcp:bond0:0x0800
}

play() {
    local number target
    for number in 1 2 3 4 5 6 7; do
        target=10.9.0.2
        if [ $number = 3 ] || [ $number = 4 ]; then target=10.6.0.1; fi
        in_namespace gw send_udp $target 712$number packet-12$number
    done
    in_namespace gw ping_with packet-128 10.6.0.1
    pause 1
}
