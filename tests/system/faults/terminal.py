# SPDX-License-Identifier: GPL-2.0-or-later
"""terminal.py COMMAND...: runs a command on a terminal of its own; what it shows goes to standard error. SIGTERM closes
the terminal, as a window or a remote login that ends does; then the status is the command's."""

import os
import pty
import select
import signal
import sys

closing = []
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: closing.append(True))
while not closing:
    if select.select([terminal], [], [], 0.1)[0]:
        os.write(2, os.read(terminal, 65536))
os.close(terminal)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(status if status >= 0 else 128 - status)
