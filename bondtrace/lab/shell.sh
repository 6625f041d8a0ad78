#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest: a scenario's set-up, and then a shell that knows the scenario's functions and those of lib.sh.
#
#   shell.sh SCENARIO             on a terminal
#   shell.sh SCENARIO COMMANDS    the commands of that file, which read nothing; the status is the last one's
#
# In the first form an interactive shell reads this file instead of .bashrc, so that the set-up is its own: its taps are
# jobs of that shell.

if [[ $- != *i* && $# = 1 ]]; then
    LAB_SCENARIO=$1 exec bash --rcfile "$0" -i
fi
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
scenario=${1:-$LAB_SCENARIO}
commands=${2:-}
set --

_clean_up() { stop_taps >>"$_log" 2>&1; }

. "$here/phases.sh"

# An installed bondtrace is found by its name; one that is run as a module is not.
if ! command -v bondtrace >/dev/null; then
    bondtrace() { python3 -m bondtrace "$@"; }
    export -f bondtrace
fi

if [ -n "$commands" ]; then
    _phase setup
    . "$commands" </dev/null
    exit
fi

# Jobs of the set-up have process groups of their own, so that Ctrl-C does not reach them.
set -m
_phase setup
unset HISTFILE
PS1='lab \w \$ '
echo "bondtrace lab: kernel $(uname -r); the scenario $(basename "$scenario" .sh) is set up, and \`play\` plays it."
echo "bondtrace lab: what is written to $LAB_OUT is kept; \`exit\` ends the machine, and Ctrl-] ends it at once."
