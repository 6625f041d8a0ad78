# SPDX-License-Identifier: GPL-2.0-or-later
"""The running kernel: its types, symbols, which probes it can take, and loading them.

``btf`` reads type information, ``layout`` turns it into the C header that the BPF programs are
compiled with, ``symbols`` finds functions, ``plan`` chooses the probes, ``loader`` (the only module that
imports bcc) compiles and attaches them, ``ring`` reads what they send.
"""
