# SPDX-License-Identifier: GPL-2.0-or-later
# title: IPsec over a bond: transport, tunnel, and an xfrm interface
# description: Security associations with keys that do not change; transport for UDP port 4001, a tunnel for 10.32.0.2, an xfrm interface for 10.33.0.2
# iface: bond0

# The keys of the associations: SPI 0x31 transport, 0x32 tunnel, 0x33 the interface's; 0x4N is the way back.
association() {
    local source=$1 target=$2 spi=$3 mode=$4
    shift 4
    ip xfrm state add src "$source" dst "$target" proto esp spi "$spi" mode "$mode" "$@"
}
null=(enc "ecb(cipher_null)" "" auth "hmac(sha1)" 0x0123456789abcdef0123456789abcdef01234567)
gcm=(aead "rfc4106(gcm(aes))" 0x0123456789abcdef0123456789abcdef01234567 128)

# ends HERE THERE OUT IN: associations and policies of one end; OUT and IN are the first digit of the SPIs each way.
ends() {
    local here=$1 there=$2 out=$3 in=$4 host=${1##*.} peer=${2##*.}
    association "$here" "$there" 0x${out}1 transport "${null[@]}"
    association "$there" "$here" 0x${in}1 transport "${null[@]}"
    association "$here" "$there" 0x${out}2 tunnel "${null[@]}"
    association "$there" "$here" 0x${in}2 tunnel "${null[@]}"
    association "$here" "$there" 0x${out}3 tunnel "${gcm[@]}" if_id 33
    association "$there" "$here" 0x${in}3 tunnel "${gcm[@]}" if_id 33
    ip xfrm policy add dir out src "$here" dst "$there" proto udp dport 4001 \
        tmpl src "$here" dst "$there" proto esp spi 0x${out}1 mode transport
    ip xfrm policy add dir in src "$there" dst "$here" proto udp dport 4001 \
        tmpl src "$there" dst "$here" proto esp spi 0x${in}1 mode transport
    ip xfrm policy add dir out src 10.32.0.$host dst 10.32.0.$peer \
        tmpl src "$here" dst "$there" proto esp spi 0x${out}2 mode tunnel
    ip xfrm policy add dir in src 10.32.0.$peer dst 10.32.0.$host \
        tmpl src "$there" dst "$here" proto esp spi 0x${in}2 mode tunnel
    ip xfrm policy add dir out src 0.0.0.0/0 dst 0.0.0.0/0 if_id 33 \
        tmpl src "$here" dst "$there" proto esp spi 0x${out}3 mode tunnel
    ip xfrm policy add dir in src 0.0.0.0/0 dst 0.0.0.0/0 if_id 33 \
        tmpl src "$there" dst "$here" proto esp spi 0x${in}3 mode tunnel
    ip addr add 10.32.0.$host/32 dev lo
    ip route add 10.32.0.$peer/32 via "$there" src 10.32.0.$host
    ip link add xfrm0 type xfrm if_id 33
    ip addr add 10.33.0.$host/24 dev xfrm0
    ip link set xfrm0 up
}

setup() {
    make_bonded_host
    ends 10.9.0.2 10.9.0.1 4 3
    ip netns exec gw bash -c "$(declare -f association ends); $(declare -p null gcm); ends 10.9.0.1 10.9.0.2 3 4"
    start_taps eth0 bond0 xfrm0
}

play() {
    in_namespace gw send_udp 10.9.0.2 4001 packet-031
    in_namespace gw ping_with packet-032 10.32.0.2
    in_namespace gw ping_with packet-033 10.33.0.2
    ping_with packet-034 10.33.0.1
    pause 1
}
