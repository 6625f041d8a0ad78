# SPDX-License-Identifier: GPL-2.0-or-later
# title: taps without a ring that open in a flood
# description: The gateway sends numbered datagrams since before the trace, then without a pause; meanwhile a tap without a ring opens on the bond, and another one on the slave
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 bond0
    in_namespace gw send_numbered "$LAB_OUT/flooded" 1 0.002 "early" &
}

# send_numbered STOP BURST PAUSE WORD: datagrams with numbers to the host, a burst after the other, until there is a file
# STOP.
send_numbered() {
    /usr/bin/env python3 - "$@" <<'PYTHON'
import os, socket, sys, time
stop, burst, pause, word = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4].encode()
number = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    while not os.path.exists(stop):
        for number in range(number + 1, number + 1 + burst):
            udp.sendto(b"%s %08d" % (word, number), ("10.9.0.2", 9))
        time.sleep(pause)
PYTHON
}

play() {
    local stop=$LAB_OUT/stop
    touch "$LAB_OUT/flooded"
    in_namespace gw send_numbered "$stop" 100 0 "number" &
    local flood_pid=$!
    pause 1
    start_sockets opened-bond0:bond0:0x0800
    pause 1
    start_sockets opened-eth0:eth0:3
    pause 1
    touch "$stop"
    wait "$flood_pid"
    pause 1
}
