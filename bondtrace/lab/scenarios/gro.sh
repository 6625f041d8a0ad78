# SPDX-License-Identifier: GPL-2.0-or-later
# title: mixed traffic, received in lists
# description: As mixed, with generic receive offload on the slaves: packets come in lists and are delivered late
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/mixed.sh"

eval "mixed_$(declare -f setup)"

setup() {
    mixed_setup
    ethtool -K eth0 gro on
    ethtool -K eth1 gro on
}
