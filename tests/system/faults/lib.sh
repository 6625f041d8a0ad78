# SPDX-License-Identifier: GPL-2.0-or-later
# What the scenarios here share: they start their own tracers, in setup, and leave facts in files. Some attach by kprobes:
# these could stay behind, miss firings, and lose a module's function.

here_faults=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# begin NAME COMMAND...: runs a command in the background; its words are in NAME.out and NAME.err, its status, once it
# has ended, in NAME.status, its process id in NAME.pid.
begin() {
    local name=$1
    shift
    (
        set +eE
        trap - ERR
        # bash starts background commands with SIGINT ignored, and Python then never hears it.
        env --default-signal=INT,PIPE,HUP "$@" >"$LAB_OUT/$name.out" 2>"$LAB_OUT/$name.err" &
        echo $! >"$LAB_OUT/$name.pid"
        wait $!
        echo $? >"$LAB_OUT/$name.status"
    ) &
    wait_until test -s "$LAB_OUT/$name.pid"
}

attached_or_ended() { says_attached "$LAB_OUT/$1.err" || test -e "$LAB_OUT/$1.status"; }

# attached NAME...: waits until these tracers have said so.
attached() {
    local name
    for name in "$@"; do
        LAB_WAIT_S=${LAB_ATTACH_S:-2000} wait_until attached_or_ended "$name"
        test ! -e "$LAB_OUT/$name.status" || { tail -n 5 "$LAB_OUT/$name.err"; return 1; }
    done
}

send_signal() { kill "-$1" "$(cat "$LAB_OUT/$2.pid")"; }

# ended NAME...: waits until these have ended, by themselves or by a signal sent before.
ended() {
    local name
    for name in "$@"; do
        LAB_WAIT_S=${LAB_WAIT_S:-300} wait_until test -e "$LAB_OUT/$name.status"
    done
}

# programs, links, maps, probes: what of tracing is in the kernel now, a line each, without numbers that differ each time.
programs() { bpftool prog list | sed -n 's/^[0-9]*: \([a-z_]*\)  *name \([^ ]*\).*/\1 \2/p' | grep -v cgroup | sort; }
links() { bpftool link list | sed -n 's/^[0-9]*: \([a-z_]*\).*/\1/p' | grep -v cgroup | sort; }
maps() { bpftool map list | sed -n 's/^[0-9]*: \([a-z_]*\)  *name \([^ ]*\).*/\1 \2/p' | sort; }
probes() { sed 's/^[0-9a-f]* *//' /sys/kernel/debug/kprobes/list | sort; }

# left_of NAME: each of these in a file that ends so.
left_of() {
    local what
    for what in programs links maps probes; do
        $what >"$LAB_OUT/$what.$1"
    done
}

nothing_left() {
    local what
    left_of after
    for what in programs links maps probes; do
        cmp -s "$LAB_OUT/$what.before" "$LAB_OUT/$what.after" || return 1
    done
}

# pg DEVICE-OR-THREAD WORDS: to pktgen.
pg() { echo "$2" >"/proc/net/pktgen/$1"; }

# flood COUNT [SIZE [RATE]]: pktgen hands packets to eth0's receive path, from one CPU, at a rate of packets a second;
# IP drops them.
flood() {
    pg kpktgend_0 rem_device_all
    pg kpktgend_0 "add_device eth0@0"
    pg eth0@0 "xmit_mode netif_receive"
    pg eth0@0 "count $1"
    pg eth0@0 "pkt_size ${2:-60}"
    pg eth0@0 "delay 0"
    if [ -n "${3:-}" ]; then
        pg eth0@0 "ratep $3"
    fi
    pg eth0@0 "dst_mac $(cat /sys/class/net/eth0/address)"
    pg eth0@0 "src_min 192.0.2.1"
    pg eth0@0 "src_max 192.0.2.1"
    pg eth0@0 "dst 198.51.100.1"
    pg pgctrl start
    sed -n 's/.*pkts-sofar: \([0-9]*\).*/\1/p' /proc/net/pktgen/eth0@0
}

# has_told_gone COUNT RECORDING: have so many taps been told as closed in it?
has_told_gone() {
    python3 - "$@" <<'PYTHON'
import sys
from pathlib import Path
from bondtrace.format.recording import Recording
events = (event for batch in Recording(Path(sys.argv[2])).batches() for event in batch.events)
sys.exit(sum(event["kind"] == "tap-gone" for event in events) < int(sys.argv[1]))
PYTHON
}

# is_idle PID: does this process need less than half of a CPU for a second?
is_idle() {
    local before after
    before=$(_ticks "$1")
    pause 1
    after=$(_ticks "$1")
    ((after - before < 50))
}

_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# status_kb PID FIELD: of /proc/PID/status, e.g. VmRSS, VmHWM.
status_kb() { sed -n "s/^$2:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$1/status"; }
