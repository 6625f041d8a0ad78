# SPDX-License-Identifier: GPL-2.0-or-later
"""Views of values of ``model`` and ``stats``, as text and JSON. They open nothing and count nothing.

All have one form: ``write(VALUES, scene, stream, ...)`` writes for people, ``write_json(VALUES, scene, stream, ...)``
for programs; ``*_object(VALUES, scene, ...)`` returns what the latter writes; ``lines`` and ``paragraphs`` return text
that another view embeds. ``scene`` is left out where the values hold their own. Two differ: ``top`` has only ``lines``,
as its command draws the screen, and ``prometheus`` is read by the client library (``Metrics``).
"""
