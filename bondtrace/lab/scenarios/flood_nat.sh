# SPDX-License-Identifier: GPL-2.0-or-later
# title: a flood through NAT, a bridge and a tunnel, from every CPU
# description: pktgen hands 10,000 datagrams ($LAB_FLOOD) for a published port to eth0, from all CPUs; meanwhile 2,000 come by VXLAN; each is numbered
# iface: bond0
# trace: --netns /proc/self/ns/net --netns cont --iface bond0 --iface docker0 --iface eth9
# needs: nft (nftables)

setup() {
    make_bonded_host
    make_guest docker0 cont 172.18.0
    make_vxlan
    nft -f - <<'RULES'
table ip nat {
    chain c_pre {
        type nat hook prerouting priority -100
        udp dport 8080 dnat to 172.18.0.2:80
    }
}
table ip filter {
    chain c_input {
        type filter hook input priority 0
        udp dport 5000 drop
    }
}
RULES
    # Freed at once in the container, so that its address is used again at once.
    ip netns exec cont nft -f - <<'RULES'
table ip filter {
    chain c_pre {
        type filter hook prerouting priority 0
        udp dport 80 drop
    }
}
RULES
    ping -q -c 1 172.18.0.2
    in_namespace gw ping -q -c 1 10.9.0.2
    in_namespace gw ping -q -c 1 10.42.0.2
    modprobe pktgen
    local device
    for device in eth0 bond0 docker0 veth0 vx0; do start_tap $device $device -s 96 -B 65536 udp; done
    start_tap_in cont eth9 eth9 -s 96 -B 65536 udp
}

pg() { echo "$2" >"/proc/net/pktgen/$1"; }

# numbered ADDRESS COUNT: datagrams with a number each; of a connected socket, each has an IP id of its own, too.
numbered() {
    /usr/bin/env python3 - "$@" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.connect((sys.argv[1], 5000))
    for number in range(int(sys.argv[2])):
        udp.send(b"number %06d" % number)
PYTHON
}

play() {
    local cpu last=$(($(nproc) - 1)) each device tunnel
    each=$((${LAB_FLOOD:-10000} / (last + 1)))
    for cpu in $(seq 0 $last); do
        device=eth0@$cpu
        pg kpktgend_$cpu rem_device_all
        pg kpktgend_$cpu "add_device $device"
        pg $device "xmit_mode netif_receive"
        pg $device "count $each"
        pg $device "pkt_size 80"
        pg $device "delay 0"
        pg $device "dst_mac $(</sys/class/net/bond0/address)"
        pg $device "src_min 10.9.0.$((cpu + 101))"
        pg $device "src_max 10.9.0.$((cpu + 101))"
        pg $device "dst 10.9.0.2"
        pg $device "udp_dst_min 8080"
        pg $device "udp_dst_max 8080"
    done
    in_namespace gw numbered 10.42.0.2 2000 &
    tunnel=$!
    pg pgctrl start
    wait $tunnel
    for cpu in $(seq 0 $last); do
        grep -A 2 -h Result /proc/net/pktgen/eth0@$cpu
        echo "sent $(sed -n 's/.*pkts-sofar: \([0-9]*\).*/\1/p' /proc/net/pktgen/eth0@$cpu)"
    done
    rmmod pktgen || true
}
