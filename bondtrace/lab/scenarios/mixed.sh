# SPDX-License-Identifier: GPL-2.0-or-later
# title: mixed traffic over an active-backup bond
# description: ICMP, ICMPv6, UDP and TCP over IPv4 and IPv6, ARP broadcasts, both directions, some hundred packets
# iface: bond0
# needs: pkill (procps)

setup() {
    keep_quiet
    ip link set lo up
    make_namespace gw
    for scope in all default; do
        echo 0 >/proc/sys/net/ipv6/conf/$scope/disable_ipv6
        in_namespace gw bash -c "echo 0 >/proc/sys/net/ipv6/conf/$scope/disable_ipv6"
    done
    make_bridge gw br0
    ip -n gw addr add 10.9.0.1/24 dev br0
    ip -n gw addr add fd09::1/64 dev br0 nodad
    make_port eth0 gw br0 port0
    make_port eth1 gw br0 port1
    make_bond bond0 active-backup eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
    ip addr add fd09::2/64 dev bond0 nodad
    start_taps eth0 eth1 bond0
}

# Sends datagrams and a stream to an echoing peer, from the caller's namespace.
echo_client() {
    /usr/bin/env python3 - "$1" "$2" <<'PYTHON'
import socket, sys
host, count = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    for number in range(count):
        udp.sendto(b"datagram %d " % number * (1 + number), (host, 7007))
        udp.recv(65536)
with socket.create_connection((host, 7007), timeout=5) as tcp:
    for number in range(count):
        tcp.sendall(b"line %d\n" % number)
        tcp.recv(65536)
PYTHON
}

echo_server() {
    /usr/bin/env python3 - "$1" <<'PYTHON'
import socket, sys, threading
host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.bind((host, 7007))
tcp = socket.create_server((host, 7007), family=family)
def datagrams():
    while True:
        data, peer = udp.recvfrom(65536)
        udp.sendto(data[:100], peer)
threading.Thread(target=datagrams, daemon=True).start()
print("listening", flush=True)
while True:
    stream, _ = tcp.accept()
    with stream:
        while data := stream.recv(65536):
            stream.sendall(data)
PYTHON
}

play() {
    local address servers=() number=0
    for address in 10.9.0.1 fd09::1; do
        in_namespace gw echo_server $address >"$LAB_OUT/server$number" &
        servers+=($!)
        wait_until grep -q listening "$LAB_OUT/server$number"
        number=$((number + 1))
    done
    for address in 10.9.0.2 fd09::2; do
        echo_server $address >"$LAB_OUT/server$number" &
        servers+=($!)
        wait_until grep -q listening "$LAB_OUT/server$number"
        number=$((number + 1))
    done
    ping -q -c 20 -i 0.02 -W 5 10.9.0.1
    ping -q -c 20 -i 0.02 -W 5 fd09::1
    ip neigh flush dev bond0
    ip -n gw neigh flush dev br0
    in_namespace gw ping -q -c 20 -i 0.02 -W 5 10.9.0.2
    in_namespace gw ping -q -c 20 -i 0.02 -W 5 fd09::2
    echo_client 10.9.0.1 15
    echo_client fd09::1 15
    in_namespace gw echo_client 10.9.0.2 15
    in_namespace gw echo_client fd09::2 15
    # pkill -P knows the children of this shell's functions only by their parents.
    kill "${servers[@]}" 2>/dev/null
    pkill -f 'python3 - (10\.9\.0|fd09:)' || true
}
