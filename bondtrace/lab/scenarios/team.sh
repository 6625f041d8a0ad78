# SPDX-License-Identifier: GPL-2.0-or-later
# title: a ping over a team device
# description: team0 in mode activebackup, eth0 active: the pings of the scenario ping
# iface: team0
# needs: teamnl (libteam-utils)

setup() {
    make_gateway
    modprobe team_mode_activebackup
    ip link add team0 type team
    # teamd would do this: an active port with another address than the team's drops what is for the team.
    local device
    for device in eth0 eth1; do
        ip link set $device address "$(cat /sys/class/net/team0/address)"
    done
    teamnl team0 setoption mode activebackup
    ip link set eth0 master team0
    ip link set eth1 master team0
    ip link set team0 up
    ip link set eth0 up
    ip link set eth1 up
    teamnl team0 setoption activeport "$(cat /sys/class/net/eth0/ifindex)"
    ip addr add 10.9.0.2/24 dev team0
    wait_until ping -c 1 -W 1 10.9.0.1
    start_taps eth0 eth1 team0
}

play() {
    ip neigh flush dev team0
    ip -n gw neigh flush dev br0
    ping -c 1 -W 5 10.9.0.1
    ip neigh flush dev team0
    ip -n gw neigh flush dev br0
    in_namespace gw ping -c 1 -W 5 10.9.0.2
}
