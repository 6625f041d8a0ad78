# SPDX-License-Identifier: GPL-2.0-or-later
"""terminal.py COPY COMMAND...: runs a command on a terminal of its own, what it says there goes to COPY as well; closes
the terminal when there is a file terminal.close, and ends with the command's status (128 and more: by a signal)."""

import os
import pty
import select
import sys

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
with open(sys.argv[1], "wb", buffering=0) as copy:
    while not os.path.exists("terminal.close"):
        if select.select([terminal], [], [], 0.1)[0]:
            copy.write(os.read(terminal, 65536))
os.close(terminal)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(status if status >= 0 else 128 - status)
