# SPDX-License-Identifier: GPL-2.0-or-later
# title: a long trace at a steady rate
# description: pktgen hands eth0 100 packets a second ($LAB_RATE) for ten minutes ($LAB_SOAK_S); taps come and go
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

sizes() { echo "$SECONDS $(status_kb "$(cat record.pid)" VmRSS)" >>memory; }

# Open and close a tap now and then, as people do.
passers_by() {
    while true; do
        timeout 5 tcpdump -Z root -i bond0 -w /dev/null udp 2>/dev/null || true
        sleep 5
    done
}

setup() {
    make_bonded_host
    cd "$LAB_OUT"
    modprobe pktgen
    start_tap bond0 bond0 -s 64
    begin record bondtrace record --iface bond0 -o record.arrows "src net 192.0.2.0/24"
    attached record
    passers_by &
    local passers=$!
    while sleep 10; do sizes; done &
    local sampler=$!
    flood $((${LAB_RATE:-100} * ${LAB_SOAK_S:-610})) 60 "${LAB_RATE:-100}" >sent
    sizes
    kill $passers $sampler
    sleep 3
    send_signal TERM record
    LAB_WAIT_S=300 ended record
}

play() { :; }
