# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bondtrace`."""

from .cli import main

main()
