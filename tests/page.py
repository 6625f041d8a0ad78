# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the page of a report, parses it, and shows it in a browser."""

import json
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

BROWSER = next((found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found), None)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)

needs_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")


class Page(HTMLParser):
    """The elements of a page: ``texts`` by id, ``tables`` by id as rows of texts, ``scripts`` by id or place, all
    ``tags``, each with its attributes, ``counts``: the large figures."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tables, self.scripts, self.tags, self.counts, self.labels = {}, {}, {}, [], {}, []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag in ("meta", "input", "link", "img", "br", "hr"):
            return
        self._open.append((tag, values))
        if tag == "table":
            self.tables[values.get("id")] = []
        elif tag == "tr" and self._of("table"):
            self.tables[self._of("table").get("id")].append([])
        elif tag in ("td", "th"):
            self.tables[self._of("table").get("id")][-1].append("")
        elif tag == "text" and "node-label" in values.get("class", ""):
            self.labels.append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def _of(self, tag):
        return next((values for name, values in reversed(self._open) if name == tag), None)

    def handle_data(self, data):
        for tag, values in self._open:
            if tag != "script" and "id" in values:
                self.texts[values["id"]] = self.texts.get(values["id"], "") + data
            if tag == "dd" and "data-count" in values:
                self.counts[values["data-count"]] = self.counts.get(values["data-count"], "") + data
        if self._of("script") is not None:
            key = self._of("script").get("id", len(self.scripts))
            self.scripts[key] = self.scripts.get(key, "") + data
        if self.labels and self._of("text") is not None and "node-label" in self._of("text").get("class", ""):
            self.labels[-1] += data
        if self._of("td") is not None or (self._of("th") is not None and self._of("table") is not None):
            self.tables[self._of("table").get("id")][-1][-1] += data


def browse(path, directory, *words):
    """Return (the page after its script ran, what was said on the console)."""
    done = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            f"--user-data-dir={directory / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--window-size=1400,3000",
            *words,
            "--dump-dom",
            path if "://" in str(path) else path.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return Page(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def made(tmp_path, run, recording, *words):
    """Make the report of a recording; return its path."""
    path = tmp_path / "report.html"
    status, out, _ = run("report", recording, "-o", path, *words)
    assert (status, out) == (0, "")
    return path


def report_of(path):
    """Return the data of a report."""
    return json.loads(Page(path.read_text()).scripts["report"])
