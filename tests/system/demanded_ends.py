# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the kernel's rules let every marked packet of the scenarios of test_sockets.py end, written out by hand
(docs/receive-path.md), and a reader for it.

A line is a mark, the kind of its end (``model.ENDS``; several, between slashes: any of them; ``*``: whatever), of a
drop also the kernel's reason as 6.1 has it (``*``: any); after a bar the sockets that it was given to, between
semicolons, each with what became of it. A socket is called as servers.py calls it, one of a daemon by its process; one
that no process holds yet, or any more, is ``nobody``. A socket that may or may not be there has a ``?`` before it.
After another bar are words that the end, or what to look at next, must have.

A packet that TCP sends again has several journeys with its mark: each must end so. Where a mark has several lines (a
group's packet comes by both slaves), each journey must be like one of them, and each line like a journey, but for those
with a ``?`` before the mark.

``OF_KERNEL`` has the lines that differ on other kernels, and says why.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """One line."""

    mark: str
    kinds: tuple
    reason: str  # "": none; "*": any
    sockets: tuple  # of (name, outcomes)
    maybe: tuple  # the same
    look: str
    is_possible: bool = False  # it need not happen


def demanded(scenario, kernel):
    """{mark: [Demand]} of a scenario on a kernel, such as "6.1.0-50-amd64"."""
    found = by_mark(DEMANDED[scenario])
    for version, differing in OF_KERNEL.get(scenario, {}).items():
        if kernel.startswith(f"{version}."):
            found.update(by_mark(differing))
    return found


def by_mark(lines):
    """{mark: [Demand]} of lines."""
    found = {}
    for one in read(lines):
        found.setdefault(one.mark, []).append(one)
    return found


def read(lines):
    """[Demand] of lines."""
    return [one_demand(line) for line in lines.strip().splitlines() if not line.startswith("#")]


def one_demand(line):
    end, sockets, look = ([part.strip() for part in line.split("|")] + ["", ""])[:3]
    mark, kinds, *reason = end.split()
    told = [tuple(one.split()) for one in sockets.split(";") if one.strip()]
    found = [(name, tuple(outcome.split("/"))) for name, outcome in told]
    sure = tuple(one for one in found if not one[0].startswith("?"))
    maybe = tuple((name[1:], outcomes) for name, outcomes in found if name.startswith("?"))
    mark, is_possible = mark.lstrip("?"), mark.startswith("?")
    return Demand(mark, tuple(kinds.split("/")), reason[0] if reason else "", sure, maybe, look, is_possible)


DEMANDED = {
    "ends": """
# UDP: nobody's port; a socket; one that is bound to a slave, which skb->dev no longer is
401 dropped NO_SOCKET | | port 4001
402 socket | plain queued
403 dropped NO_SOCKET | | port 4003
# a full receive buffer; a filter
404 refused | full full | SO_RCVBUF
405 refused | filtered filtered | SO_ATTACH_FILTER
# a wrong checksum: of up to 76 bytes it is summed before a socket is looked for; a longer one when it is read,
# unless there is a filter, before which it is
406 dropped UDP_CSUM | | checksum
407 socket | unchecked queued
408 refused | checked checksum | checksum
# rp_filter; another's address, where nothing is forwarded; this host's own address as source, and 127.0.0.1
409 dropped IP_RPFILTER | | rp_filter of bond0.50 is 1
410 dropped IP_INADDRERRORS | | 10.9.0.77
411 dropped *
412 dropped *
# groups
413 socket | group-a queued; group-b full
414 dropped *
# raw sockets, and a protocol that nobody has
415 socket | raw-a queued; raw-b queued
416 dropped IP_NOPROTO
422 refused | raw-full full | SO_RCVBUF
# a socket that is connected, before one of any address
417 socket | connected queued
418 socket | wild queued
# ping: answered by the kernel; an answer, for a socket
419 protocol | | ICMP
421 socket | ?ping queued; ?nobody queued
# TCP: nobody listens; a SYN; a connection; one that nobody accepted; the queue of such is full; time-wait; a socket
# that its process works on; an ACK for a socket that only listens
431 dropped NO_SOCKET | | port 4031
432 socket | listening taken
433 socket | listening taken/backlog
434 socket | nobody taken
435 refused | overrun full | accept()
436 socket | nobody taken
437 socket | held backlog/taken
# sent again, as it was not acknowledged, and come when its process had let go of it
?437 refused | held refused
438 refused | listening refused
# ARP: this host's addresses, whichever device has them; nobody's; an answer; arp_ignore 1; 8; arp_filter
441 answered
442 answered
443 unanswered | | no device here has 10.9.0.77
444 protocol
445 unanswered | | arp_ignore of bond0.30 is 1
446 answered
447 unanswered | | arp_ignore of bond0.50 is 8
448 unanswered | | arp_filter of bond0.60 is 1
449 answered
# IPv6
451 socket | six queued
452 refused | six-full full | SO_RCVBUF
453 dropped NO_SOCKET | | port 4001
454 answered
455 unanswered | | ip -6 address
456 dropped *
457 socket | six-raw queued
458 socket | six-group queued
459 socket | six-tcp taken/backlog
460 protocol | | ICMPv6
469 dropped NO_SOCKET | | port 4031
# a VLAN: a socket that is bound to it, and what comes by another device; a VRF: bound to it, to nothing, to its port
461 socket | on-vlan queued
462 dropped NO_SOCKET
465 socket | in-vrf queued
466 dropped NO_SOCKET
468 socket | under-vrf queued
# a rule; a policy
471 dropped NETFILTER_DROP
473 refused | policed policy | ip xfrm policy
# forwarded to a device with a tap, and to one without; no hop left; not forwarded
481 sent
489 forwarded | | quiet0
490 forwarded | | quiet0
482 dropped *
483 dropped IP_INADDRERRORS
# a program of XDP gives it to an AF_XDP socket, of xsk.py
491 socket | python3 queued
# another's MAC address; IP's checksum; a VLAN that there is not
484 dropped OTHERHOST
485 dropped IP_CSUM
488 dropped OTHERHOST
# a datagram in two fragments
486 handed-on
487 socket | fragments queued
498 socket | plain queued
499 socket | plain queued
""",
    "daemons": """
501 socket | dnsmasq queued
502 socket | dnsmasq queued
503 socket | chronyd queued
504 socket | keepalived queued
504 dropped UNHANDLED_PROTO
# only packet sockets ask for LLDP
505 unknown | | packet sockets
506 dropped UNHANDLED_PROTO
507 socket | ?dnsmasq taken/backlog; ?nobody taken
508 socket | chronyd queued
509 dropped NO_SOCKET | | port 514
510 socket | dhclient queued
""",
    "daemons6": """
521 socket | dnsmasq queued
522 socket | dnsmasq queued
523 socket | chronyd queued
524 socket | keepalived queued; keepalived refused/filtered
524 dropped UNHANDLED_PROTO
525 socket | dnsmasq queued
525 dropped UNHANDLED_PROTO
527 socket | ?dnsmasq taken/backlog; ?nobody taken
528 socket | chronyd queued
529 dropped NO_SOCKET | | port 514
# a DHCP client's packet socket has it; for IP the address that is offered is nobody's yet
530 dropped * | | is not this host's
""",
}
# A raw socket without room is passed over before the packet is copied for it, as if it were not there (raw_v4_input, in
# 6.12 as of 6.12.118). A neighbour solicitation that is not answered is dropped (ndisc_recv_ns, since 6.4).
SINCE_6_12 = """
422 dropped *
455 dropped * | | ip -6 address
"""
OF_KERNEL = {"ends": {"6.12": SINCE_6_12, "7.3": SINCE_6_12}}
