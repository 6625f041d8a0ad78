/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bcc brings its own copy of the BPF interface, included before this one is asked for. */
#include <linux/types.h>
