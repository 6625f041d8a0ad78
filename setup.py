# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything is in setup.cfg; this file lets old tools build the package."""

from setuptools import setup

setup()
