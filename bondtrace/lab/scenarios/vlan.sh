# SPDX-License-Identifier: GPL-2.0-or-later
# title: VLANs over a bond and on its slave
# description: bond0.100 on the bond, eth0.200 on the slave, a priority tag and a tag that no device takes, tags in and beside the frame
# iface: bond0
# trace: --iface bond0 --iface eth0

setup() {
    make_bonded_host
    ip link add link bond0 name bond0.100 type vlan id 100
    ip link set bond0.100 up
    ip addr add 10.9.100.2/24 dev bond0.100
    ip link add link eth0 name eth0.200 type vlan id 200
    ip link set eth0.200 up
    ip addr add 10.9.200.2/24 dev eth0.200
    local id
    for id in 100 200; do
        ip -n gw link add link br0 name br0.$id type vlan id $id
        ip -n gw link set br0.$id up
        ip -n gw addr add 10.9.$id.1/24 dev br0.$id
    done
    start_taps eth0 bond0 bond0.100 eth0.200
}

# A broadcast frame of an experimental protocol, behind a tag.
tagged() { in_namespace gw send_frame port0 ffffffffffff 020000000001 8100 "$1" 88b5 "$2"; }

play() {
    ping -c 1 -W 5 10.9.100.1
    ping -c 1 -W 5 10.9.200.1
    tagged 0064 "$(printf 'tag in the frame, VLAN 100' | od -An -tx1 | tr -d ' \n')"
    tagged 6000 "$(printf 'priority tag' | od -An -tx1 | tr -d ' \n')"
    tagged 012c "$(printf 'VLAN 300, nobody takes it' | od -An -tx1 | tr -d ' \n')"
}
