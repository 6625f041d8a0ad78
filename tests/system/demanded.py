# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's rules demand for every marked packet of the scenarios of test_stacks.py, written out by hand
(docs/receive-path.md), and a reader for it.

A line is a journey, and may go on in further lines that begin with a blank: the mark, the direction in which the
packet's way begins, the devices in order; after a bar the taps that captured it (``=``: those named like the devices,
each once); after another what else is demanded, between semicolons:

    TAP REASON      why a tap did not get it (several reasons, between slashes: any of them); without such an entry
                    it is bound-elsewhere
    drop DEVICE R   the kernel dropped it there, for the reason R of 6.1, if that kernel gives reasons (``*``: any)
    drops *         any drops, or none: an answer to ping goes to its raw socket, and IP drops what is left; what IP
                    refuses while a socket still shares it is only released, which the kernel reports nowhere; what
                    transport mode decrypts goes on from a queue, after its pass; ICMPv6 releases requests that it
                    answered as if it had dropped them
    says WORDS      the journey's text has these words
    never WORDS     it does not

All journeys of a mark are listed, in whatever order. The members of a fanout group are called by the group's name. A
tap called "any", bound to no device, must have captured the packet somewhere; how often is not listed.
"""

import re
from dataclasses import dataclass

from bondtrace.reporters import text

OTHERS = "drop", "drops", "says", "never"


@dataclass(frozen=True)
class Demand:
    """One line."""

    mark: str
    direction: str
    devices: str
    captured: tuple
    reasons: dict
    drops: object  # [(device, reason)], or None: any
    says: tuple
    never: tuple


def read(lines):
    """[Demand] of a scenario's lines."""
    return [one_demand(line) for line in lines.strip().replace("\n ", " ").splitlines()]


def one_demand(line):
    way, captured, *more = [part.strip() for part in line.split("|")]
    mark, direction, *devices = way.split()
    fields = [field.split() for field in "".join(more).split(";") if field.strip()]
    return Demand(
        mark,
        direction,
        " ".join(devices),
        tuple(sorted(dict.fromkeys(devices) if captured == "=" else captured.split())),
        {tap: reason for tap, reason, *_ in (field for field in fields if field[0] not in OTHERS)},
        None if ["drops", "*"] in fields else [(one[1], one[2]) for one in fields if one[0] == "drop"],
        *(tuple(" ".join(words) for word, *words in fields if word == which) for which in ("says", "never")),
    )


def devices_of(journey):
    """The devices of a journey, pass by pass, each as often as the packet came to it; last those to which it was only
    routed when it was dropped (meanwhile taps are served on the device that it came by)."""
    passes = sorted(journey.passes, key=lambda one: one.time_ns)
    found = []
    for step in (step for one in passes for step in one.steps if step.kind != "drop"):
        found += [step.dev] if found[-1:] != [step.dev] else []
    return " ".join([*found, *routed(passes, found)])


def routed(passes, found):
    drops = [step.dev for one in passes for step in one.steps if step.kind == "drop"]
    return list(dict.fromkeys(dev for dev in drops if dev not in found))


def drops_of(journey):
    return [(step.dev, step.reason) for one in journey.passes for step in one.steps if step.kind == "drop"]


def group(name):
    """A tap's name, or that of its fanout group."""
    return re.sub(r"^(defrag|hash)\d$", r"\1", name)


def captured_of(journey, names):
    return tuple(
        sorted(
            group(names[step.tap])
            for one in journey.passes
            for step in one.steps
            if step.kind == "tap" and step.outcome == "captured" and names.get(step.tap, "any") != "any"
        )
    )


def faults(stack, demand, journey):
    """["..."]: in what a journey differs from what is demanded."""
    found = []

    def compare(what, told, right):
        if told != right:
            found.append(f"{what}: {told}, not {right}")

    compare("direction", journey.direction, demand.direction)
    compare("devices", devices_of(journey), demand.devices)
    compare("captured", captured_of(journey, stack.names), demand.captured)
    for unseen in journey.unseen:
        name = stack.names.get(unseen.tap)
        if name is None:
            continue
        right = demand.reasons.get(group(name), "captured" if name == "any" else "bound-elsewhere")
        if unseen.reason not in right.split("/"):
            found.append(f"{name}: {unseen.reason}, not {right} ({unseen.detail})")
    found += wrong_drops(stack, demand, journey)
    shown = "\n".join(text.lines(journey, stack.scene))
    found += [f"does not say {words!r}" for words in demand.says if words not in shown]
    found += [f"says {words!r}" for words in demand.never if words in shown]
    return found


def wrong_drops(stack, demand, journey):
    if demand.drops is None:
        return []
    told = drops_of(journey)
    with_reasons = any(reason for _, reason in told)
    exact = stack.kernel.startswith("6.1.")
    left, missing = list(told), []
    for device, reason in demand.drops:
        place = next(
            (at for at, (dev, why) in enumerate(left) if dev == device and (reason in ("*", why) or not exact)), None
        )
        if place is None:
            missing.append((device, reason if with_reasons else None))
        else:
            left.pop(place)
    return [f"drops: {told}, not {demand.drops}"] if missing or left else []


def by_number(marks):
    """{number: [journey, ...]}: the packets with a mark and their answers together."""
    found = {}
    for mark, journeys in marks.items():
        found.setdefault(mark[:3], {}).update({one.id: one for one in journeys})
    return {number: [those[one] for one in sorted(those)] for number, those in found.items()}


def unlike(stack, scenario, marks):
    """["..."]: for every mark of a scenario, what is wrong with its journeys, each compared with the likest demand."""
    demands, marks = read(DEMANDED[scenario]), by_number(marks)
    found = []
    for mark in dict.fromkeys([*(one.mark for one in demands), *marks]):
        wanted, there = [one for one in demands if one.mark == mark], list(marks.get(mark, ()))
        if len(wanted) != len(there):
            found.append(
                f"packet-{mark}: {len(there)} journeys, not {len(wanted)}: {[devices_of(one) for one in there]}"
            )
        for demand in wanted:
            best = min(there, key=lambda journey: len(faults(stack, demand, journey)), default=None)
            if best is None:
                continue
            there.remove(best)
            found += [f"packet-{mark} {demand.direction} #{best.id}: {fault}" for fault in faults(stack, demand, best)]
    return found


#: Marks of packets that come more than once: by both slaves, or in fragments (the later ones have no ICMP header).
COPIES = {"161": 2, "165": 2, "166": 2, "167": 2, "171": 3}
DEMANDED = {
    "vxlan": """
001 rx eth0 bond0 vx0 | =
001 tx vx0 bond0 eth0 | =
002 rx eth0 bond0 vx0 | = | drop vx0 NO_SOCKET
002 tx vx0 bond0 eth0 | =
003 rx eth0 bond0 | = | drop bond0 *; vx0 bound-elsewhere/dropped-before; vx6 bound-elsewhere/dropped-before
004 rx eth0 bond0 vx6 | =
004 tx vx6 bond0 eth0 | =
""",
    "tunnels": """
011 rx eth0 bond0 gnv0 | eth0 bond0 dhcp gnv0
011 tx gnv0 bond0 eth0 | = | dhcp outgoing-not-offered
012 rx eth0 bond0 gre1 | eth0 bond0 dhcp gre1
012 tx gre1 bond0 eth0 | = | dhcp outgoing-not-offered
013 rx eth0 bond0 tap1 | eth0 bond0 dhcp tap1
013 tx tap1 bond0 eth0 | = | dhcp outgoing-not-offered
014 rx eth0 bond0 ipip1 | eth0 bond0 dhcp ipip1
014 tx ipip1 bond0 eth0 | = | dhcp outgoing-not-offered
015 rx eth0 bond0 ipip1 | eth0 bond0 dhcp ipip1 | drop ipip1 NO_SOCKET
015 tx ipip1 bond0 eth0 | = | dhcp outgoing-not-offered
016 tx tap1 bond0 eth0 | = | dhcp outgoing-not-offered
016 rx eth0 bond0 tap1 | eth0 bond0 dhcp tap1 | drops *
""",
    "wireguard": """
021 rx eth0 bond0 wg0 | =
021 tx wg0 bond0 eth0 | =
022 rx eth0 bond0 wg0 | = | drop wg0 NO_SOCKET
022 tx wg0 bond0 eth0 | =
023 tx wg0 bond0 eth0 | =
023 rx eth0 bond0 wg0 | = | drops *
""",
    "ipsec": """
031 rx eth0 bond0 | = | drops *
031 tx bond0 eth0 | =
032 rx eth0 bond0 | eth0 bond0 bond0
032 tx bond0 eth0 | =
033 rx eth0 bond0 xfrm0 | =
033 tx xfrm0 bond0 eth0 | =
034 tx xfrm0 bond0 eth0 | =
034 rx eth0 bond0 xfrm0 | = | drops *
""",
    "vrf": """
041 rx eth0 bond0 red | = | never sent on red
041 tx red bond0 eth0 | =
042 rx eth0 bond0 red | = | drop red NO_SOCKET
042 tx red bond0 eth0 | =
043 rx eth0 bond0 red | = | drop red NETFILTER_DROP
""",
    "vrf_routed": """
051 rx eth0 bond0 red veth0 eth9 | = | ip-red outgoing-not-offered; never sent on red
051 tx eth9 veth0 red bond0 eth0 | = | ip-red outgoing-not-offered; drops *
052 rx eth0 bond0 red veth0 eth9 | = | ip-red outgoing-not-offered
052 tx eth9 veth0 red bond0 eth0 | = | ip-red outgoing-not-offered; drops *
053 rx eth0 bond0 red | = | ip-red outgoing-not-offered; eth9 netns; drop red NETFILTER_DROP
054 rx eth0 bond0 red | = | ip-red outgoing-not-offered; eth9 netns; drop red *
055 rx eth0 bond0 bond0.30 blue | = | eth9 netns
055 tx blue bond0.30 bond0 eth0 | = | eth9 netns
""",
    "dnat": """
061 rx eth0 bond0 docker0 veth0 eth9 | = | drop eth9 NO_SOCKET
061 tx eth9 veth0 docker0 bond0 eth0 | =
062 rx eth0 bond0 docker0 veth0 eth9 | = | drop eth9 NO_SOCKET
062 tx eth9 veth0 docker0 bond0 eth0 | =
063 rx eth0 bond0 | = | eth9 netns; drop bond0 NETFILTER_DROP
064 rx eth0 bond0 | = | eth9 netns; drop bond0 NETFILTER_DROP
065 rx eth0 | = | bond0 dropped-before; eth9 netns; drop eth0 NETFILTER_DROP
""",
    "snat": """
071 tx eth9 veth0 docker0 bond0 eth0 | eth9 veth0 docker0 ip-docker0 bond0 eth0 | dhcp outgoing-not-offered
071 rx eth0 bond0 docker0 veth0 eth9 | eth0 bond0 dhcp docker0 veth0 eth9 | ip-docker0 outgoing-not-offered; drops *
072 tx eth9 veth0 docker0 bond0 eth0 | eth9 veth0 docker0 ip-docker0 bond0 eth0 | dhcp outgoing-not-offered
072 rx eth0 bond0 docker0 veth0 eth9 | eth0 bond0 dhcp docker0 veth0 eth9 | ip-docker0 outgoing-not-offered; drops *
073 rx eth0 bond0 docker0 veth0 eth9 | eth0 bond0 dhcp docker0 veth0 eth9 | ip-docker0 outgoing-not-offered;
    drop eth9 NO_SOCKET
073 tx eth9 veth0 docker0 bond0 eth0 | eth9 veth0 docker0 ip-docker0 bond0 eth0 | dhcp outgoing-not-offered
074 rx eth0 bond0 docker0 | eth0 bond0 dhcp | docker0 dropped-before;
    ip-docker0 dropped-before/outgoing-not-offered; eth9 netns; drop docker0 NETFILTER_DROP
""",
    "ifb": """
081 rx eth6 ifb0 eth6 | eth6 ifb0
081 tx eth6 | =
082 rx eth0 bond0 ifb0 bond0 | eth0 bond0 ifb0 ip-bond0
082 tx bond0 eth0 | = | ip-bond0 outgoing-not-offered
083 rx eth6 ifb0 eth6 | eth6 ifb0 | drop eth6 NO_SOCKET
083 tx eth6 | =
""",
    "mirror": """
084 rx eth0 bond0 mon0 | =
084 tx mon0 bond0 eth0 | =
085 rx eth0 bond0 mon0 | = | drop bond0 TC_INGRESS
""",
    "redirect": """
091 rx eth7 e3 | =
092 rx eth6 bond0 eth0 | = | e3 netns
093 rx eth5 in0 | = | e3 netns
""",
    "xdp": """
095 rx eth5 | | eth5 dropped-before; p7 netns; drop eth5 *
096 rx eth1 | | eth1 dropped-before; bond0 dropped-before; p7 netns; drop eth1 *
097 rx eth6 p7 | p7 | eth6 dropped-before; eth7 bound-elsewhere/dropped-before
098 rx eth0 bond0 | = | p7 netns
098 tx bond0 eth0 | = | p7 netns
""",
    "vlan_netns": """
101 rx eth1 | = | bond0 inactive-slave; v50 inactive-slave; all50 inactive-slave; drop eth1 UNHANDLED_PROTO
102 rx eth0 bond0 bond0.50 | eth0 bond0 v50 all50
103 rx eth0 bond0 | = | v50 bound-elsewhere/netns; all50 bound-elsewhere/netns; drop bond0 UNHANDLED_PROTO
""",
    "containers": """
111 rx eth0 bond0 mv0 | = | iv0 bound-elsewhere/netns; e3 bound-elsewhere/netns
111 tx mv0 bond0 eth0 | = | iv0 bound-elsewhere/netns; e3 bound-elsewhere/netns
112 rx eth0 bond0 mv0 | = | iv0 bound-elsewhere/netns; e3 bound-elsewhere/netns; drop bond0 UNHANDLED_PROTO
113 rx eth0 bond0 bond0.40 iv0 | = | mv0 bound-elsewhere/netns; e3 bound-elsewhere/netns
113 tx iv0 bond0.40 bond0 eth0 | = | mv0 bound-elsewhere/netns; e3 bound-elsewhere/netns
114 rx eth0 bond0 bond0.41 veth3 br5 e3 | = | mv0 bound-elsewhere/netns; iv0 bound-elsewhere/netns; drop br5 OTHERHOST
114 tx e3 veth3 bond0.41 bond0 eth0 br5 | = | mv0 bound-elsewhere/netns; iv0 bound-elsewhere/netns; drop br5 OTHERHOST
115 rx eth0 bond0 | = | iv0 bound-elsewhere/netns; e3 bound-elsewhere/netns; says and macvlan_handle_frame;
    drop bond0 UNHANDLED_PROTO
""",
    "netfilter": """
121 rx eth0 bond0 | eth0 bond0 dhcp | drop bond0 NETFILTER_DROP; says hook prerouting
122 rx eth0 bond0 | eth0 bond0 dhcp | drop bond0 NETFILTER_DROP; says hook input
123 rx eth0 bond0 | eth0 bond0 dhcp | drop bond0 NETFILTER_DROP; says hook forward
124 rx eth0 bond0 eth6 | eth0 bond0 dhcp | eth6 dropped-before; drop eth6 NETFILTER_DROP; says hook postrouting
125 rx eth0 bond0 | eth0 bond0 | dhcp dropped-before; drop bond0 NETFILTER_DROP; says hook ingress
126 rx eth0 | eth0 | bond0 dropped-before; dhcp dropped-before; drop eth0 NETFILTER_DROP; says hook ingress
127 rx eth0 bond0 | eth0 bond0 dhcp | drop bond0 NETFILTER_DROP; says iptables filter INPUT (hook input)
128 rx eth0 bond0 eth6 | eth0 bond0 dhcp eth6
128 rx eth6 bond0 eth0 | = | dhcp outgoing-not-offered
""",
    "tc_filters": """
221 rx eth0 | = | bond0 dropped-before; drop eth0 TC_INGRESS;
    says tc: filter protocol ip pref 11 u32 chain 0, action gact
222 rx eth0 bond0 | = | drop bond0 TC_INGRESS; says tc: filter protocol ip pref 2 flower chain 7, action gact
223 rx eth0 bond0 | = | drop bond0 TC_INGRESS; says tc: filter protocol ip pref 1 bpf chain 9; never chain 9, action
224 rx eth0 bond0 copies | = | drop bond0 TC_INGRESS;
    says tc: filter protocol ip pref 7 flower chain 0, actions mirred, gact
225 rx eth0 bond0 | = | drop bond0 NO_SOCKET; never tc:
225 tx bond0 eth0 | = | never tc:
""",
    "bridge_forward": """
131 rx eth0 bond0 veth0 br1 eth9 | = | drop br1 OTHERHOST
131 tx eth9 veth0 bond0 eth0 br1 | = | drop br1 OTHERHOST
132 rx eth0 bond0 br1 veth0 | eth0 bond0 br1 | veth0 dropped-before; eth9 dropped-before/netns;
    drop veth0 NETFILTER_DROP; drop br1 OTHERHOST
133 rx eth0 bond0 br1 | eth0 bond0 | br1 dropped-before; veth0 dropped-before/bound-elsewhere;
    eth9 dropped-before/netns; drop br1 NETFILTER_DROP
134 rx eth0 bond0 br1 | = | eth9 bound-elsewhere/netns
134 tx br1 bond0 eth0 | = | eth9 bound-elsewhere/netns
""",
    "vlan_down": """
141 rx eth0 bond0 | = | drop bond0 *; says bond0.200 is down
142 rx eth0 bond0 bond0.100 bond0.100.7 | =
143 rx eth0 bond0 | = | drop bond0 UNHANDLED_PROTO; says 802.1ad
""",
    "queued": """
301 tx bond0.100 eth0 | =
302 tx bond0.100.7 bond0.100 eth0 | =
303 tx bond0.100 | = | eth0 unknown; says not seen to leave by eth0: a queue may
""",
    "qinq": """
151 rx eth0 bond0 bond0.10 bond0.10.20 | = | tags-bond0 bound-elsewhere/protocol; drops *; says 802.1ad
152 rx eth0 bond0 | eth0 bond0 tags-bond0 | ip-bond0 protocol; says 802.1ad
153 tx bond0.30 bond0 eth0 | = | ip-bond0 outgoing-not-offered; tags-bond0 outgoing-not-offered; says in the frame
153 rx eth0 bond0 bond0.30 | eth0 icmp bond0 bond0.30 | tags-bond0 bound-elsewhere/protocol; drops *
154 tx bond0.10 bond0 eth0 | bond0.10 bond0 eth0 icmp | ip-bond0 outgoing-not-offered; tags-bond0 outgoing-not-offered;
 says tagged 802.1ad 10; never in the frame
154 rx eth0 bond0 bond0.10 | eth0 icmp bond0 bond0.10 | tags-bond0 bound-elsewhere/protocol; drops *;
 says 802.1ad 10 ICMP; never (in frame)
""",
    "all_slaves_active": """
161 rx eth0 bond0 | eth0 bond0 test
161 rx eth1 bond0 | eth1 bond0 test | says all_slaves_active
162 rx eth1 bond0 | eth1 bond0 test | says all_slaves_active
""",
    "bond_options": """
165 rx p1 prim0 | =
165 rx p0 | p0 | prim0 inactive-slave; says primary; drop p0 UNHANDLED_PROTO
166 rx l0 lone0 | =
166 rx l1 | l1 | lone0 inactive-slave; says partner; drop l1 UNHANDLED_PROTO
167 rx a0 arp0 | = | says ARP monitor; drops *
167 rx a1 | a1 | arp0 inactive-slave; says ARP monitor; drop a1 UNHANDLED_PROTO
""",
    "fanout": """
171 rx eth0 bond0 | eth0 bond0 hash | hash fanout-other-member; defrag held-for-reassembly
171 rx eth0 bond0 | eth0 bond0 hash defrag | hash fanout-other-member; defrag fanout-other-member
171 tx bond0 eth0 | bond0 hash eth0 | hash fanout-other-member; defrag held-for-reassembly
171 tx bond0 eth0 | bond0 hash defrag eth0 | hash fanout-other-member; defrag fanout-other-member
172 rx eth0 bond0 | eth0 bond0 hash defrag | hash fanout-other-member; defrag fanout-other-member;
    drop bond0 NO_SOCKET
172 tx bond0 eth0 | bond0 hash defrag eth0 | hash fanout-other-member; defrag fanout-other-member
""",
    "refused": """
181 rx eth0 bond0 | eth0 bond0 ip-bond0 ip-any | drop bond0 NO_SOCKET
181 tx bond0 eth0 | = | ip-bond0 outgoing-not-offered; ip-any outgoing-not-offered
183 rx eth0 bond0 | eth0 bond0 ip-bond0 ip-any | drop bond0 IP_NOPROTO
183 tx bond0 eth0 | = | ip-bond0 outgoing-not-offered; ip-any outgoing-not-offered
184 rx eth0 bond0 | eth0 bond0 ip-bond0 ip-any | drops *
185 rx eth0 bond0 | eth0 bond0 ip-bond0 ip-any | drop bond0 IP_CSUM
""",
    "macsec": """
191 rx eth0 bond0 ms0 | =
191 tx ms0 bond0 eth0 | =
192 rx eth0 bond0 ms0 | = | drop bond0 UNHANDLED_PROTO
""",
    "bridge_vlan": """
195 rx eth0 bond0 veth0 br1 eth9 | eth0 bond0 veth0 eth9 | drop br1 OTHERHOST
195 tx eth9 veth0 bond0 eth0 br1 | eth9 veth0 bond0 eth0 | drop br1 OTHERHOST
196 rx eth0 bond0 br1 br1.20 | eth0 bond0 br1.20 | eth9 bound-elsewhere/netns
196 tx br1.20 bond0 eth0 | = | eth9 bound-elsewhere/netns
""",
    "nft_ways": """
201 rx eth0 bond0 veth0 eth9 | =
202 rx eth0 bond0 veth0 eth9 | =
203 rx eth0 mon0 | = | bond0 dropped-before; eth9 netns
204 rx eth0 bond0 mon0 | = | eth9 netns; drop bond0 NO_SOCKET
204 tx bond0 eth0 | = | eth9 netns
205 rx eth0 bond0 veth0 eth9 | = | drops *
205 tx bond0 eth0 | = | eth9 netns
""",
    "ipv6": """
211 rx eth0 bond0 veth0 eth9 | eth0 bond0 ip6-bond0 veth0 eth9 | drops *
211 tx eth9 veth0 bond0 eth0 | = | ip6-bond0 outgoing-not-offered
212 tx eth9 veth0 bond0 eth0 | = | ip6-bond0 outgoing-not-offered
212 rx eth0 bond0 veth0 eth9 | eth0 bond0 ip6-bond0 veth0 eth9 | drops *
213 rx eth0 bond0 sit1 | = | ip6-bond0 protocol/bound-elsewhere; eth9 netns; drops *
213 tx sit1 bond0 eth0 | = | ip6-bond0 outgoing-not-offered; eth9 netns
214 rx eth0 bond0 gre6 | eth0 bond0 ip6-bond0 gre6 | eth9 netns; drops *
214 tx gre6 bond0 eth0 | = | ip6-bond0 outgoing-not-offered; eth9 netns
215 rx eth0 bond0 tnl6 | eth0 bond0 ip6-bond0 tnl6 | eth9 netns; drops *
215 tx tnl6 bond0 eth0 | = | ip6-bond0 outgoing-not-offered; eth9 netns
""",
    "streams": "",
}
