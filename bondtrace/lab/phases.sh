# SPDX-License-Identifier: GPL-2.0-or-later
# What runner.sh and shell.sh share: they set `here` and `scenario`, and source this. It knows the scenario's functions
# and runs them as phases, whose output is $LAB_OUT/play.log. Whoever sources it has a function _clean_up, which runs
# before a failed phase ends the run.

. "$here/scenarios/lib.sh"
. "$scenario" || exit 1
for _function in setup play; do
    if ! declare -F "$_function" >/dev/null; then
        echo "bondtrace lab: the scenario $scenario has no function $_function: it needs setup and play" >&2
        exit 1
    fi
done

# What to trace, as options: the scenario's own words, else its device.
LAB_TRACE=$(sed -n 's/^# trace: //p' "$scenario")
export LAB_TRACE=${LAB_TRACE:---iface ${LAB_IFACE:-bond0}}

_log=$LAB_OUT/play.log
: >"$_log"

# While a phase runs, its stdout and stderr are the log; 3 is still the stream.
exec 3>&2

_fail() {
    trap - ERR
    echo "bondtrace lab: $*; $_log ends:" >&3
    tail -n 15 "$_log" >&3
    _clean_up 2>&3
    exit 1
}

# _phase FUNCTION: runs a part of the scenario; its first command that fails ends the run.
_phase() {
    _phase_name=$1
    trap '_fail "the scenario failed in its $_phase_name at: $BASH_COMMAND"' ERR
    set -E
    "$1" >>"$_log" 2>&1
    set +E
    trap - ERR
}
