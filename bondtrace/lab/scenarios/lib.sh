# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers for scenarios. All of it runs as root in the guest; $LAB_OUT is the directory shared with the host.
#
# A scenario is a bash file with a header of comments (title, description, iface) and the functions setup and play;
# check, if there is one, runs after the tracer has ended. A command that fails ends the run.

# By a device's ifindex: the namespace and the port of the bridge at its other end.
declare -A ports=()
# Names and pids of the running taps, in the order in which they were started.
tap_names=()
tap_pids=()
sockets_pids=()
tap_namespace=

# pause SECONDS: like sleep, but without a process, which takes the emulated CPU a tenth of a second to start.
exec {nobody_writes}<> <(:)
pause() { read -r -t "$1" -u "$nobody_writes" || true; }

# wait_until COMMAND...: tries the command every 0.1 s, after a second every 0.5 s, until it succeeds; fails after
# $LAB_WAIT_S (120) seconds.
wait_until() {
    local deadline=$((SECONDS + ${LAB_WAIT_S:-120})) tries=0
    until "$@"; do
        if ((SECONDS > deadline)); then
            echo "gave up after ${LAB_WAIT_S:-120} s of waiting for: $*" >&2
            return 1
        fi
        if ((tries++ < 10)); then pause 0.1; else pause 0.5; fi
    done
}

# says_attached FILE: has the tracer whose output goes to this file said that it is attached?
says_attached() { [[ $'\n'$(<"$1") == *$'\n'"bondtrace: attached"* ]]; }

# keep_quiet: this namespace sends nothing of its own accord from the devices made from now on: no IPv6 solicitations,
# and no ARP probe of a neighbour that answered a while ago (the guest may be slow).
keep_quiet() {
    local scope
    for scope in all default; do
        if [ -e /proc/sys/net/ipv6/conf/$scope/disable_ipv6 ]; then
            echo 1 >/proc/sys/net/ipv6/conf/$scope/disable_ipv6
        fi
    done
    # The first namespace's default serves all of them, and only it has the file.
    if [ -e /proc/sys/net/ipv4/neigh/default/delay_first_probe_time ]; then
        echo 3600 >/proc/sys/net/ipv4/neigh/default/delay_first_probe_time
    fi
}

# make_namespace NAME: a quiet network namespace, its loopback up.
make_namespace() {
    ip netns add "$1"
    in_namespace "$1" keep_quiet
    ip -n "$1" link set lo up
}

# in_namespace NAME COMMAND...: runs a command or one of these functions in a namespace.
in_namespace() {
    local name=$1
    shift
    if declare -F "$1" >/dev/null; then
        ip netns exec "$name" bash -c "$(declare -f "$1"); \"\$@\"" bash "$@"
    else
        ip netns exec "$name" "$@"
    fi
}

# next_number NAMESPACE DEVICE: the next device that is made in the namespace, whose last one is the last that was made
# in it, gets the number that DEVICE has here.
next_number() {
    local number last
    number=$(<"/sys/class/net/$2/ifindex")
    last=$(ip -n "$1" -o link show | sed -n '$s/:.*//p')
    while ((last < number - 1)); do
        ip -n "$1" link add pad type dummy
        last=$(ip -n "$1" -o link show pad)
        last=${last%%:*}
        ip -n "$1" link del pad
    done
    ((last == number - 1))
}

# make_bridge NAMESPACE NAME: a bridge that forwards at once and sends nothing of its own. It keeps a learned address
# for some hours, as a tracer may take minutes to start: otherwise it floods frames to all ports. Its address is not the
# lowest of its ports' addresses, which changes when a port with a lower one is added: frames to the previous address
# are then no longer for it.
make_bridge() {
    local address
    printf -v address '06:%02x:%02x:%02x:%02x:%02x' $((RANDOM % 256)) $((RANDOM % 256)) $((RANDOM % 256)) \
        $((RANDOM % 256)) $((RANDOM % 256))
    ip -n "$1" link add "$2" address "$address" type bridge forward_delay 0 mcast_snooping 0 ageing_time 3000000
    ip -n "$1" link set "$2" up
}

# make_port DEVICE NAMESPACE BRIDGE PEER: a veth pair, DEVICE here and PEER a port of the bridge.
make_port() {
    ip link add "$1" type veth peer name "$4" netns "$2"
    ip -n "$2" link set "$4" master "$3" up
    ports[$(<"/sys/class/net/$1/ifindex")]="$2 $4"
}

# forwards DEVICE: does the bridge at its other end, if there is one, forward? It begins some time after the link is up.
forwards() {
    local namespace port
    read -r namespace port <<<"${ports[$(<"/sys/class/net/$1/ifindex")]:-}"
    [ -z "$port" ] || ip -n "$namespace" -d link show dev "$port" | grep -q 'bridge_slave state forwarding'
}

# slave_is_up DEVICE: does the bond see this slave's link up, and will what it sends arrive?
slave_is_up() { grep -qx up "/sys/class/net/$1/bonding_slave/mii_status" && forwards "$1"; }

# make_gateway: a quiet host here; a gateway, namespace gw with 10.9.0.1 on a bridge of two ports, whose other ends are
# eth0 and eth1 here.
make_gateway() {
    keep_quiet
    ip link set lo up
    make_namespace gw
    make_bridge gw br0
    ip -n gw addr add 10.9.0.1/24 dev br0
    make_port eth0 gw br0 port0
    make_port eth1 gw br0 port1
}

# make_bonded_host: make_gateway, and bond0, active-backup with eth0 active, with 10.9.0.2.
make_bonded_host() {
    make_gateway
    make_bond bond0 active-backup eth0 eth1
    ip addr add 10.9.0.2/24 dev bond0
}

# forget_neighbours: the next packets begin with ARP, on both sides.
forget_neighbours() {
    ip neigh flush dev bond0
    ip -n gw neigh flush dev br0
}

# active_is BOND SLAVE: is this the bond's active slave?
active_is() { grep -qx "$2" "/sys/class/net/$1/bonding/active_slave"; }

# send_frame DEVICE HEX...: sends a frame, given byte by byte, out of a device of the current namespace.
send_frame() {
    /usr/bin/env python3 - "$@" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((sys.argv[1], 0))
    raw.send(bytes.fromhex("".join(sys.argv[2:])))
PYTHON
}

# hex TEXT: its bytes, as send_frame and ping -p take them.
hex() {
    local i
    for ((i = 0; i < ${#1}; i++)); do printf %02x "'${1:i:1}"; done
}

# send_udp ADDRESS PORT TEXT: a datagram, from the current namespace.
send_udp() { printf %s "$3" >"/dev/udp/$1/$2"; }

# ping_with TEXT ADDRESS [OPTION...]: one ping whose data repeat the text, of up to 16 characters; an answer is not
# required.
ping_with() {
    local digits="" i text=$1
    for ((i = 0; i < ${#text}; i++)); do printf -v digits '%s%02x' "$digits" "'${text:i:1}"; done
    ping -q -c 1 -W 5 -p "$digits" "${@:2}" || true
}

# make_far DEVICE...: the namespace far, and a veth pair for each DEVICE ethN: 10.N.0.2 here, and there pN with
# 10.N.0.1.
make_far() {
    local device number
    make_namespace far
    for device in "$@"; do
        number=${device#eth}
        ip link add "$device" type veth peer name "p$number" netns far
        ip -n far link set "p$number" up
        ip -n far addr add "10.$number.0.1/24" dev "p$number"
        ip link set "$device" up
        ip addr add "10.$number.0.2/24" dev "$device"
    done
}

# make_guest BRIDGE NAMESPACE NETWORK: a bridge here with NETWORK.1, and behind it, by the pair veth0 and eth9, a
# namespace with NETWORK.2 that routes by it; what is forwarded is routed.
make_guest() {
    make_namespace "$2"
    ip link add "$1" type bridge forward_delay 0 mcast_snooping 0
    ip addr add "$3.1/24" dev "$1"
    ip link set "$1" up
    ip link add veth0 type veth peer name eth9 netns "$2"
    ip link set veth0 master "$1" up
    ip -n "$2" link set eth9 up
    ip -n "$2" addr add "$3.2/24" dev eth9
    ip -n "$2" route add default via "$3.1"
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

# make_bridged_host: make_gateway, and the bridge br1 with 10.9.0.2. Its ports are bond0, active-backup with eth0
# active, and veth0, the other end of which, eth9, has 10.9.0.3 in the namespace guest.
make_bridged_host() {
    make_gateway
    make_bond bond0 active-backup eth0 eth1
    make_namespace guest
    ip link add br1 type bridge forward_delay 0 mcast_snooping 0
    ip link set bond0 master br1
    ip link set br1 up
    ip addr add 10.9.0.2/24 dev br1
    ip link add veth0 type veth peer name eth9 netns guest
    ip link set veth0 master br1 up
    ip -n guest link set eth9 up
    ip -n guest addr add 10.9.0.3/24 dev eth9
}

# make_vxlan: after make_bonded_host a VXLAN between vx0 here, 10.42.0.2, and vx42 of the gateway, 10.42.0.1.
make_vxlan() {
    ip link add vx0 type vxlan id 42 dstport 4789 local 10.9.0.2 remote 10.9.0.1 dev bond0
    ip addr add 10.42.0.2/24 dev vx0
    ip link set vx0 up
    ip -n gw link add vx42 type vxlan id 42 dstport 4789 local 10.9.0.1 remote 10.9.0.2 dev br0
    ip -n gw addr add 10.42.0.1/24 dev vx42
    ip -n gw link set vx42 up
}

# use_ipv6 DEVICE ADDRESS: IPv6 on one device of the current namespace, which it does not announce.
use_ipv6() {
    echo 0 >"/proc/sys/net/ipv6/conf/$1/accept_ra"
    echo 0 >"/proc/sys/net/ipv6/conf/$1/router_solicitations"
    echo 0 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
    ip addr add "$2" dev "$1" nodad
}

# pin_program NAME WORD...: a small BPF program, at /sys/fs/bpf/NAME; programs.py has the words.
pin_program() { /usr/bin/env python3 "$(dirname "${BASH_SOURCE[0]}")/programs.py" "/sys/fs/bpf/$1" "${@:2}"; }

# redirect_at DEVICE NAME: what DEVICE receives runs through the pinned program, at tc ingress.
redirect_at() {
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress bpf da object-pinned "/sys/fs/bpf/$2"
}

# make_bond NAME MODE SLAVE...: a bond that is up, each slave's link seen up; active-backup: the first slave active.
make_bond() {
    local name=$1 mode=$2 slave
    shift 2
    modprobe bonding max_bonds=0
    ip link add "$name" type bond mode "$mode" miimon 100
    if [ "$mode" = active-backup ]; then
        # Otherwise the bond announces its address some time later, in the middle of the scenario.
        ip link set "$name" type bond num_grat_arp 0
    fi
    for slave in "$@"; do
        ip link set "$slave" down
        ip link set "$slave" master "$name"
    done
    ip link set "$name" up
    for slave in "$@"; do
        wait_until slave_is_up "$slave"
    done
    if [ "$mode" = active-backup ]; then
        ip link set "$name" type bond active_slave "$1"
        wait_until grep -qx "$1" "/sys/class/net/$name/bonding/active_slave"
    fi
    wait_until grep -qx up "/sys/class/net/$name/operstate"
}

# start_tap NAME DEVICE [FILTER...]: a tcpdump that writes $LAB_OUT/NAME.pcap; returns when it listens.
start_tap() {
    _launch_tap "$@"
    _tap_listens "$1"
}

# start_taps DEVICE...: a tap for each device, named as the device; returns when all listen.
start_taps() {
    local device
    for device in "$@"; do
        _launch_tap "$device" "$device"
    done
    for device in "$@"; do
        _tap_listens "$device"
    done
}

# start_tap_in NAMESPACE NAME DEVICE [FILTER...]: start_tap in a namespace.
start_tap_in() {
    tap_namespace=$1
    shift
    start_tap "$@"
    tap_namespace=
}

_tap_listens() { wait_until grep -q 'listening on' "$LAB_OUT/$1.tcpdump"; }

_launch_tap() {
    local name=$1 device=$2
    shift 2
    # bash starts background commands with SIGINT ignored; tcpdump must stay root, as the file is root's.
    ${tap_namespace:+ip netns exec "$tap_namespace"} env --default-signal=INT tcpdump -Z root -i "$device" -U -n --immediate-mode -w "$LAB_OUT/$name.pcap" "$@" \
        2>"$LAB_OUT/$name.tcpdump" &
    tap_pids+=($!)
    tap_names+=("$name")
}

# start_sockets NAME:DEVICE:PROTOCOL[:FANOUT]...: plain packet sockets that write $LAB_OUT/NAME.pcap; returns when they
# are open.
start_sockets() {
    local log=$LAB_OUT/sockets-${#sockets_pids[@]}
    ${tap_namespace:+ip netns exec "$tap_namespace"} \
        /usr/bin/env python3 "$(dirname "${BASH_SOURCE[0]}")/sockets.py" "$LAB_OUT" "$log" "$@" &
    sockets_pids+=($!)
    wait_until test -e "$log.ready"
}

# start_sockets_in NAMESPACE NAME:DEVICE:PROTOCOL[:FANOUT]...: start_sockets in a namespace.
start_sockets_in() {
    tap_namespace=$1
    shift
    start_sockets "$@"
    tap_namespace=
}

_tap_sizes() { (cd "$LAB_OUT" && stat -c %s "${tap_names[@]/%/.pcap}"); }

# settle_taps: returns when the taps' files have stopped growing.
settle_taps() {
    local before="" now quiet=0 tries=0
    if ((${#tap_names[@]} == 0)); then
        return 0
    fi
    while ((quiet < 3 && tries++ < 100)); do
        now=$(_tap_sizes)
        if [ "$now" = "$before" ]; then
            quiet=$((quiet + 1))
        else
            quiet=0
        fi
        before=$now
        pause 0.1
    done
}

# stop_taps: ends the taps; their counts stay in $LAB_OUT/NAME.tcpdump.
stop_taps() {
    local i
    for i in "${!tap_pids[@]}"; do
        kill -INT "${tap_pids[i]}" 2>/dev/null || true
    done
    for i in "${!tap_pids[@]}"; do
        wait "${tap_pids[i]}" || true
        echo "tap ${tap_names[i]}:" $(tail -n 3 "$LAB_OUT/${tap_names[i]}.tcpdump")
    done
    tap_names=()
    tap_pids=()
    for i in "${!sockets_pids[@]}"; do
        kill -TERM "${sockets_pids[i]}"
        wait "${sockets_pids[i]}"
    done
    sockets_pids=()
}
