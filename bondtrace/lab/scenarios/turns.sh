# SPDX-License-Identifier: GPL-2.0-or-later
# title: tasks that take turns in the receive path
# description: Each slave's packets are received by a task of its own, and others are sent; those of one slave, and the sender, interrupt the other one wherever it is (on PREEMPT_RT)
# iface: bond0
# needs: ethtool (ethtool)
# needs: chrt (util-linux)

setup() {
    local number
    keep_quiet
    modprobe pktgen
    ip link set lo up
    make_namespace gw
    for number in 0 1; do
        ip link add eth$number type veth peer name port$number netns gw
        ip -n gw link set port$number up
    done
    make_bond bond0 balance-xor eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
    ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 dev bond0
    for number in 0 1; do
        # A veth that aggregates has a NAPI instance of its own, which may have a task of its own.
        ethtool -K eth$number gro on
        echo 1 >/sys/class/net/eth$number/threaded
        start_tap eth$number eth$number -B 16384
    done
    start_tap bond0 bond0 -B 16384
    wait_until pgrep '^napi/eth1'
    chrt -f -p 10 "$(pgrep '^napi/eth1')"
}

# send_frames STOP MAC: frames with numbers to that address, from the second slave's other end, until there is a file STOP.
# The first of them makes a file STOP.frames.
send_frames() {
    /usr/bin/env python3 - "$1" "$2" <<'PYTHON'
import itertools, os, socket, sys, time
stop, mac = sys.argv[1:]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("port1", 0))
    header = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("02000000000188b5")
    for number in itertools.takewhile(lambda _: not os.path.exists(stop), itertools.count()):
        raw.send(header + b"second %08d" % number)
        if not number:
            open(stop + ".frames", "w").close()
        time.sleep(0.005)
PYTHON
}

# send_own STOP: the same through IP, from this host; STOP.own.
send_own() {
    /usr/bin/env python3 - "$1" <<'PYTHON'
import itertools, os, socket, sys, time
stop = sys.argv[1]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    for number in itertools.takewhile(lambda _: not os.path.exists(stop), itertools.count()):
        udp.sendto(b"sent %08d" % number, ("10.9.0.1", 9))
        if not number:
            open(stop + ".own", "w").close()
        time.sleep(0.005)
PYTHON
}

# flood MAC: packets to that address from the first slave's other end; returns when all are sent.
flood() {
    local pg=/proc/net/pktgen
    echo "add_device port0" >$pg/kpktgend_0
    # To an address that is not this host's: IP drops the packets.
    printf '%s\n' "count 15000" "pkt_size 60" "delay 300000" "dst_mac $1" "src_min 192.0.2.1" "src_max 192.0.2.1" \
        "dst 198.51.100.1" | while read -r line; do echo "$line" >$pg/port0; done
    echo start >$pg/pgctrl
}

play() {
    local mac stop=$LAB_OUT/stop pids=()
    mac=$(</sys/class/net/bond0/address)
    in_namespace gw chrt -f 10 bash -c "$(declare -f send_frames); send_frames $stop $mac" &
    pids+=($!)
    chrt -f 10 bash -c "$(declare -f send_own); send_own $stop" &
    pids+=($!)
    wait_until test -e "$stop.frames"
    wait_until test -e "$stop.own"
    in_namespace gw flood "$mac"
    touch "$stop"
    wait "${pids[@]}"
}
