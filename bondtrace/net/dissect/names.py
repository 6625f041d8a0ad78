# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of types, protocols, messages and uses: numbers as they are on the wire, words as they are shown."""

from __future__ import annotations

ETHERTYPES = {
    0x0800: "IPv4", 0x0806: "ARP", 0x0842: "WoL", 0x22F0: "AVTP", 0x4305: "BATMAN", 0x6558: "Ethernet",
    0x8035: "RARP", 0x809B: "AppleTalk", 0x8100: "VLAN", 0x8137: "IPX", 0x86DD: "IPv6", 0x8809: "Slow",
    0x880B: "PPP", 0x8847: "MPLS", 0x8848: "MPLS", 0x8863: "PPPoE", 0x8864: "PPPoE", 0x888E: "EAPOL",
    0x8892: "PROFINET", 0x88A2: "AoE", 0x88A4: "EtherCAT", 0x88A8: "VLAN", 0x88BE: "ERSPAN", 0x88CC: "LLDP",
    0x88E3: "MRP", 0x88E5: "MACsec", 0x88F5: "MVRP", 0x88F7: "PTP", 0x88FB: "PRP", 0x8902: "CFM",
    0x8906: "FCoE", 0x8914: "FIP", 0x8915: "RoCE", 0x892F: "HSR", 0x894F: "NSH", 0x9000: "Loopback",
    0x9100: "VLAN",
}  # fmt: skip
IP_PROTOCOLS = {
    0: "IPv6-hop-by-hop", 1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPv6-in-IP",
    43: "IPv6-routing", 44: "IPv6-fragment", 46: "RSVP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMPv6",
    59: "IPv6-no-next-header", 60: "IPv6-destination", 88: "EIGRP", 89: "OSPF", 103: "PIM", 112: "VRRP",
    115: "L2TP", 132: "SCTP", 135: "IPv6-mobility", 136: "UDP-Lite", 137: "MPLS-in-IP",
    143: "Ethernet-in-IP",
}  # fmt: skip
UDP_USES = {
    53: "DNS", 67: "DHCP", 68: "DHCP", 69: "TFTP", 123: "NTP", 137: "NetBIOS", 138: "NetBIOS", 161: "SNMP",
    162: "SNMP", 319: "PTP", 320: "PTP", 500: "IKE", 514: "syslog", 546: "DHCPv6", 547: "DHCPv6",
    1812: "RADIUS", 1813: "RADIUS", 1900: "SSDP", 2055: "NetFlow", 3784: "BFD", 4500: "IPsec NAT-T",
    4789: "VXLAN", 5353: "mDNS", 5355: "LLMNR", 6081: "Geneve", 6343: "sFlow", 8472: "VXLAN",
    51820: "WireGuard",
}  # fmt: skip
TCP_FLAGS = tuple("".join(c for bit, c in enumerate("FSRP.UEW") if flags >> bit & 1) or "none" for flags in range(256))
ARP_OPERATIONS = {
    1: "request", 2: "reply", 3: "reverse request", 4: "reverse reply",
    8: "inverse request", 9: "inverse reply",
}  # fmt: skip
STP_VERSIONS = {0: "STP", 2: "RSTP", 3: "MSTP"}
SLOW = {3: "OAM", 10: "ESMC"}
OSI = {0x81: "CLNP", 0x82: "ES-IS", 0x83: "IS-IS"}
CISCO = {0x0111: "UDLD", 0x2000: "CDP", 0x2003: "VTP", 0x2004: "DTP"}
EAPOL = {0: "EAP", 1: "start", 2: "logoff", 3: "key", 4: "alert", 5: "MKA"}
EAP = {1: "request", 2: "response", 3: "success", 4: "failure"}
PTP = {
    0: "Sync", 1: "Delay_Req", 2: "Pdelay_Req", 3: "Pdelay_Resp", 8: "Follow_Up", 9: "Delay_Resp",
    10: "Pdelay_Resp_Follow_Up", 11: "Announce", 12: "Signaling", 13: "Management",
}  # fmt: skip
PPPOE = {0x09: "PADI", 0x07: "PADO", 0x19: "PADR", 0x65: "PADS", 0xA7: "PADT"}
PPP = {
    0x0021: "IPv4", 0x0057: "IPv6", 0x8021: "IPCP", 0x8057: "IPV6CP", 0xC021: "LCP", 0xC023: "PAP",
    0xC223: "CHAP",
}  # fmt: skip
ICMP = {
    0: "echo reply", 4: "source quench", 5: "redirect", 8: "echo request", 9: "router advertisement",
    10: "router solicitation", 11: "time exceeded", 12: "parameter problem", 13: "timestamp request",
    14: "timestamp reply", 17: "address mask request", 18: "address mask reply",
}  # fmt: skip
ICMP_UNREACHABLE = {
    0: "net unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
    4: "fragmentation needed", 5: "source route failed", 6: "net unknown", 7: "host unknown",
    8: "source host isolated", 9: "net prohibited", 10: "host prohibited", 11: "net unreachable for TOS",
    12: "host unreachable for TOS", 13: "administratively prohibited", 14: "host precedence violation",
    15: "precedence cutoff",
}  # fmt: skip
ICMP_REDIRECT = {0: "net", 1: "host", 2: "net for TOS", 3: "host for TOS"}
ICMP_EXCEEDED = {0: "in transit", 1: "in reassembly"}
ICMPV6_UNREACHABLE = {
    0: "no route", 1: "administratively prohibited", 2: "beyond scope of source", 3: "address unreachable",
    4: "port unreachable", 5: "source address failed policy", 6: "reject route",
}  # fmt: skip
ICMPV6 = {
    2: "packet too big", 3: "time exceeded", 4: "parameter problem", 128: "echo request", 129: "echo reply",
    130: "MLD query", 131: "MLD report", 132: "MLD done", 133: "router solicitation",
    134: "router advertisement", 135: "neighbor solicitation", 136: "neighbor advertisement", 137: "redirect",
    143: "MLDv2 report",
}  # fmt: skip
IGMP = {
    0x11: "query", 0x12: "v1 report", 0x16: "v2 report", 0x17: "leave", 0x22: "v3 report",
}  # fmt: skip
SCTP = {
    0: "DATA", 1: "INIT", 2: "INIT ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT ACK", 6: "ABORT",
    7: "SHUTDOWN", 8: "SHUTDOWN ACK", 9: "ERROR", 10: "COOKIE ECHO", 11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE", 192: "FORWARD TSN",
}  # fmt: skip
WIREGUARD = {1: "handshake initiation", 2: "handshake response", 3: "cookie reply", 4: "data"}
OSPF = {1: "hello", 2: "database description", 3: "LS request", 4: "LS update", 5: "LS acknowledgment"}


def ip_protocol_name(protocol: int) -> str:
    """Name an IP protocol; one without a name is "IP-" and its number."""
    return IP_PROTOCOLS.get(protocol) or f"IP-{protocol}"
