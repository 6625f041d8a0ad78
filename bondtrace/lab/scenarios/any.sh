# SPDX-License-Identifier: GPL-2.0-or-later
# title: a tap on "any" sees a bonded packet twice
# description: The ping of the scenario ping, with one more tap, bound to no device
# iface: bond0

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/ping.sh"

eval "ping_$(declare -f setup)"

setup() {
    ping_setup
    # libpcap does not know the MTU of "any": by default the ring has eight frames of 256 KiB, and is soon full.
    start_tap any any -s 2000
}
