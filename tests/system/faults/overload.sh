# SPDX-License-Identifier: GPL-2.0-or-later
# title: more than a tracer can take
# description: Thousands of taps, 1,000 interfaces, a reader stopped for a minute while pktgen floods, packets of 64 KiB
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

# Taps on a device without traffic, until a file "enough" is there.
crowd() {
    ulimit -n 20000
    /usr/bin/python3 - "$1" <<'PYTHON'
import os, socket, sys, time
taps = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(int(sys.argv[1]))]
for tap in taps:
    tap.bind(("dummy0", 0x0800))
open("crowd.ready", "w").close()
while not os.path.exists("enough"):
    time.sleep(0.1)
PYTHON
}

sizes() { echo "$1 $(status_kb "$(cat trace.pid)" VmRSS) $(status_kb "$(cat trace.pid)" VmHWM)" >>memory; }

setup() {
    local device
    make_bonded_host
    for device in eth0 eth1 bond0; do ip link set $device mtu 65535; done
    for device in port0 port1 br0; do ip -n gw link set $device mtu 65535; done
    cd "$LAB_OUT"
    rm -f enough
    for ((i = 0; i < ${LAB_DEVICES:-1000}; i++)); do
        echo "link add dummy$i type dummy"
    done | ip -batch -
    ip link set dummy0 up
    crowd "${LAB_TAPS:-2000}" &
    local crowd=$!
    LAB_WAIT_S=300 wait_until test -e crowd.ready
    modprobe pktgen
    ping -q -c 1 10.9.0.1
    echo $(($(wc -l </proc/net/packet) - 1)) >taps
    ls /sys/class/net | wc -l >devices

    begin trace bondtrace record --kprobes -o trace.arrows "icmp or src net 192.0.2.0/24"
    attached trace
    sizes attached
    ping -q -c 5 -i 0.1 10.9.0.1
    sleep 5
    sizes crowded
    local begun_us=${EPOCHREALTIME/[.,]/}
    bondtrace taps >taps.table
    echo $(((${EPOCHREALTIME/[.,]/} - begun_us) / 1000)) >taps.ms
    # Else the kernel waits for some 10 ms at the end of each tap.
    echo 1 >/sys/kernel/rcu_expedited
    touch enough
    wait $crowd
    echo 0 >/sys/kernel/rcu_expedited
    LAB_WAIT_S=600 wait_until has_told_gone "${LAB_TAPS:-2000}" trace.arrows
    send_signal STOP trace
    local stopped=$SECONDS
    flood "${LAB_FLOOD:-150000}" 60 ${LAB_RATE:-} >sent
    sleep $((stopped + ${LAB_STOPPED_S:-61} > SECONDS ? stopped + ${LAB_STOPPED_S:-61} - SECONDS : 0))
    send_signal CONT trace
    echo $((SECONDS - stopped)) >stopped
    sleep 2
    # It has read what had come; where the emulator is so slow that it is never idle, it has had its time.
    LAB_WAIT_S=60 wait_until is_idle "$(cat trace.pid)" || true
    ping -q -c 5 -i 0.1 10.9.0.1
    sleep 5
    sizes flooded
    ping -q -c 5 -i 0.1 -s 65000 10.9.0.1
    flood 5000 >>sent
    sleep 2
    sizes end
    send_signal TERM trace
    ended trace
}

play() { :; }
