# SPDX-License-Identifier: GPL-2.0-or-later
# title: a stage that the kernel refuses
# description: tracers whose program for taps with a ring no verifier takes, over pings that tcpdumps have in their files
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

metrics_are_there() {
    python3 -c 'import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9436/metrics", timeout=20).read().decode())' >metrics
    grep -q '^bondtrace_tap_unseen_total' metrics
}

setup() {
    local spoilt=$here_faults/spoilt.py
    make_bonded_host
    cd "$LAB_OUT"
    start_taps eth0 eth1 bond0
    begin doctor python3 "$spoilt" doctor --verbose
    begin text env FORCE_COLOR=1 python3 "$spoilt" --iface bond0
    begin counted python3 "$spoilt" --iface bond0 --summary-only --json
    begin exporter python3 "$spoilt" exporter --iface bond0 --listen 127.0.0.1:9436
    attached text counted exporter
    LAB_WAIT_S=2000 ended doctor
    ping -q -c 2 -i 0.2 10.9.0.1
    in_namespace gw ping -q -c 2 -i 0.2 10.9.0.2
    wait_until metrics_are_there
    for one in text counted exporter; do send_signal INT $one; done
    LAB_WAIT_S=2000 ended text counted exporter
}

play() { :; }
