# SPDX-License-Identifier: GPL-2.0-or-later
"""What any program might need: files, signals, untrusted text, columns of numbers."""
