# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenario files: their headers, what they need, and the example that the documents give."""

import re
import subprocess

import pytest
from guests import scenario
from shell import ROOT

from bondtrace import lab
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.lab import machine
from bondtrace.lab.arches import AMD64
from bondtrace.lab.scenario import HEADER, Need, read_scenario, require_tools


def test_every_scenario_has_a_title_a_description_and_a_device():
    assert len(lab.scenarios()) > 10
    for one in lab.scenarios():
        assert one.title != one.name and one.description and one.iface, one


def test_a_users_own_scenario_is_read_from_its_path(tmp_path):
    path = scenario(
        tmp_path,
        "# title: Mine\n# iface: team0\n# needs: teamd (libteam-utils)\n# needs: nft\n\n"
        "setup() { :; }\n# description: too late\n# needs: nothing\n",
    )
    assert lab.find_scenario(str(path)) == lab.Scenario(
        "mine", "Mine", "", "team0", path, (Need("teamd", "libteam-utils"), Need("nft"))
    )


def test_a_header_that_says_nothing_has_the_usual_device(tmp_path):
    path = scenario(tmp_path, "setup() { :; }\n")
    assert read_scenario(path) == lab.Scenario("mine", "mine", "", "bond0", path)


@pytest.mark.parametrize("name", ["pong", "lib", "../lab/scenarios/pong", ""])
def test_an_unknown_scenario_names_the_known_ones(name):
    with pytest.raises(UsageError, match=rf"^no scenario {name}: give one of .*ping.*, or the path of your own$"):
        lab.find_scenario(name)


def test_a_need_that_cannot_be_read_is_told_with_its_form(tmp_path):
    path = scenario(tmp_path, "# needs: ovs-vsctl from openvswitch-switch\n")
    with pytest.raises(UsageError) as raised:
        read_scenario(path)
    assert str(raised.value) == (
        f"the scenario {path} says 'needs: ovs-vsctl from openvswitch-switch': "
        "write '# needs: PROGRAM (PACKAGE)', one per line"
    )


def test_a_scenario_that_is_no_text_is_wrong_use(tmp_path):
    path = tmp_path / "mine.sh"
    path.write_bytes(b"\x7fELF\xff\xff")
    with pytest.raises(UsageError, match=rf"^cannot read the scenario {path}: "):
        lab.find_scenario(str(path))


def test_what_a_scenario_lacks_is_said_before_anything_boots(tmp_path, monkeypatch):
    # given a machine that can run the lab, and a scenario with two programs that it has not and one that it has
    monkeypatch.setattr(machine, "requirements", lambda arch: [])
    monkeypatch.setattr(machine, "run", lambda *_, **__: pytest.fail("it boots"))
    path = scenario(tmp_path, "# needs: ovs-nothing (openvswitch-switch)\n# needs: sh\n# needs: no-such-program\n")
    # then playing it alone, with others or on several kernels says what to install
    for play in (
        lambda: lab.run_scenario(kernel=None, scenario=str(path), command=["true"], on_output=print),
        lambda: lab.run_scenarios(kernel=None, scenarios=["ping", str(path)], command=["true"]),
        lambda: require_tools(AMD64, [read_scenario(path)]),
    ):
        with pytest.raises(BondtraceError) as raised:
            play()
        assert str(raised.value) == (
            "the scenario mine needs ovs-nothing (install the package openvswitch-switch), no-such-program (install it)"
        )


def test_what_the_lab_checks_for_is_what_make_installs():
    # given the packages that `make` installs, and those that the lab, and each scenario, names where one is missing
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    installed = set(re.search(r"^TOOLS := (.*)$", makefile, re.MULTILINE).group(1).split())
    unpacked = re.search(r"^UNPACKED := (.*)$", makefile, re.MULTILINE).group(1).split()
    installed |= {one.partition("=")[2] for one in unpacked}
    commands = [need.install["Debian, Ubuntu"].split() for need in machine._NEEDED] + [AMD64.install[0].split()]
    wanted = {package for first, _, *packages in commands if first == "apt" for package in packages}
    own = [read_scenario(path) for path in (ROOT / "tests/system/faults").glob("*.sh")]
    wanted |= {need.package for one in [*lab.scenarios(), *own] for need in one.needs}
    # then they are among these
    assert {"qemu-system-x86", "tcpdump", "libteam-utils"} <= wanted
    assert wanted - installed == set()
    # and each program that is unpacked is one that a scenario says it needs
    needs = {f"{need.program}={need.package}" for one in lab.scenarios() for need in one.needs}
    assert unpacked and set(unpacked) - needs == set()


# --- the documents -------------------------------------------------------------------------------------


def example():
    [text] = re.findall(r"^```bash\n(# SPDX.*?)^```$", (ROOT / "docs/lab.md").read_text(), re.DOTALL | re.MULTILINE)
    return text


def test_the_documents_example_is_a_scenario(tmp_path):
    path = scenario(tmp_path, example())
    one = read_scenario(path)
    assert (one.iface, one.needs) == ("bond0", (Need("python3", "python3"),))
    assert one.title != "mine" and one.description
    checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    # and calls only helpers that there are
    library = (ROOT / "bondtrace/lab/scenarios/lib.sh").read_text()
    helpers = set(re.findall(r"^(\w+)\(\)", library, re.MULTILINE))
    called = {word for word in re.findall(r"^    (\w+)\b", example(), re.MULTILINE) if "_" in word}
    assert called and called <= helpers


LIBRARY = ROOT / "bondtrace/lab/scenarios/lib.sh"


def rows_under(heading):
    """The first cells of the table under a heading of docs/lab.md, without their backquotes."""
    text = (ROOT / "docs/lab.md").read_text()
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE).group(1)
    return re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)


def test_every_helper_is_documented_as_it_is_called_and_no_other():
    functions = re.findall(r"^([a-z]\w*)\(\)", LIBRARY.read_text(), re.MULTILINE)
    # given that each says above itself how it is called
    usage = dict(re.findall(r"^# (?=(\w+))([^:\n]+(?::[A-Z[\]]+[^:\n]*)*):", LIBRARY.read_text(), re.MULTILINE))
    assert len(functions) > 30 and set(functions) - set(usage) == set()
    assert sorted(rows_under("Helpers")) == sorted(usage[name] for name in functions)
    # and what the lab keeps to itself cannot be meant for scenarios
    for name in ("runner.sh", "phases.sh"):
        text = (ROOT / "bondtrace/lab" / name).read_text()
        assert re.findall(r"^([a-z]\w*)\(\)", text, re.MULTILINE) == []


def test_every_program_beside_them_is_documented_as_it_is_called_and_no_other():
    told = {row.split()[0]: row for row in rows_under("Programs")}
    files = {path.name: path for path in LIBRARY.parent.glob("*.py")}
    assert told.keys() == files.keys()
    for name, path in files.items():
        assert told[name] in path.read_text().partition("from __future__")[0], name


def test_every_line_of_the_header_and_every_variable_is_documented_and_no_other():
    assert {re.match(r"# (\w+): [A-Z]", row).group(1) for row in rows_under("The header")} == set(HEADER)
    scripts = [LIBRARY, *(ROOT / "bondtrace/lab" / name for name in ("runner.sh", "phases.sh"))]
    used = {name for path in scripts for name in re.findall(r"\bLAB_[A-Z_]+", path.read_text())}
    assert set(rows_under("Variables")) == {f"${name}" for name in used}
