# SPDX-License-Identifier: GPL-2.0-or-later
"""Where batches come from: the running kernel (``live``) or recordings (``recording.Recording``)."""
