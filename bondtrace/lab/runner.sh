#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest: one scenario, one tracer.
#
#   runner.sh SCENARIO COMMAND...
#
# Builds the scenario's network, starts the command, waits until it says on stderr that it is attached, plays the
# traffic, ends the command with SIGINT and exits with its status. If the command ends before it has said so (it is no
# tracer), the run ends with its status, and no traffic is played. What the scenario prints goes to $LAB_OUT/play.log.

set -u
here=$(dirname "$(readlink -f "$0")")
scenario=$1
shift

. "$here/scenarios/lib.sh"
. "$scenario" || exit 1
for function in setup play; do
    if ! declare -F "$function" >/dev/null; then
        echo "bondtrace lab: the scenario $scenario has no function $function: it needs setup and play" >&2
        exit 1
    fi
done

# What to trace, as options: the scenario's own words, else its device.
LAB_TRACE=$(sed -n 's/^# trace: //p' "$scenario")
export LAB_TRACE=${LAB_TRACE:---iface ${LAB_IFACE:-bond0}}

work=$(mktemp -d)
log=$LAB_OUT/play.log
: >"$log"

# While a phase runs, its stdout and stderr are the log; 3 is still the stream.
exec 3>&2

fail() {
    echo "bondtrace lab: $*; $log ends:" >&3
    tail -n 15 "$log" >&3
    stop_taps >>"$log" 2>&1
    exit 1
}

# phase FUNCTION: runs a part of the scenario; its first command that fails ends the run.
phase() {
    phase_name=$1
    trap 'fail "the scenario failed in its ${phase_name} at: $BASH_COMMAND"' ERR
    set -E
    "$1" >>"$log" 2>&1
    set +E
    trap - ERR
}

start_tracer() {
    mkfifo "$work/stderr"
    : >"$work/said"
    tee "$work/said" <"$work/stderr" >&2 &
    tee_pid=$!
    # bash starts background commands with SIGINT ignored, and Python then never receives it.
    env --default-signal=INT "$@" 2>"$work/stderr" &
    tracer_pid=$!
}

tracer_ended() { ! kill -0 "$tracer_pid" 2>/dev/null; }
tracer_attached() { says_attached "$work/said"; }
tracer_attached_or_ended() { tracer_attached || tracer_ended; }

stop_tracer() {
    kill -INT "$tracer_pid" 2>/dev/null
    if ! LAB_WAIT_S=180 wait_until tracer_ended 2>/dev/null; then
        echo "bondtrace lab: the command did not end within 180 s of SIGINT: killed" >&2
        kill -KILL "$tracer_pid"
    fi
    wait "$tracer_pid" 2>/dev/null
    status=$?
    LAB_WAIT_S=2 wait_until tee_ended 2>/dev/null
}
tee_ended() { ! kill -0 "$tee_pid" 2>/dev/null; }

phase setup
start_tracer "$@"
if ! LAB_WAIT_S=${LAB_ATTACH_S:-240} wait_until tracer_attached_or_ended 2>/dev/null; then
    echo "bondtrace lab: no line 'bondtrace: attached' from the command: no traffic was played" >&2
    stop_tracer
    stop_taps >>"$log" 2>&1
    exit 1
fi
if tracer_attached; then
    phase play
    settle_taps
fi
stop_tracer
stop_taps >>"$log" 2>&1
if declare -F check >/dev/null; then
    phase check
fi
exit "$status"
