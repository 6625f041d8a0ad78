# SPDX-License-Identifier: GPL-2.0-or-later
# title: packets that nftables sends elsewhere: a flow table, fwd and dup
# description: Datagrams to a guest by the slow path and by a flow table; others are forwarded or copied to mon0 at ingress, or copied to the guest by IP
# iface: bond0
# trace: --netns /proc/self/ns/net --netns guest --iface bond0 --iface veth0 --iface eth9 --iface mon0
# needs: nft (nftables)

# answer PORT: answers datagrams, in capitals.
answer() {
    exec /usr/bin/env python3 - "$1" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("", int(sys.argv[1])))
    open("answer.ready", "w").close()
    while True:
        data, address = udp.recvfrom(2000)
        udp.sendto(data.upper(), address)
PYTHON
}

# ask ADDRESS PORT TEXT...: sends each text by one socket, once the one before it has been answered.
ask() {
    /usr/bin/env python3 - "$@" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.connect((sys.argv[1], int(sys.argv[2])))
    udp.settimeout(5)
    for text in sys.argv[3:]:
        udp.send(text.encode())
        udp.recv(2000)
PYTHON
}

setup() {
    make_bonded_host
    make_namespace guest
    ip link add veth0 type veth peer name eth9 netns guest
    ip link set veth0 up
    ip addr add 10.8.0.1/24 dev veth0
    ip -n guest link set eth9 up
    ip -n guest addr add 10.8.0.2/24 dev eth9
    ip -n guest route add default via 10.8.0.1
    ip -n gw route add 10.8.0.0/24 via 10.9.0.2
    ip link add mon0 type dummy
    ip link set mon0 up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    nft -f - <<'RULES'
table ip filter {
    flowtable f_fast {
        hook ingress priority 0
        devices = { bond0, veth0 }
    }
    chain c_pre {
        type filter hook prerouting priority 0
        udp dport 7205 dup to 10.8.0.2 device "veth0"
    }
    chain c_forward {
        type filter hook forward priority 0
        udp dport 7201 flow add @f_fast
    }
}
table netdev early {
    chain c_ingress {
        type filter hook ingress device "eth0" priority 0
        udp dport 7203 fwd to "mon0"
        udp dport 7204 dup to "mon0"
    }
}
RULES
    in_namespace guest answer 7201 &
    answer_pid=$!
    wait_until test -e answer.ready
    start_taps eth0 bond0 veth0 mon0
    start_tap_in guest eth9 eth9
}

play() {
    in_namespace gw ask 10.8.0.2 7201 packet-201 packet-202
    in_namespace gw send_udp 10.9.0.2 7203 packet-203
    in_namespace gw send_udp 10.9.0.2 7204 packet-204
    in_namespace gw send_udp 10.9.0.2 7205 packet-205
    pause 1
    kill $answer_pid
}
