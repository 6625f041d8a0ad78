# SPDX-License-Identifier: GPL-2.0-or-later
# title: tracing without being root
# description: Tracers of a user with some capabilities, and what root's tracers keep of theirs
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

# with_rights NAME,NAME... COMMAND...: nobody's process with these capabilities alone.
with_rights() {
    local names=+${1//,/,+}
    shift
    setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps="-all,$names" --bounding-set="-all,$names" \
        --ambient-caps="-all,$names" "$@"
}
export -f with_rights

kept() { grep -h CapEff /proc/"$(cat "$1.pid")"/task/*/status | sort -u; }

setup() {
    local least=bpf,perfmon,net_admin
    make_bonded_host
    make_namespace other
    cd "$LAB_OUT"
    start_taps eth0 bond0
    start_tap_in other elsewhere lo
    ping -q -c 1 10.9.0.1
    # Debian's kernel lets only root attach kprobes while this is 3, its default; the vanilla kernel's most is 2.
    echo 2 >/proc/sys/kernel/perf_event_paranoid
    begin none bash -c 'with_rights net_admin bondtrace --iface bond0'
    begin least bash -c "with_rights $least bondtrace --iface bond0 --json icmp"
    begin metrics bondtrace exporter --kprobes --iface bond0 -f icmp
    attached least metrics
    LAB_WAIT_S=2000 ended none
    ping -q -c 5 -i 0.1 10.9.0.1
    kept metrics >kept.metrics
    in_namespace gw ping -q -c 1 10.9.0.2
    sleep 1
    send_signal TERM metrics
    interrupt_child least
    ended least metrics
}

# The tracer under a shell.
interrupt_child() { kill -INT $(cat /proc/"$(cat "$1.pid")"/task/*/children); }

play() { :; }
