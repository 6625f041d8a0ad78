# SPDX-License-Identifier: GPL-2.0-or-later
"""One self-contained HTML page of a trace, for a browser without a network.

Invariant: the page loads nothing (its Content-Security-Policy forbids it), runs no script but its own two (allowed by
their hashes), and no name from the kernel or from a process becomes markup: names are in JSON whose every ``<`` is
escaped, and the script puts them into the page as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any, TextIO

from ...errors import missing_package
from ...stats.report_data import ReportData
from ...util.untrusted import printable
from ..table import summary_object
from .figures import report_object

#: The parts of the page's script, in their order: each uses those before it, and when all are there, any.
PARTS = ("basics", "words", "select", "tables", "drawings", "lanes", "journeys", "page")


def plotly_script() -> str:
    """Return the JavaScript of plotly.

    :raises BondtraceError: if the package is missing.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise missing_package("report", "plotly", "report") from None
    return str(get_plotlyjs())


def write(data: ReportData, stream: TextIO, name: str, notes: Sequence[str]) -> None:
    """Write the page; ``name`` is that of the recording, ``notes`` are sentences about it for the top of the page."""
    scripts = [_script(plotly_script()), _script(_own_script())]
    values = {
        "title": html.escape(f"bondtrace: {printable(name)}"),
        "style": _part("page.css"),
        "hashes": " ".join(_hash(script) for script in scripts),
        "plotly": scripts[0],
        "script": scripts[1],
        "summary": json_in_html(summary_object(data.summary, data.scene)),
        "report": json_in_html(report_object(data, name, notes)),
    }
    stream.write(Template(_part("page.html")).substitute(values))


def json_in_html(value: Any) -> str:
    """Return JSON that can neither end the script element around it nor begin another one or a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _own_script() -> str:
    """Return the page's script: one function of which the files are parts."""
    parts = "\n".join(_part(f"{name}.js") for name in PARTS)
    return f"(() => {{\n{parts}}})();\n"


def _script(text: str) -> str:
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
