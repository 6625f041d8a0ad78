# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel side: the running kernel's types and symbols, the probes that fit it, compiling and attaching them.

``btf`` reads type information, ``layout`` turns it into the C header that the BPF programs are
compiled with, ``symbols`` finds functions, ``plan`` chooses the probes, ``compiler`` (the only module that
imports bcc) compiles their programs, ``attacher`` attaches them, ``maps`` and ``ring`` exchange data with them,
``loader`` does all of that.
"""
