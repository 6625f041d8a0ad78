# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples under every command's help and in the manual page; a test parses each of them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("sudo bondtrace --iface bond0", "the packets of a bond as they come, and the table at the end"),
        ("sudo bondtrace record -o trace.arrows --iface bond0", "into a file, for later"),
        (
            "bondtrace why 'tcpdump -i eth0' trace.arrows",
            "twice, missing on the slave, dropped: why, and what to change",
        ),
        ("bondtrace lab", "a ping over a real bond in a virtual machine: no root, nothing is changed here"),
    ),
    "live": (
        ("sudo bondtrace --iface bond0", "bond0, its slaves and what is stacked on it, until Ctrl-C"),
        ("sudo bondtrace --iface bond0 --sockets 'udp port 53'", "only what a filter matches, up to the sockets"),
        ("sudo bondtrace --iface bond0 --summary-only --duration 10", "ten seconds, counted exactly at any rate"),
        ("sudo bondtrace --netns blue --duration 60 --json | jq .unseen", "a namespace for a minute, for a program"),
    ),
    "top": (
        ("sudo bondtrace top --iface bond0", "rates, refreshed every second"),
        ("sudo bondtrace top --interval 10 --duration 60 > rates.txt", "six blocks of lines into a file"),
    ),
    "record": (
        ("sudo bondtrace record -o trace.arrows --iface bond0", "until Ctrl-C"),
        (
            "sudo bondtrace record -o trace.arrows --force --duration 60",
            "every device, for a minute; overwrites the file",
        ),
        ("ssh host sudo bondtrace record -o - -i bond0 | bondtrace show -", "what another host sees, as it happens"),
        ("sudo bondtrace record -o b.arrows -i bond0 --rotate-size 100M --keep 20", "for weeks, the last 2 GB kept"),
    ),
    "show": (
        ("bondtrace show trace.arrows", "every journey, as live would have shown it"),
        ("bondtrace show trace.arrows --dropped --sort duration icmp", "dropped pings, the slowest first"),
        ("bondtrace show trace.arrows --quiet", "a line per journey: who saw the packet, and who did not"),
        ("bondtrace show trace.arrows --as-if 2.6.18", "what taps would have been offered by RHEL 5"),
    ),
    "browse": (
        ("bondtrace browse trace.arrows", "the journeys of a recording; ? lists the keys"),
        ("bondtrace browse trace.arrows --dropped udp", "of what a selection leaves; / changes it"),
        ("bondtrace browse /var/tmp/recordings --as-if 2.6.18", "all recordings there, with what RHEL 5 would do"),
    ),
    "summary": (
        ("bondtrace summary trace.arrows --why", "the table of a recording, with the reasons"),
        ("sudo bondtrace summary --iface bond0 --duration 10", "ten seconds of bond0"),
        ("sudo bondtrace summary --iface bond0 --sockets --why", "and what did not reach the sockets, and why"),
        ("bondtrace summary trace.arrows --unseen inactive-slave --since 12:30", "only of some packets"),
    ),
    "explain": (
        ("bondtrace explain trace.arrows --journey 5", "journey #5 of a recording"),
        ("bondtrace explain trace.arrows --dropped NO_SOCKET", "the first that was dropped for this reason"),
        ("sudo bondtrace explain --iface bond0 --rx", "the next packet that bond0 receives"),
    ),
    "why": (
        ("bondtrace why 'tcpdump -i eth0' trace.arrows", "what a tap did not see, why, and what to change"),
        ("bondtrace why 'udp port 5354' trace.arrows", "who saw these packets, who did not, where they ended"),
    ),
    "check": (
        ("bondtrace check eth0.pcap bond0.pcap trace.arrows", "do the captures have what the recording says?"),
        ("bondtrace check x.pcap trace.arrows --tap x.pcap=41001", "a file that no command line names"),
        ("bondtrace check eth0.pcap trace.arrows --list", "packet by packet"),
    ),
    "export": (
        ("bondtrace export trace.arrows --format pcapng -o trace.pcapng", "for Wireshark"),
        ("bondtrace export trace.arrows --format perfetto -o trace.json", "for ui.perfetto.dev"),
        ("bondtrace export trace.arrows --dropped --format arrows -o small.arrows", "some as a recording"),
        ("bondtrace export *.arrows --format parquet -o fleet/", "a dataset by host and day"),
    ),
    "extcap": (
        ("bondtrace extcap", "what to type so that Wireshark has bond0 with taps and verdicts as an interface"),
        ("bondtrace extcap --extcap-interfaces", "those that Wireshark then finds"),
    ),
    "report": (
        ("bondtrace report trace.arrows -o trace.html", "a page for a browser"),
        ("bondtrace report trace.arrows -o trace.html --force --journeys 200", "a smaller page; overwrites the file"),
    ),
    "fleet": (
        ("bondtrace fleet summary fleet/", "the table of many hosts, with DuckDB"),
        ("bondtrace fleet summary fleet/ --host web-0004 --since 2026-11-27", "of one host, from this day on"),
        ("bondtrace fleet summary fleet/ --engine pyspark --json", "with Spark, for a program"),
    ),
    "exporter": (
        ("sudo bondtrace exporter --iface bond0", "at http://127.0.0.1:9435/metrics"),
        ("sudo bondtrace exporter --iface bond0 --listen 0.0.0.0:9435", "for other hosts, too"),
    ),
    "taps": (
        ("sudo bondtrace taps", "those of all users and namespaces"),
        ("sudo bondtrace taps --json | jq -r .name", "for a program"),
    ),
    "doctor": (
        ("sudo bondtrace doctor", "try every probe"),
        ("sudo bondtrace doctor --json | jq .can_trace", "for a program"),
    ),
    "lab": (
        ("bondtrace lab --list", "the scenarios"),
        ("bondtrace lab -- bondtrace summary --why --iface bond0", "trace with another command"),
        ("bondtrace lab --shell", "a shell in the machine"),
        ("bondtrace lab --kernel 5.10,6.1,7.3 --scenario mixed", "one table, with the differences marked"),
    ),
    "completion": (
        ('eval "$(bondtrace completion bash)"', "in this shell only"),
        ("bondtrace completion bash > ~/.local/share/bash-completion/completions/bondtrace", "in every bash"),
        ("bondtrace completion zsh > ~/.zfunc/_bondtrace", "zsh, with fpath=(~/.zfunc $fpath) before compinit"),
        ("bondtrace completion fish > ~/.config/fish/completions/bondtrace.fish", "in every fish"),
    ),
}
"""By command ("" is bondtrace itself): (a line to type, what it is for)."""


def epilog(name: str) -> str:
    """Return the examples of a command as click's epilog; "" if there are none."""
    lines = [f"  # {meaning}\n  {line}" for line, meaning in EXAMPLES.get(name, ())]
    return "\n".join(["\b", "Examples:", *lines]) if lines else ""
