# SPDX-License-Identifier: GPL-2.0-or-later
# title: packets that interrupt a process in the middle of a probe
# description: CPU 0 is busy with messages between two sockets, each of which fires a probe; what eth0 receives interrupts it
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

messages() {
    exec taskset -c 0 /usr/bin/python3 -c 'import socket
one, other = socket.socketpair(type=socket.SOCK_DGRAM)
while True:
    one.send(b"x")
    other.recv(1)'
}

# flooded NAME OPTION...: a tracer of that name with these options, and a plain packet socket, while 2,000 pings come.
flooded() {
    local name=$1
    shift
    rm -f sockets-0.ready
    start_sockets "$name:bond0:0x0800"
    begin "$name" bondtrace record "$@" --iface bond0 -o "$name.arrows" icmp
    attached "$name"
    in_namespace gw taskset -c 1 ping -q -f -c 2000 10.9.0.2
    sleep 1
    bpftool prog list -j >"$name.programs"
    send_signal TERM "$name"
    ended "$name"
    stop_taps
    mv sockets-0.json "$name.sockets"
}

setup() {
    make_bonded_host
    cd "$LAB_OUT"
    echo 1 >/sys/class/net/eth0/queues/rx-0/rps_cpus
    ping -q -c 1 10.9.0.1
    in_namespace gw ping -q -c 1 10.9.0.2
    messages &
    flooded fentry
    flooded kprobes --kprobes
}

play() { :; }
