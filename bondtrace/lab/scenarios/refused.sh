# SPDX-License-Identifier: GPL-2.0-or-later
# title: what IP refuses, beside taps for IPv4
# description: A closed UDP port, a closed TCP port, an unknown protocol, another host's address, a wrong checksum: drops of the copy that went on, as sockets for IPv4 share each packet
# iface: bond0

setup() {
    make_bonded_host
    start_taps eth0 bond0
    start_sockets ip-bond0:bond0:0x0800 ip-any:any:0x0800
}

# raw ADDRESS HEADER TEXT: an IPv4 packet to bond0's hardware address, or another's.
raw() { in_namespace gw send_frame port0 "$1" 020000000001 0800 "$2" 0a090001 0a090002 "$(hex "$3")"; }

play() {
    local bond
    bond=$(<"/sys/class/net/bond0/address")
    bond=${bond//:/}
    in_namespace gw send_udp 10.9.0.2 5000 packet-181
    in_namespace gw bash -c 'true >/dev/tcp/10.9.0.2/5000' || true
    # Protocol 253 with a right checksum, for this host's hardware address and for another's; and a wrong checksum.
    raw "$bond" 4500001e0001000040fd65ce packet-183
    raw 0200000000aa 4500001e0001000040fd65ce packet-184
    raw "$bond" 4500001e0001000040fd0000 packet-185
    pause 1
}
