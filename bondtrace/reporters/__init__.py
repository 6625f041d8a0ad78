# SPDX-License-Identifier: GPL-2.0-or-later
"""Views: each takes values of ``model`` (or a summary) and a stream. They open nothing and count nothing."""
