# SPDX-License-Identifier: GPL-2.0-or-later
# title: MACsec on a bond
# description: ms0 on bond0, whose other end is the gateway's bridge; it also takes frames that are not protected: a ping through it, a plain frame
# iface: bond0

key=0123456789abcdef0123456789abcdef

# protected LOWER PEER: ms0 on a device, to the one with this hardware address.
protected() {
    ip link add link "$1" name ms0 type macsec encrypt on validate check
    ip macsec add ms0 tx sa 0 pn 1 on key 00 "$key"
    ip macsec add ms0 rx port 1 address "$2"
    ip macsec add ms0 rx port 1 address "$2" sa 0 pn 1 on key 00 "$key"
    ip link set ms0 up
}

setup() {
    make_bonded_host
    protected bond0 "$(ip netns exec gw cat /sys/class/net/br0/address)"
    in_namespace gw bash -c "$(declare -f protected); key=$key; protected br0 $(</sys/class/net/bond0/address)"
    ip addr add 10.19.0.2/24 dev ms0
    ip -n gw addr add 10.19.0.1/24 dev ms0
    start_taps eth0 bond0 ms0
}

play() {
    in_namespace gw ping_with packet-191 10.19.0.2
    in_namespace gw send_frame port0 ffffffffffff 020000000001 88b5 "$(hex packet-192)"
    pause 1
}
