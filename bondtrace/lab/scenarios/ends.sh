# SPDX-License-Identifier: GPL-2.0-or-later
# title: every way in which a packet's way can end
# description: Sockets of UDP, TCP, ICMP and raw, that take and refuse; ARP and neighbour discovery, answered and not; VLANs, a VRF, routes, rules
# iface: bond0
# trace: --iface bond0 --iface out0 --sockets
# needs: nft (nftables)

here_scenarios=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# A VLAN device of the host with 10.ID.0.2.
vlan() {
    ip link add link bond0 name "bond0.$1" type vlan id "$1"
    ip link set "bond0.$1" up
    ip addr add "10.$1.0.2/24" dev "bond0.$1"
}

setup() {
    make_bonded_host
    use_ipv6 bond0 fd09::2/64
    for number in 30 50 60 70 80; do vlan "$number"; done
    # Routes: what comes by bond0.30 is forwarded to out0, where a tap is, or to quiet0, where none is.
    ip link add out0 type dummy
    ip addr add 10.55.0.2/24 dev out0
    ip link set out0 up
    ip link add quiet0 type dummy
    ip addr add 10.56.0.2/24 dev quiet0
    use_ipv6 quiet0 fd56::2/64
    ip link set quiet0 up
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    echo 1 >/proc/sys/net/ipv4/conf/bond0.30/forwarding
    echo 1 >/proc/sys/net/ipv4/conf/bond0.50/rp_filter
    # ARP
    echo 1 >/proc/sys/net/ipv4/conf/bond0.30/arp_ignore
    echo 8 >/proc/sys/net/ipv4/conf/bond0.50/arp_ignore
    echo 1 >/proc/sys/net/ipv4/conf/bond0.60/arp_filter
    # A VRF
    ip link add red type vrf table 10
    ip link set red up
    ip link add link bond0 name bond0.40 type vlan id 40
    ip link set bond0.40 master red up
    ip addr add 10.40.0.2/24 dev bond0.40
    # What a rule and a policy refuse, though there is a socket
    nft -f - <<'RULES'
table ip filter {
    chain c_input {
        type filter hook input priority 0
        udp dport 4071 drop
    }
}
RULES
    ip xfrm policy add src 10.9.0.1 dst 10.9.0.2 proto udp dport 4073 dir in action block
    echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range
    echo 0 >/proc/sys/net/ipv4/tcp_syncookies
    start_servers
    start_xsk
    start_taps bond0 out0 # what a device sends is only shown where a tap is
}

start_servers() {
    SERVERS_DEVICE=bond0 /usr/bin/env python3 "$here_scenarios/servers.py" "$LAB_OUT" \
        plain,udp,*,4002 \
        on-slave,udp,*,4003,device=eth0 \
        full,udp,*,4004,small,idle \
        filtered,udp,*,4005,refuse \
        unchecked,udp,*,4006 \
        checked,udp,*,4008,refuse \
        group-a,udp,*,4013,group=239.1.2.3,reuse group-b,udp,*,4013,group=239.1.2.3,reuse,small,idle \
        raw-a,raw,*,253 raw-b,raw,*,253 raw-full,raw,*,252,small,idle \
        wild,udp,*,4017,reuse connected,udp,10.9.0.2,4017,reuse,remote=10.9.0.1/5017 \
        fragments,udp,*,4086 \
        listening,tcp,*,4032,greet waiting,tcp,*,4034,idle overrun,tcp,*,4035,idle,backlog=0 \
        timewait,tcp,*,4036,close held,tcp,*,4037,held=released \
        six,udp6,*,4051 six-full,udp6,*,4052,small,idle six-raw,raw6,*,253 six-group,udp6,*,4058,group=ff05::1234 \
        six-tcp,tcp6,*,4059,greet \
        on-vlan,udp,*,4061,device=bond0.30 \
        in-vrf,udp,*,4065,device=red outside-vrf,udp,*,4066 under-vrf,udp,*,4068,device=bond0.40 \
        ruled,udp,*,4071 policed,udp,*,4073 &
    servers_pid=$!
    wait_until test -e "$LAB_OUT/servers.ready"
}

# start_xsk: what bond0.80 receives goes to an AF_XDP socket.
start_xsk() {
    /usr/bin/env python3 "$here_scenarios/xsk.py" bond0.80 /sys/fs/bpf/xsk "$LAB_OUT/xsk.log" &
    xsk_pid=$!
    wait_until test -e "$LAB_OUT/xsk.log.ready"
    ip link set bond0.80 xdpgeneric pinned /sys/fs/bpf/xsk
}

# crafted: sends the frames that the standard input describes out of the gateway's port0, to bond0's MAC address.
crafted() {
    ip netns exec gw /usr/bin/env python3 "$here_scenarios/crafted.py" port0 "$(<"/sys/class/net/bond0/address")"
}

has_read() { grep -qx "$1" "$LAB_OUT/servers.log"; }

# connections: real ones from the gateway.
connections() {
    ip netns exec gw /usr/bin/env python3 - "$LAB_OUT" <<'PYTHON'
import pathlib, socket, sys, time
out, opened = pathlib.Path(sys.argv[1]), []
def connect(port, source=0):
    one = socket.socket()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.bind(("10.9.0.1", source))
    one.settimeout(60)
    one.connect(("10.9.0.2", port))
    opened.append(one)
    return one
def until(happened):
    while not happened():
        time.sleep(0.1)
accepted = connect(4032)
accepted.recv(5)
accepted.send(b"packet-433")
connect(4034).send(b"packet-434")
connect(4035)  # the only one for which there is room
ended = connect(4036, 5036)
ended.recv(1)
ended.close()
held = connect(4037)
until((out / "released.held").exists)
held.send(b"packet-437")
socket.socket(type=socket.SOCK_DGRAM).sendto(b"packet-498", ("10.9.0.2", 4002))
until(lambda: "plain 498" in (out / "servers.log").read_text())  # comes after 437
(out / "released").touch()
six = socket.create_connection(("fd09::2", 4059), 60)
six.recv(5)
six.send(b"packet-459")
(out / "connected").touch()
until((out / "played").exists)
PYTHON
}

play() {
    in_namespace gw use_ipv6 br0 fd09::1/64
    ping -q -c 1 -W 5 -p "$(hex packet-421)" 10.9.0.1
    in_namespace gw ping_with packet-419 10.9.0.2
    connections &
    connections_pid=$!
    wait_until has_read "held 437"
    wait_until has_read "six-tcp 459"
    wait_until test -e "$LAB_OUT/connected"
    crafted <"$here_scenarios/ends.frames"
    wait_until has_read "plain 499"
    touch "$LAB_OUT/played"
    wait "$connections_pid"
    pause 1
    kill -TERM "$xsk_pid" "$servers_pid"
    wait "$servers_pid"
}
