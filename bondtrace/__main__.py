# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bondtrace`, which may be a checkout with nothing installed: it names the package that is missing."""

from .extras import missing

try:
    from .cli import main

    main()
except ModuleNotFoundError as error:
    if error.name not in ("click", "numpy", "tabulate"):
        raise
    raise SystemExit(f"bondtrace: {missing('bondtrace', error.name, debian=f'python3-{error.name}')}") from None
