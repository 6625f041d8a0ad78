# SPDX-License-Identifier: GPL-2.0-or-later
# title: WireGuard over a bond
# description: A tunnel wg0 to the gateway, its keys exchanged: pings each way and a datagram to a closed port
# iface: bond0
# needs: wg (wireguard-tools)

setup() {
    make_bonded_host
    local here there
    here=$(wg genkey)
    there=$(wg genkey)
    ip link add wg0 type wireguard
    ip -n gw link add wg0 type wireguard
    wg set wg0 listen-port 51820 private-key <(echo "$here") \
        peer "$(wg pubkey <<<"$there")" endpoint 10.9.0.1:51820 allowed-ips 10.21.0.1/32
    ip netns exec gw wg set wg0 listen-port 51820 private-key <(echo "$there") \
        peer "$(wg pubkey <<<"$here")" endpoint 10.9.0.2:51820 allowed-ips 10.21.0.2/32
    ip addr add 10.21.0.2/24 dev wg0
    ip -n gw addr add 10.21.0.1/24 dev wg0
    ip link set wg0 up
    ip -n gw link set wg0 up
    start_taps eth0 bond0 wg0
}

play() {
    # The keys are exchanged.
    ping -q -c 1 -W 10 10.21.0.1
    pause 0.5
    in_namespace gw ping_with packet-021 10.21.0.2
    in_namespace gw send_udp 10.21.0.2 5000 packet-022
    pause 0.5
    ping_with packet-023 10.21.0.1
    pause 1
}
