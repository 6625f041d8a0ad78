/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands for the kernel source tree that bcc insists on (BCC_KERNEL_SOURCE). bondtrace needs none:
 * every layout comes from the running kernel's BTF (bondtrace/capture/kernel/layout.py). */
#define CONFIG_BPF_SYSCALL 1
