# SPDX-License-Identifier: GPL-2.0-or-later
"""The house itself: nothing outgrows its room, imports are relative, and what documents name is there.

Which room may import which is held by import-linter (setup.cfg, `make lint`).
"""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bondtrace"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "scenarios" not in path.parts)
LINES_MAX, ATTRIBUTES_MAX = 40, 12


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(kind):
    """(where, node) of every such node of the package."""
    found = [
        (f"{path.relative_to(ROOT)}: {node.name}", node)
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, kind)
    ]
    assert len(found) > 100
    return found


def test_no_function_is_longer_than_a_screen():
    sizes = {where: node.end_lineno - node.lineno + 1 for where, node in nodes(ast.FunctionDef)}

    assert {where: size for where, size in sizes.items() if size > LINES_MAX} == {}


def is_a_value(node):
    """A frozen dataclass or a named tuple: a record, which has no state."""
    decorators = [ast.unparse(one) for one in node.decorator_list]
    return any("frozen=True" in one for one in decorators) or any(
        ast.unparse(one) == "NamedTuple" for one in node.bases
    )


def attributes(node):
    """What an object of the class has of its own: fields, and what methods put into ``self``."""
    fields = {
        one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and "ClassVar" not in ast.unparse(one)
    }
    stored = {
        one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and ast.unparse(one.value) == "self"
    }
    return fields | stored


def test_no_class_holds_everything():
    found = {where: attributes(node) for where, node in nodes(ast.ClassDef) if not is_a_value(node)}

    assert max(map(len, found.values())) > 5  # they are counted
    assert {where: names for where, names in found.items() if len(names) > ATTRIBUTES_MAX} == {}


def test_imports_within_the_package_are_relative():
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "bondtrace"
    ]

    assert absolute == []


# --- what documents name -------------------------------------------------------------------------------

GUIDES = ["docs/design.md", "CONTRIBUTING.md", "bpf/README.md"]
BASES = [ROOT, *(ROOT / one for one in ("bondtrace", "docs", "bpf", "tests", "bondtrace/capture"))]


def quoted(name):
    """The words in backticks of a document's prose, without its blocks of code."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


def is_there(word):
    """Is there a file or directory of that name, with or without its suffix?"""
    return any((base / f"{word}{suffix}").exists() for base in BASES for suffix in ("", ".py"))


@pytest.mark.parametrize("name", GUIDES)
def test_every_file_that_a_guide_names_is_there(name):
    paths = [
        word
        for word in quoted(name)
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?|[\w-]+\.(py|c|h|md|cfg|sh)", word) and not word.startswith("net/core")
    ]

    assert len(paths) > 5
    assert [word for word in paths if not is_there(word) and not word.endswith("/core/dev.c")] == []


BY_NAME = {path.stem: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES}


@pytest.mark.parametrize("name", GUIDES)
def test_every_name_of_a_module_that_a_guide_gives_is_there(name):
    """`stitch.merge_late`, `TapHistory.at`: the module, or the class, has it."""
    classes = {where.rpartition(": ")[2]: where for where, _ in nodes(ast.ClassDef)}
    missing = []
    for owner, attribute in (word.split(".") for word in quoted(name) if re.fullmatch(r"[A-Za-z_]+\.\w+", word)):
        if owner in BY_NAME and attribute not in ("py", "c", "h", "md"):
            missing += [] if hasattr(importlib.import_module(BY_NAME[owner]), attribute) else [f"{owner}.{attribute}"]
        elif owner in classes:
            module = importlib.import_module(classes[owner].partition(".py")[0].replace("/", "."))
            missing += [] if hasattr(getattr(module, owner), attribute) else [f"{owner}.{attribute}"]

    assert missing == []


def test_the_rooms_of_the_design_are_those_that_there_are():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = text[text.index("| room |") : text.index("Beside them")]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(named) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
