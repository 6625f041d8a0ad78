#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest: several scenarios, one after the other, each as runner.sh plays one.
#
#   several.sh NAME SCENARIO IFACE [NAME SCENARIO IFACE]... -- COMMAND...
#
# Each scenario has network, mount and process namespaces of its own, and $LAB_OUT/NAME as its $LAB_OUT; $LAB_IFACE is
# its device. When its first process ends, the kernel ends all others, and with them mounts, namespaces and devices:
# no scenario leaves anything to the next. What it printed is in $LAB_OUT/NAME/lab/output, its status in
# $LAB_OUT/NAME/lab/status. A scenario that fails ends only itself; one that hangs is killed after $LAB_SCENARIO_S s.

set -u
here=$(dirname "$(readlink -f "$0")")
root=$LAB_OUT

wanted=()
while [ "$1" != -- ]; do
    wanted+=("$1")
    shift
done
shift

# No ARP probe of a neighbour that answered a while ago (see keep_quiet in lib.sh): only the first namespace has this
# file, and new devices of all namespaces use its value.
echo 3600 >/proc/sys/net/ipv4/neigh/default/delay_first_probe_time

# Nor has a namespace devices that come with a tunnel's module, which an earlier scenario may have loaded.
echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net

# The mounts that a new network namespace needs: sysfs shows the devices of the namespace that mounted it, and it hides
# what was mounted below; names of namespaces must not outlive the processes in them.
enter() {
    mount -t sysfs sysfs /sys
    mount -t bpf bpf /sys/fs/bpf
    mount -t tracefs tracefs /sys/kernel/tracing
    mount -t debugfs debugfs /sys/kernel/debug
    mkdir -p /run/netns
    mount -t tmpfs tmpfs /run/netns
    "$@"
}
export -f enter

# The scenario that is being played ends in order, and is the last.
interrupted=
trap 'interrupted=yes' INT

# alone COMMAND...: runs a command in namespaces of its own, for $LAB_SCENARIO_S seconds at most. It stays in this
# process group, so that SIGINT reaches it.
alone() {
    timeout --foreground --signal=KILL "$LAB_SCENARIO_S" \
        unshare --net --mount --pid --fork --kill-child --mount-proc bash -c 'enter "$@"; exit' enter "$@"
}

for ((i = 0; i < ${#wanted[@]}; i += 3)); do
    export LAB_OUT=$root/${wanted[i]} LAB_IFACE=${wanted[i + 2]}
    mkdir -p "$LAB_OUT/lab"
    cd "$LAB_OUT" || exit 1
    echo "bondtrace lab: playing ${wanted[i]}"
    begin=$SECONDS
    alone bash "$here/runner.sh" "${wanted[i + 1]}" "$@" >"$LAB_OUT/lab/output" 2>&1
    status=$?
    if [ "$status" = 137 ]; then
        echo "bondtrace lab: the scenario was killed: it may take $LAB_SCENARIO_S s at most" >>"$LAB_OUT/lab/output"
    fi
    echo "$status" >"$LAB_OUT/lab/status"
    [ -z "$interrupted" ] || exit 130
    echo "bondtrace lab: ${wanted[i]} ended with status $status after $((SECONDS - begin)) s"
done
exit 0
