# SPDX-License-Identifier: GPL-2.0-or-later
# title: taps without a ring that open in a flood
# description: The gateway sends numbered datagrams without a pause; meanwhile a tap without a ring opens on the bond, and another one on the slave
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 bond0
}

# flood STOP: numbered datagrams to the host, until there is a file STOP.
flood() {
    /usr/bin/env python3 - "$1" <<'PYTHON'
import os, socket, sys
number = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    while not os.path.exists(sys.argv[1]):
        for number in range(number + 1, number + 101):
            udp.sendto(b"number %08d" % number, ("10.9.0.2", 9))
PYTHON
}

play() {
    local stop=$LAB_OUT/stop
    in_namespace gw flood "$stop" &
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
