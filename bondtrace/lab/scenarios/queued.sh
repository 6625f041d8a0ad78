# SPDX-License-Identifier: GPL-2.0-or-later
# title: packets that wait in a slave's queue
# description: Frames sent on VLANs over a bond that no tap listens on, which netem holds for 0.4 s on the slave or loses there
# iface: bond0

setup() {
    make_bonded_host
    ip link add link bond0 name bond0.100 type vlan id 100
    ip link set bond0.100 up
    ip link add link bond0.100 name bond0.100.7 type vlan id 7
    ip link set bond0.100.7 up
    tc qdisc add dev eth0 root netem delay 400ms
    start_taps eth0 bond0.100 bond0.100.7
}

# send_on DEVICE NAME: a frame to the gateway.
send_on() {
    local gateway
    gateway=$(ip -n gw -o link show dev br0 | sed 's/.*link.ether \([0-9a-f:]*\).*/\1/' | tr -d :)
    send_frame "$1" "$gateway" 020000000002 88b5 "$(hex "$2")"
}

play() {
    send_on bond0.100 packet-301
    send_on bond0.100.7 packet-302
    pause 1
    tc qdisc change dev eth0 root netem delay 400ms loss 100%
    send_on bond0.100 packet-303
    pause 2
}
