# SPDX-License-Identifier: GPL-2.0-or-later
# title: the ping, while tracers.sh traces it
# description: as bondtrace's own scenario of that name
# iface: bond0

. "$here/scenarios/ping.sh"
