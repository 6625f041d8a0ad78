# SPDX-License-Identifier: GPL-2.0-or-later
# title: every kind of tap, and a flood from every CPU
# description: Taps of every kind on bond, slaves, any; full, filtered, fanout, own packets, another namespace, opened and closed half-way
# iface: bond0
# needs: taskset (util-linux)

here_scenarios=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

setup() {
    make_bonded_host
    # Another namespace, and in it a device with bond0's ifindex.
    make_namespace other
    ip -n other link add same index "$(cat /sys/class/net/bond0/ifindex)" type dummy
    ip -n other link set same up
    start_taps eth0 eth1 bond0 any
    mkdir -p "$LAB_OUT/elsewhere"
    ZOO_OTHER=1 ip netns exec other /usr/bin/env python3 "$here_scenarios/zoo.py" "$LAB_OUT/elsewhere" &
    other_pid=$!
    wait_until test -e "$LAB_OUT/elsewhere/ready"
}

# flood CPU COUNT: datagrams to the gateway, from one CPU.
flood() {
    taskset -c "$1" /usr/bin/env python3 - "$2" "$1" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    for number in range(int(sys.argv[1])):
        udp.sendto(b"cpu %s number %06d" % (sys.argv[2].encode(), number), ("10.9.0.1", 9))
PYTHON
}

# lldp FROM: a frame to the LLDP address, out of a port in the gateway's namespace: the bridge stops such frames.
lldp() {
    /usr/bin/env python3 - "$1" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((sys.argv[1], 0))
    raw.send(bytes.fromhex("0180c200000e020000000099" "88cc" "020704020000000099" "040705020000000099" "06020078" "0000"))
PYTHON
}

everybody() {
    local cpu senders=() last=$(($(nproc) - 1))
    ping -q -c 5 -i 0.02 -W 5 10.9.0.1
    ip neigh flush dev bond0
    ip -n gw neigh flush dev br0
    in_namespace gw ping -q -c 5 -i 0.02 -W 5 10.9.0.2
    in_namespace gw lldp port0
    in_namespace gw lldp port1
    for cpu in $(seq 0 $last); do
        flood "$cpu" "${LAB_FLOOD:-400}" &
        senders+=($!)
    done
    wait "${senders[@]}"
    # And back: the gateway refuses the datagrams to its closed port, one ICMP message at a time.
    in_namespace gw ping -q -c 200 -i 0.002 -s 600 -W 5 10.9.0.2
}

play() {
    /usr/bin/env python3 "$here_scenarios/zoo.py" "$LAB_OUT" &
    zoo_pid=$!
    wait_until test -e "$LAB_OUT/ready"
    sleep 2
    everybody
    kill -USR1 "$zoo_pid"
    wait_until test -e "$LAB_OUT/closed"
    ping -q -c 100 -i 0.02 -W 5 10.9.0.1
    wait_until test -e "$LAB_OUT/half"
    sleep 1
    everybody
    sleep 1
    kill -TERM "$zoo_pid" "$other_pid"
    wait "$zoo_pid" "$other_pid"
}
