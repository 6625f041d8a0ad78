# SPDX-License-Identifier: GPL-2.0-or-later
# title: a flood straight into the receive path, from every CPU
# description: pktgen hands 200,000 packets ($LAB_FLOOD) to eth0's receive path, from all CPUs at once, past two taps
# iface: bond0

setup() {
    make_bonded_host
    modprobe pktgen
    start_tap eth0 eth0 -s 64 -B 65536
    start_tap bond0 bond0 -s 64 -B 65536
}

pg() { echo "$2" >"/proc/net/pktgen/$1"; }

play() {
    local cpu last=$(($(nproc) - 1)) each
    each=$((${LAB_FLOOD:-200000} / (last + 1)))
    for cpu in $(seq 0 $last); do
        pg kpktgend_$cpu rem_device_all
        pg kpktgend_$cpu "add_device eth0@$cpu"
        pg eth0@$cpu "xmit_mode netif_receive"
        pg eth0@$cpu "count $each"
        pg eth0@$cpu "pkt_size 60"
        pg eth0@$cpu "delay 0"
        pg eth0@$cpu "dst_mac $(cat /sys/class/net/eth0/address)"
        # An address that is not this host's: IP drops the packets, and nobody answers.
        pg eth0@$cpu "src_min 192.0.2.$((cpu + 1))"
        pg eth0@$cpu "src_max 192.0.2.$((cpu + 1))"
        pg eth0@$cpu "dst 198.51.100.1"
    done
    pg pgctrl start
    for cpu in $(seq 0 $last); do
        grep -A 2 -h Result /proc/net/pktgen/eth0@$cpu
        echo "sent $(sed -n 's/.*pkts-sofar: \([0-9]*\).*/\1/p' /proc/net/pktgen/eth0@$cpu)"
    done
    rmmod pktgen || true
}
