# SPDX-License-Identifier: GPL-2.0-or-later
# title: LLDP on the active and on the backup slave
# description: Two LLDP frames to each slave; taps for all protocols and for LLDP alone, on slaves, bond and any
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 eth1 bond0
    start_sockets lldp-eth0:eth0:0x88cc lldp-eth1:eth1:0x88cc lldp-bond0:bond0:0x88cc lldp-any:any:0x88cc
}

# A frame to the nearest bridge's address: the gateway's bridge does not forward it when it receives it, but its ports
# can send it.
lldp() {
    in_namespace gw send_frame "$1" 0180c200000e "$2" 88cc 020704 "$2" 040705 "$2" 06020078 0000
}

play() {
    lldp port0 020000000001
    lldp port1 020000000002
    lldp port0 020000000003
    lldp port1 020000000004
}
