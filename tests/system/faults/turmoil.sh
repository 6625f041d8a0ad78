# SPDX-License-Identifier: GPL-2.0-or-later
# title: a host that changes under the trace
# description: a slave that takes over and a VLAN's device that is made while the tracer stands still, bond destroyed and made again, bonding unloaded and loaded, a namespace deleted, taps by the hundred, a CPU off line, the clock set
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

pings() { ping -q -c 5 -i 0.1 -W 5 10.9.0.1; }

bonded() {
    ip link set eth0 nomaster || true
    ip link set eth1 nomaster || true
    make_bond bond0 active-backup eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
    ping -q -c 1 -W 5 10.9.0.1 || true
    sleep 1
    pings
}

activate() {
    ip link set bond0 type bond active_slave "$1"
    wait_until active_is bond0 "$1"
}

# Stopped, the tracer hears of the slave when it has long taken over.
taken_over() {
    make_port eth2 gw br0 port2
    # The lowest address of all ports: a bridge without one of its own would take it now.
    ip -n gw link set port2 address 02:00:00:00:00:01
    sleep 2
    send_signal STOP trace
    ip link set eth2 down
    ip link set eth2 master bond0
    wait_until slave_is_up eth2
    activate eth2
    pings
    send_signal CONT trace
    sleep 1
    pings
    activate eth0
    ip link del eth2
}

# Likewise a device of VLAN 5, with a tap, which the gateway pings: without a tap the kernel tells nothing of what is sent.
stacked() {
    ip -n gw link add link br0 name br0.5 type vlan id 5
    ip -n gw link set br0.5 up
    ip -n gw addr add 10.9.5.1/24 dev br0.5
    sleep 2
    send_signal STOP trace
    ip link add link bond0 name bond0.5 type vlan id 5
    ip link set bond0.5 up
    ip addr add 10.9.5.2/24 dev bond0.5
    start_tap bond0.5 bond0.5
    in_namespace gw ping -q -c 5 -i 0.1 -W 5 10.9.5.2
    send_signal CONT trace
    sleep 1
    stop_taps
    ip link del bond0.5
    ip -n gw link del br0.5
}

gone() { ! ip link show "$1" 2>/dev/null; }
unloaded() { rmmod bonding; }

# 60 taps on bond0 at once (of more the steps would not fit a pass), open for five pings; "RECEIVED TAPS" to a file.
hundreds() {
    /usr/bin/python3 - >"$LAB_OUT/hundreds" <<'PYTHON'
import collections, os, socket, struct, subprocess
taps = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) for _ in range(60)]
for tap in taps:
    tap.bind(("bond0", 0x0800))
subprocess.run(["ping", "-q", "-c", "5", "-i", "0.1", "-W", "5", "10.9.0.1"], check=True, stdout=subprocess.DEVNULL)
counts = collections.Counter(struct.unpack("II", tap.getsockopt(263, 6, 8)) for tap in taps)
for (received, dropped), count in counts.items():
    print(received, dropped, count)
with open("hundreds.inodes", "a") as file:
    print(*(os.fstat(tap.fileno()).st_ino for tap in taps), file=file)
PYTHON
}

# Members of a fanout group, one after the other beside a steady one, which the kernel is likely to put where the last one
# was; "INODE RECEIVED DROPPED" of each to a file.
members() {
    /usr/bin/python3 - >"$LAB_OUT/members" <<'PYTHON'
import os, socket, struct, subprocess
SOL_PACKET, PACKET_STATISTICS, PACKET_FANOUT, ROUND_ROBIN = 263, 6, 18, 1

def member():
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.bind(("bond0", 0x0800))
    tap.setsockopt(SOL_PACKET, PACKET_FANOUT, 7 | ROUND_ROBIN << 16)
    return tap

def tell(tap):
    print(os.fstat(tap.fileno()).st_ino, *struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)))
    tap.close()

steady = member()
for _ in range(10):
    other = member()
    subprocess.run(["ping", "-q", "-c", "3", "-i", "0.1", "-W", "5", "10.9.0.1"], check=True, stdout=subprocess.DEVNULL)
    tell(other)
tell(steady)
PYTHON
}

setup() {
    make_bonded_host
    make_namespace doomed
    ip link add dv0 type veth peer name dv1 netns doomed
    ip link set dv0 up
    ip -n doomed link set dv1 up
    cd "$LAB_OUT"
    rm -f hundreds.inodes
    ping -q -c 1 10.9.0.1
    begin trace bondtrace record --kprobes --netns /proc/self/ns/net --netns doomed --iface bond0 --iface dv1 -o trace.arrows "icmp or (vlan and icmp)"
    attached trace
    pings
    taken_over
    stacked
    ip link del bond0
    bonded
    ip link del bond0
    wait_until unloaded
    bonded
    ip netns del doomed
    wait_until gone dv0
    for round in 1 2 3 4 5; do hundreds; done
    members
    echo 0 >/sys/devices/system/cpu/cpu1/online
    pings
    echo 1 >/sys/devices/system/cpu/cpu1/online
    pings
    date -s '+1 hour'
    wait_until grep -q 'the time of day moved by +' trace.err
    pings
    date -s '-1 hour'
    wait_until grep -q 'the time of day moved by -' trace.err
    send_signal TERM trace
    ended trace
}

play() { :; }
