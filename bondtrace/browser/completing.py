# SPDX-License-Identifier: GPL-2.0-or-later
"""What can follow in the line in which a selection is typed: options, and the names that the recordings have.

Invariant: only printable names are offered, quoted where the line needs it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..analysis import names
from ..analysis.scene import Scene
from ..analysis.why_unseen import REASONS
from ..model import OUTCOMES
from ..util.untrusted import printable

OPTIONS = {
    "--tap": "offered to this tap",
    "--unseen": "a tap was not offered it, for this reason",
    "--outcome": "what a tap did with it",
    "--dropped": "dropped by the kernel, for any reason or for this one",
    "--dev": "passed this device",
    "--path": "passed these devices in this order: eth0>bond0",
    "--slower": "took longer: 50us, 1ms, 1.5s",
    "--since": "began then or later",
    "--until": "began before",
    "--filter": "matches a tcpdump filter",
}
"""The options of a selection, with what they say of a journey."""


class Candidate(NamedTuple):
    """What can replace the last ``back`` characters; ``told`` is how it is shown, ``meaning`` what it means."""

    text: str
    back: int
    told: str
    meaning: str = ""


def candidates(text: str, scenes: Sequence[Scene], is_asked_for: bool = True) -> list[Candidate]:
    """Return what can stand at the end of a line.

    :param text: the line up to the cursor.
    :param is_asked_for: also where nothing of a word is there yet, and any word may follow.
    """
    before, word, begin = _last_word(text)
    option, equals, value = word.partition("=")
    back = len(text) - begin
    if equals and option in _VALUES:
        found = ((f"{option}={_quoted(name)}", name) for name in _VALUES[option](value, scenes))
        return [Candidate(text, back, name) for text, name in found]
    if before in _VALUES and not (before == "--dropped" and not word and not is_asked_for) and word[:1] != "-":
        return [Candidate(_quoted(name), back, name) for name in _VALUES[before](word, scenes)]
    needs_value = before in OPTIONS and before != "--dropped"
    if word[:1] == "-" or (not word and is_asked_for and not needs_value):
        return [Candidate(f"{name} ", back, name, told) for name, told in OPTIONS.items() if name.startswith(word)]
    return []


def _last_word(text: str) -> tuple[str, str, int]:
    """Return the word before the last one, the last one without its quotes, and where it begins in the text."""
    words, word, begin, quote = [""], "", -1, ""
    for place, sign in enumerate(text):
        if sign.isspace() and not quote:
            words += [word] if begin >= 0 else []
            word, begin = "", -1
            continue
        begin = place if begin < 0 else begin
        if sign == quote or (not quote and sign in "'\""):
            quote = "" if quote else sign
        else:
            word += sign
    return words[-1], word, begin if begin >= 0 else len(text)


def _quoted(name: str) -> str:
    """Return a name as it stands in the line, where the signs of a path need no quotes."""
    return name if all(sign.isalnum() or sign in "_.:@+->→" for sign in name) else shlex.quote(name)


def _beginning(word: str, found: Iterable[str]) -> list[str]:
    """Return those names that begin so, in capitals or not, each once; then those that have it inside."""
    plain = [name for name in dict.fromkeys(found) if name and printable(name) == name]
    begin = [name for name in plain if name.lower().startswith(word.lower())]
    return [*begin, *(name for name in plain if name not in begin and word.lower() in name.lower())]


def _taps(word: str, scenes: Sequence[Scene]) -> list[str]:
    return _beginning(word, (name for scene in scenes for name in _tap_names(scene)))


def _tap_names(scene: Scene) -> Iterator[str]:
    """Yield the names of taps; with the inode where a name is not of one tap alone."""
    labels = names.last_labels(scene)
    alike = Counter(labels.values())
    yield from (name if alike[name] == 1 else f"{name} [{inode}]" for inode, name in labels.items())


def _devices(word: str, scenes: Sequence[Scene]) -> list[str]:
    return _beginning(word, (name for scene in scenes for name in names.devices(scene)))


def _paths(word: str, scenes: Sequence[Scene]) -> list[str]:
    cut = max(word.rfind(">"), word.rfind("→")) + 1
    return [word[:cut] + name for name in _devices(word[cut:].lstrip(), scenes)]


def _drop_reasons(word: str, scenes: Sequence[Scene]) -> list[str]:
    return _beginning(word, (name for scene in scenes for name in names.drop_reasons(scene)))


_VALUES: dict[str, Callable[[str, Sequence[Scene]], list[str]]] = {
    "--tap": _taps,
    "--unseen": lambda word, scenes: _beginning(word, REASONS),
    "--outcome": lambda word, scenes: _beginning(word, OUTCOMES),
    "--dropped": _drop_reasons,
    "--dev": _devices,
    "--path": _paths,
}
