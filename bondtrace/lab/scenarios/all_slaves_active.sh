# SPDX-License-Identifier: GPL-2.0-or-later
# title: duplicates: all_slaves_active lets the backup slave's copy up
# description: A bond whose option all_slaves_active is on: a frame that comes by both slaves, and one by the backup alone
# iface: bond0

setup() {
    make_bonded_host
    ip link set bond0 type bond all_slaves_active 1
    start_taps eth0 eth1 bond0
    start_sockets test:bond0:0x88b5
}

play() {
    in_namespace gw send_frame br0 ffffffffffff 020000000001 88b5 "$(hex packet-161)"
    in_namespace gw send_frame port1 ffffffffffff 020000000001 88b5 "$(hex packet-162)"
    pause 1
}
