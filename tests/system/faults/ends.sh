# SPDX-License-Identifier: GPL-2.0-or-later
# title: ways in which a trace can end
# description: Tracers at once over a ping, each is ended another way; what is left in the kernel is looked at
# iface: bond0
# needs: bpftool (bpftool)

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

# Are the ten answers in this file yet? Then they must stay there, whatever ends its writer.
holds_the_pings() {
    python3 - "$1" <<'PYTHON'
import sys
from pathlib import Path
from bondtrace.format.recording import Recording
batches = Recording(Path(sys.argv[1])).batches()
sys.exit(sum(int((batch.passes.records["kind"] == 1).sum()) for batch in batches) < 10)
PYTHON
}

shows_the_pings() { [ "$(grep -c 'rx eth0 #.* echo reply' "$1")" = 10 ]; }

setup() {
    local name
    make_bonded_host
    cd "$LAB_OUT"
    ping -q -c 1 10.9.0.1
    left_of before
    mkdir -p small fixed
    mount -t tmpfs -o size=1m tmpfs small
    mount -t tmpfs -o ro tmpfs fixed

    begin term bondtrace record --iface bond0 -o term.arrows icmp
    begin kill bondtrace record --kprobes --iface bond0 -o kill.arrows icmp
    begin full bondtrace record --kprobes --iface bond0 -o small/full.arrows
    begin fixed bondtrace record --iface bond0 -o fixed/never.arrows
    begin early bondtrace record --kprobes --iface bond0 -o early.arrows
    begin int bondtrace --kprobes --iface bond0 icmp
    begin hup bondtrace --kprobes --iface bond0 --json icmp
    begin pipe bash -c 'bondtrace --kprobes --iface bond0 icmp | head -n 1; exit ${PIPESTATUS[0]}'
    begin terminal /usr/bin/python3 "$here_faults/terminal.py" bondtrace --kprobes --iface bond0 --write terminal.arrows icmp
    LAB_WAIT_S=2000 wait_until test -e early.arrows
    send_signal TERM early
    LAB_WAIT_S=2000 ended early fixed
    attached term kill full int hup pipe terminal
    left_of during

    ping -q -c 10 -i 0.1 10.9.0.1
    for name in terminal.err int.out; do
        LAB_WAIT_S=600 wait_until shows_the_pings $name
    done
    LAB_WAIT_S=600 wait_until test -s hup.out
    send_signal TERM term
    send_signal INT int
    send_signal HUP hup
    # closes the terminal
    send_signal TERM terminal
    ended term int hup terminal
    LAB_WAIT_S=600 wait_until holds_the_pings kill.arrows
    send_signal KILL kill
    ended kill
    # A pipe without a reader is met by what is written next.
    ping -q -c 2 -i 0.1 10.9.0.1
    ended pipe
    modprobe pktgen
    flood 150000
    ended full
    cp small/full.arrows full.arrows
    LAB_WAIT_S=600 wait_until nothing_left
}

play() { :; }
