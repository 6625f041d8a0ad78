# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal browser of recordings: journeys kept in columns (`store`), which of them are listed (`listing`,
`search`), what keys do (`state`), what the screen shows (`views`), all of it together (`browser`), and prompt_toolkit
around that (`terminal`), which nothing else here imports."""
