# SPDX-License-Identifier: GPL-2.0-or-later
# title: several tracers on the same functions, and traffic that must not feel them
# description: TCP and UDP through the bond without and with tracers; then two bondtraces and a bpftrace over pings
# iface: bond0
# needs: bpftrace (bpftrace)

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

# A stream of 8 MB by TCP and 3,000 numbered datagrams from the gateway: "HASH BYTES DATAGRAMS IN-ORDER".
transfer() {
    /usr/bin/python3 - <<'PYTHON'
import hashlib, os, socket, subprocess, sys
SENDER = """
import random, socket, time
random.seed(7)
with socket.create_connection(("10.9.0.2", 7007)) as stream:
    for _ in range(128):
        stream.sendall(random.randbytes(65536))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    for number in range(3000):
        udp.sendto(number.to_bytes(4, "big") * (1 + number % 300), ("10.9.0.2", 7008))
        if number % 20 == 0:
            time.sleep(0.01)
"""
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
udp.bind(("10.9.0.2", 7008))
with socket.create_server(("10.9.0.2", 7007)) as server:
    sender = subprocess.Popen(["ip", "netns", "exec", "gw", sys.executable, "-c", SENDER])
    stream, _ = server.accept()
    seen, size = hashlib.sha256(), 0
    while data := stream.recv(1 << 16):
        seen.update(data)
        size += len(data)
sender.wait()
udp.settimeout(2)
got = []
try:
    while True:
        data = udp.recv(65536)
        assert data == data[:4] * (1 + int.from_bytes(data[:4], "big") % 300)
        got.append(int.from_bytes(data[:4], "big"))
except socket.timeout:
    pass
print(seen.hexdigest(), size, len(got), got == sorted(got))
PYTHON
}

# What the host says of its devices and its bond.
state() {
    ip -d -j link show | /usr/bin/python3 -c 'import json, sys
for one in json.load(sys.stdin): print(one["ifname"], one.get("promiscuity"), one.get("allmulti"), sorted(one["flags"]))'
    cat /proc/net/bonding/bond0
}
drops() { for file in /sys/class/net/{eth0,eth1,bond0}/statistics/{rx_dropped,rx_nohandler,tx_dropped,rx_errors,tx_errors}; do echo "$file $(cat $file)"; done; }

setup() {
    make_bonded_host
    cd "$LAB_OUT"
    ping -q -c 3 -i 0.1 10.9.0.1
    in_namespace gw ping -q -c 3 -i 0.1 10.9.0.2
    drops >drops.0
    transfer >transfer.without
    drops >drops.1
    state >state.without

    begin one bondtrace record --iface bond0 -o one.arrows
    begin two bondtrace record --kprobes --iface bond0 -o two.arrows
    begin third bpftrace -e 'kprobe:bond_handle_frame { @handled = count(); }
        kretprobe:bond_handle_frame { @returned = count(); } kprobe:__netif_receive_skb_one_core { @received = count(); }
        BEGIN { printf("listening\n"); }'
    attached one two
    LAB_WAIT_S=2000 wait_until grep -q listening third.out
    state >state.with
    drops >drops.2
    transfer >transfer.with
    drops >drops.3
    in_namespace gw ping -q -c 100 -i 0.01 10.9.0.2 >gateway.pings
    sleep 1
    send_signal INT third
    ended third
    send_signal TERM one
    send_signal TERM two
    ended one two
    state >state.after
}

play() { :; }
