# SPDX-License-Identifier: GPL-2.0-or-later
# title: daemons of Debian around a bond
# description: dnsmasq, chronyd, keepalived and lldpd on a bonded host, dhclient on a VLAN, chronyd in a VRF; the gateway asks, and notes the answers
# iface: bond0
# trace: --iface bond0 --sockets
# needs: dnsmasq (dnsmasq-base)
# needs: chronyd (chrony)
# needs: keepalived (keepalived)
# needs: lldpd (lldpd)
# needs: lldpcli (lldpd)
# needs: dhclient (isc-dhcp-client)

daemon_pids=()
private=$(mktemp -d) # for sockets and the like, which the output directory may not be able to have

# daemon NAME COMMAND...: runs it in the background; its output goes to $LAB_OUT/NAME.log.
daemon() {
    local name=$1
    shift
    "$@" >"$LAB_OUT/$name.log" 2>&1 &
    daemon_pids+=($!)
}

# listens WORDS...: is there a socket, as ss lists it?
listens() { ss -H -l -n -u -w "$@" | grep -q .; }

dnsmasq_on() {
    exec dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --group=root --pid-file= --leasefile-ro \
        --log-facility=- --log-queries --log-dhcp --no-ping --no-resolv --no-hosts --bind-interfaces "$@"
}

# chronyd_on NAME ADDRESS [SETTING]: an NTP server, which leaves the clock alone.
chronyd_on() {
    printf '%s\n' 'allow all' 'local stratum 8' "bindaddress $2" 'cmdport 0' "bindcmdaddress $private/$1" \
        "pidfile $private/$1.pid" "${@:3}" >"$LAB_OUT/$1.conf"
    daemon "$1" chronyd -d -x -u root -f "$LAB_OUT/$1.conf"
}

# with_user USER NUMBER DIRECTORY: in a mount namespace of one's own, a user that a daemon wants who separates its
# privileges; DIRECTORY holds passwd and group. /run is empty.
with_user() {
    mount -t tmpfs tmpfs /run
    cp /etc/passwd /etc/group "$3"
    sed -i "/^$1:/d" "$3/passwd" "$3/group"
    echo "$1:x:$2:$2::/run:/usr/sbin/nologin" >>"$3/passwd"
    echo "$1:x:$2:" >>"$3/group"
    mount --bind "$3/passwd" /etc/passwd
    mount --bind "$3/group" /etc/group
}

# lldpd_on DIRECTORY: where its socket is.
lldpd_on() {
    with_user _lldpd 998 "$1"
    mkdir -p /run/lldpd
    exec lldpd -d -u "$1/lldpd" -L "$(command -v lldpcli)" -I eth0,eth1
}

# apart NAME FUNCTION WORD...: a daemon that a function starts, in a mount namespace of its own.
apart() {
    daemon "$1" unshare --mount bash -c "$(declare -f with_user "$2"); $2 \"\$@\"" - "${@:3}"
}

# make_host: a bonded host with VLANs 20 and 40, the latter in the VRF red, and the gateway on both.
make_host() {
    local number
    make_bonded_host
    for number in 20 40; do
        ip link add link bond0 name "bond0.$number" type vlan id "$number"
        ip link set "bond0.$number" up
        ip -n gw link add link br0 name "br0.$number" type vlan id "$number"
        ip -n gw link set "br0.$number" up
    done
    ip link add red type vrf table 10
    ip link set red up
    ip link set bond0.40 master red
}

# serve_leases WORD...: a DHCP server for the client on the VLAN, at the gateway.
serve_leases() {
    ip -n gw addr add 10.20.0.1/24 dev br0.20
    daemon gateway ip netns exec gw bash -c "$(declare -f dnsmasq_on); dnsmasq_on \"\$@\"" - --port=0 \
        --interface=br0.20 --dhcp-range=10.20.0.100,10.20.0.110 "$@"
}

end_daemons() {
    kill -TERM "${daemon_pids[@]}"
    wait "${daemon_pids[@]}" || true
}

setup() {
    make_host
    ip -n gw addr add 10.40.0.1/24 dev br0.40
    ip addr add 10.40.0.2/24 dev bond0.40
    daemon dnsmasq dnsmasq_on --interface=bond0 --address=/test/10.9.0.9 --dhcp-range=10.9.0.100,10.9.0.110
    chronyd_on chronyd 10.9.0.2
    chronyd_on chronyd-red 10.40.0.2 'binddevice red'
    cat >"$LAB_OUT/keepalived.conf" <<'CONF'
vrrp_instance ours {
    state BACKUP
    interface bond0
    virtual_router_id 51
    priority 50
    advert_int 100
    virtual_ipaddress {
        10.9.0.50/24
    }
}
CONF
    daemon keepalived keepalived -n -l -D -P -f "$LAB_OUT/keepalived.conf" -p "$private/keepalived.pid" \
        -r "$private/vrrp.pid"
    apart lldpd lldpd_on "$private"
    serve_leases --dhcp-broadcast --dhcp-option=15,packet-510.test # by broadcast: the client has no address yet
    wait_until listens 'sport = 53'
    wait_until listens 'src 10.9.0.2:123'
    wait_until listens 'src 10.40.0.2:123'
    wait_until listens 'sport = 112'
    wait_until test -S "$private/lldpd"
    start_taps bond0
}

# ask: what the gateway asks for; a line in $LAB_OUT/answers for each that is answered.
ask() {
    ip netns exec gw /usr/bin/env python3 - "$LAB_OUT/answers" <<'PYTHON'
import socket, struct, sys
HOST, answers = "10.9.0.2", open(sys.argv[1], "w")

def answered(mark, one, size=512):
    one.settimeout(60)
    if one.recv(size):
        print(mark, file=answers, flush=True)

def udp(port=0, device=b"br0", address="10.9.0.1"):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
    one.bind(("" if port else address, port))
    return one

def question(mark):
    return struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\x0apacket-%d\x04test\0" % mark + struct.pack("!HH", 1, 1)

dns = udp()
dns.sendto(question(501), (HOST, 53))
answered(501, dns)

dhcp = udp(68)
head = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 77, 0, 0x8000, 0, 0, 0, 0) + bytes.fromhex("020000000001").ljust(16, b"\0")
options = b"\x63\x82\x53\x63" + b"\x35\1\1" + b"\x0c\x0apacket-502" + b"\xff"
dhcp.sendto(head + bytes(192) + options, ("255.255.255.255", 67))
answered(502, dhcp)

def ask_time(mark, ntp, host):
    ntp.sendto(b"\x23\0\6\xec" + bytes(12) + (b"packet-%d" % mark).ljust(32, b"\0"), (host, 123))
    answered(mark, ntp)

ask_time(503, udp(), HOST)
ask_time(508, udp(0, b"br0.40", "10.40.0.1"), "10.40.0.2")

# not a right advertisement: keepalived tells of it
with socket.socket(socket.AF_INET, socket.SOCK_RAW, 112) as vrrp:
    vrrp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    vrrp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.0.1"))
    vrrp.sendto(b"\x21\x33\x64\1\0\1\0\0packet-504", ("224.0.0.18", 0))

for mark, port in ((505, "port0"), (506, "port1")):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as lldp:
        lldp.bind((port, 0))
        mac = b"\2\0\0\0\0" + bytes([mark % 256])
        name = b"packet-%d" % mark
        tlvs = b"\2\7\4" + mac + b"\4\7\3" + mac + b"\6\2\0\x78" + bytes((10, len(name))) + name + b"\0\0"
        lldp.send(bytes.fromhex("0180c200000e") + mac + b"\x88\xcc" + tlvs)

with socket.create_connection((HOST, 53), 60) as tcp:
    tcp.send(struct.pack("!H", len(question(507))) + question(507))
    answered(507, tcp)

udp().sendto(b"packet-509", (HOST, 514))  # nobody's port
PYTHON
}

says() { grep -q "$2" "$LAB_OUT/$1.log"; }
has_neighbours() {
    lldpcli -u "$private/lldpd" show neighbors >"$LAB_OUT/neighbours.log"
    says neighbours packet-505 && says neighbours packet-506
}

play() {
    ask
    daemon dhclient dhclient -4 -1 -d -sf /bin/true -lf "$private/leases" \
        -pf "$private/dhclient.pid" bond0.20
    wait_until says dhclient 'bound to 10.20.0.1'
    wait_until has_neighbours
    wait_until says keepalived 'vrrp packet too short'
    pause 1
    end_daemons
}
