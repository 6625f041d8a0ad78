# SPDX-License-Identifier: GPL-2.0-or-later
# title: streams of TCP, merged and cut: by DNAT to a container, and through VXLAN
# description: Some hundred KB to a container behind a published port and as much through a tunnel, with segmentation offload and GRO on every veth
# iface: bond0
# trace: --netns /proc/self/ns/net --netns cont --iface bond0 --iface docker0 --iface eth9
# needs: nft (nftables)
# needs: ethtool (ethtool)

# take PORT: takes what one connection sends.
take() {
    exec /usr/bin/env python3 - "$1" <<'PYTHON'
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as server:
    open(f"take-{sys.argv[1]}.ready", "w").close()
    connection, _ = server.accept()
    while connection.recv(65536):
        pass
    connection.close()
PYTHON
}

# give ADDRESS PORT BYTES: sends so much; returns when the other end has closed.
give() {
    /usr/bin/env python3 - "$@" <<'PYTHON'
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as stream:
    stream.sendall(bytes(range(250)) * (int(sys.argv[3]) // 250))
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)
PYTHON
}

setup() {
    make_bonded_host
    make_guest docker0 cont 172.18.0
    make_vxlan
    nft -f - <<'RULES'
table ip nat {
    chain c_pre {
        type nat hook prerouting priority -100
        tcp dport 8080 dnat to 172.18.0.2:80
    }
}
RULES
    local device
    for device in eth0 eth1 veth0; do ethtool -K $device gro on; done
    ip netns exec cont ethtool -K eth9 gro on
    in_namespace cont take 80 &
    take 5001 &
    wait_until test -e take-80.ready
    wait_until test -e take-5001.ready
    for device in eth0 bond0 docker0 veth0 vx0; do start_tap $device $device -s 200 -B 16384; done
    start_tap_in cont eth9 eth9 -s 200 -B 16384
}

play() {
    in_namespace gw give 10.9.0.2 8080 300000
    in_namespace gw give 10.42.0.2 5001 300000
    pause 1
}
