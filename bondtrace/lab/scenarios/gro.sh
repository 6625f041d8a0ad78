# SPDX-License-Identifier: GPL-2.0-or-later
# title: mixed traffic, received in lists
# description: As mixed, with generic receive offload on the slaves: packets come in lists and are delivered late
# iface: bond0
# needs: ethtool (ethtool)
# needs: pkill (procps)

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/mixed.sh"

eval "mixed_$(declare -f setup)"

setup() {
    mixed_setup
    local number
    for number in 0 1; do
        # A veth aggregates what its peer has not aggregated itself.
        in_namespace gw ethtool -K port$number tso off
        ethtool -K eth$number gro on
    done
}
