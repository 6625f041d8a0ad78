# SPDX-License-Identifier: GPL-2.0-or-later
# title: daemons of Debian over IPv6, and networkd
# description: dnsmasq (DNS, DHCPv6, router advertisements), chronyd and keepalived over IPv6 on a bonded host, chronyd in a VRF, systemd-networkd on a VLAN; the gateway asks, and notes the answers
# iface: bond0
# trace: --iface bond0 --sockets
# needs: dnsmasq (dnsmasq-base)
# needs: chronyd (chrony)
# needs: keepalived (keepalived)
# needs: /lib/systemd/systemd-networkd (systemd)

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/daemons.sh"

# networkd_on DEVICE DIRECTORY: with files of its own. Where /sys can be read only, it does not wait for udev.
networkd_on() {
    with_user systemd-network 997 "$2"
    mkdir -p /run/systemd/network /run/systemd/netif
    printf '%s\n' '[Match]' "Name=$1" '[Network]' 'DHCP=ipv4' 'LinkLocalAddressing=no' 'IPv6AcceptRA=no' \
        >/run/systemd/network/10-ours.network
    chown -R 997:997 /run/systemd
    mount -o remount,ro,bind /sys 2>/dev/null || mount --bind -o ro /sys /sys
    SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=debug exec /lib/systemd/systemd-networkd
}

setup() {
    make_host
    use_ipv6 bond0 fd09::2/64
    in_namespace gw use_ipv6 br0 fd09::1/64
    in_namespace gw use_ipv6 br0.40 fd40::1/64
    use_ipv6 bond0.40 fd40::2/64
    daemon dnsmasq dnsmasq_on --interface=bond0 --address=/test/fd09::9 --dhcp-range=fd09::100,fd09::110,64 --enable-ra
    chronyd_on chronyd fd09::2
    chronyd_on chronyd-red fd40::2 'binddevice red'
    cat >"$LAB_OUT/keepalived.conf" <<'CONF'
vrrp_instance ours {
    state BACKUP
    interface bond0
    version 3
    virtual_router_id 51
    priority 50
    advert_int 40
    virtual_ipaddress {
        fe80::50
        fd09::50
    }
}
CONF
    daemon keepalived keepalived -n -l -D -P -f "$LAB_OUT/keepalived.conf" -p "$private/keepalived.pid" \
        -r "$private/vrrp.pid"
    serve_leases --dhcp-option=15,packet-530.test # the client may be answered at the address that it will have
    wait_until listens 'src [fd09::2]:53'
    wait_until listens 'src [fd09::2]:123'
    wait_until listens 'src [fd40::2]:123'
    wait_until listens -6 'sport = 112'
    start_taps bond0
}

# ask: what the gateway asks for; a line in $LAB_OUT/answers for each that is answered.
ask() {
    ip netns exec gw /usr/bin/env python3 - "$LAB_OUT/answers" <<'PYTHON'
import socket, struct, sys
HOST, answers = "fd09::2", open(sys.argv[1], "w")
BRIDGE = socket.if_nametoindex("br0")

def answered(mark, one, size=512):
    one.settimeout(60)
    if one.recv(size):
        print(mark, file=answers, flush=True)

def udp(port=0, address="fd09::1"):
    one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    one.bind((address, port))
    return one

def question(mark):
    return struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\x0apacket-%d\x04test\0" % mark + struct.pack("!HH", 28, 1)

dns = udp()
dns.sendto(question(521), (HOST, 53))
answered(521, dns)

dhcp = udp(546, "::")
client = struct.pack("!HHHH", 1, 10, 3, 1) + bytes.fromhex("020000000001")
vendor = b"\0\0\0\1" + b"\0\x0apacket-522"
solicit = b"\1\0\0\x4d" + client + struct.pack("!HH", 16, len(vendor)) + vendor
solicit += struct.pack("!HHIII", 3, 12, 1, 0, 0)
dhcp.sendto(solicit, ("ff02::1:2", 547, 0, BRIDGE))
answered(522, dhcp)

def ask_time(mark, ntp, host):
    ntp.sendto(b"\x23\0\6\xec" + bytes(12) + (b"packet-%d" % mark).ljust(32, b"\0"), (host, 123))
    answered(mark, ntp)

ask_time(523, udp(), HOST)
ask_time(528, udp(0, "fd40::1"), "fd40::2")

# not a right advertisement: keepalived tells of it
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 112) as vrrp:
    vrrp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    vrrp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 6)
    vrrp.sendto(b"\x31\x33\x64\1\0\1\0\0packet-524", ("ff02::12", 0, 0, BRIDGE))

# a router's solicitation, with an option that nobody knows
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
    icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    icmp.sendto(b"\x85\0\0\0\0\0\0\0" + b"\xfe\2" + b"packet-525".ljust(14, b"\0"), ("ff02::2", 0, 0, BRIDGE))

with socket.create_connection((HOST, 53), 60) as tcp:
    tcp.send(struct.pack("!H", len(question(527))) + question(527))
    answered(527, tcp)

udp().sendto(b"packet-529", (HOST, 514))  # nobody's port
PYTHON
}

play() {
    ask
    apart networkd networkd_on bond0.20 "$private"
    wait_until says networkd 'acquired from 10.20.0.1'
    wait_until says keepalived 'packet too short'
    pause 1
    end_daemons
}
