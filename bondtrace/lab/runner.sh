#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest: one scenario, one tracer.
#
#   runner.sh SCENARIO COMMAND...
#
# Builds the scenario's network, starts the command, waits until it says on stderr that it is attached, plays the
# traffic, ends the command and exits with its status. If the command ends before it has said so (it is no tracer), the
# run ends with its status, and no traffic is played. What the scenario prints goes to $LAB_OUT/play.log. SIGINT ends a
# run early, and in the same order.

set -u
here=$(dirname "$(readlink -f "$0")")
scenario=$1
shift

. "$here/phases.sh"

_work=$(mktemp -d)
_tracer_pid=

_start_tracer() {
    mkfifo "$_work/stderr"
    : >"$_work/said"
    tee "$_work/said" <"$_work/stderr" >&2 &
    _tee_pid=$!
    # In a process group of its own, with all that it starts. bash starts background commands with SIGINT ignored, and
    # Python then never receives it.
    setsid env --default-signal=INT "$@" 2>"$_work/stderr" &
    _tracer_pid=$!
}

_tell_tracer() { kill "-$1" -- "-$_tracer_pid" 2>/dev/null; }
# The subshell has bash take note of children that have ended, which it does not by itself within a trap.
_tracer_ended() { (:) && ! kill -0 "$_tracer_pid" 2>/dev/null; }
_its_group_ended() { _tracer_ended && ! _tell_tracer 0; }
_tracer_attached() { says_attached "$_work/said"; }
_tracer_attached_or_ended() { _tracer_attached || _tracer_ended; }
_tee_ended() { (:) && ! kill -0 "$_tee_pid" 2>/dev/null; }

# SIGINT is what a terminal sends, and to the whole group: a shell goes on with its next command, if there is one. What
# a shell started in the background ignores SIGINT, and outlives the shell: it has five seconds to end by itself.
_stop_tracer() {
    _tell_tracer INT
    if ! LAB_WAIT_S=${LAB_STOP_S:-180} wait_until _tracer_ended 2>/dev/null; then
        echo "bondtrace lab: the command did not end within ${LAB_STOP_S:-180} s of SIGINT: SIGTERM is next" >&2
    else
        LAB_WAIT_S=5 wait_until _its_group_ended 2>/dev/null
    fi
    if _tell_tracer TERM && ! LAB_WAIT_S=${LAB_STOP_S:-60} wait_until _its_group_ended 2>/dev/null; then
        echo "bondtrace lab: the command did not end within ${LAB_STOP_S:-60} s of SIGTERM: killed" >&2
        _tell_tracer KILL
    fi
    wait "$_tracer_pid" 2>/dev/null
    _status=$?
    LAB_WAIT_S=2 wait_until _tee_ended 2>/dev/null
}

_clean_up() {
    if [ -n "$_tracer_pid" ]; then
        _stop_tracer
    fi
    stop_taps >>"$_log" 2>&1
}

_interrupted() {
    trap '' INT
    trap - ERR
    _status=130
    _clean_up 2>&3
    exit "$_status"
}
trap _interrupted INT

_phase setup
_start_tracer "$@"
if ! LAB_WAIT_S=${LAB_ATTACH_S:-240} wait_until _tracer_attached_or_ended 2>/dev/null; then
    echo "bondtrace lab: no line 'bondtrace: attached' from the command: no traffic was played" >&2
    _clean_up
    exit 1
fi
if _tracer_attached; then
    _phase play
    settle_taps
fi
_clean_up
if declare -F check >/dev/null; then
    _tracer_pid=
    _phase check
fi
exit "$_status"
