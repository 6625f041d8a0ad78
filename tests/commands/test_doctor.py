# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace doctor`: what it finds on hosts that lack something."""

import gzip
import json
import re
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from shell import BCCS, bondtrace, other_bcc

from bondtrace.capture.kernel import btf, loader, symbols
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.cli import cli
from bondtrace.commands import doctor
from bondtrace.format.stages import BEYOND_IP, SOCKETS, SOCKETS6


@pytest.mark.parametrize("text, said", BCCS)
def test_it_tells_of_a_bcc_that_is_missing_or_another(tmp_path, text, said):
    place = other_bcc(tmp_path, text)
    done = bondtrace("doctor", "--json", path=[place])

    findings = json.loads(done.stdout)
    assert (done.returncode, done.stderr, findings["can_trace"]) == (1, "", False)
    assert {"check": "bcc", "ok": False, "detail": said.replace("TMP", str(place))} in findings["checks"]


def test_it_tells_that_type_information_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "read_kernel_btf", partial(btf.read_kernel_btf, directory=tmp_path))
    result = CliRunner().invoke(cli, ["doctor"], prog_name="bondtrace")

    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert f"  MISSING kernel type information (BTF): this kernel has no type information ({tmp_path}/vmlinux: " in (
        result.output
    )
    assert result.output.endswith("bondtrace cannot trace here\n")


@pytest.mark.parametrize(
    ("version", "ok", "detail"),
    [
        ("5.10", False, "this kernel gives none (Linux before 5.17): a drop is reported with its function only"),
        ("6.1", True, "67 names"),
        ("7.3", True, "128 names"),
    ],
)
def test_it_tells_whether_drops_have_reasons(version, ok, detail):
    captured = Path(__file__).parents[1] / "data" / "btf" / f"{version}.btf.gz"

    told = doctor.drop_reasons(btf.Btf(gzip.decompress(captured.read_bytes())))

    assert told == {"check": "drop reasons", "ok": ok, "detail": detail}


class Attached:
    """A tracer whose plan is attached, on a kernel that is captured."""

    refusals = ()

    def __init__(self, plan):
        self.plan = plan

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def require_packets(self):
        pass

    def attach_stage(self, name):
        self.plan = self.plan.with_stage(self.plan.stage(name))


@pytest.fixture
def examined(monkeypatch):
    """Examine a kernel like 6.1 without some functions: (what is printed, the exit status, the stages as JSON)."""

    def examine(*gone, words=()):
        data = Path(__file__).parents[1] / "data"
        types = btf.Btf(gzip.decompress((data / "btf" / "6.1.btf.gz").read_bytes()))
        found = symbols.find((data / "kallsyms" / "6.1.txt").read_bytes(), wanted_functions())
        kept = {name: one for name, one in found.items() if name not in gone}
        kernel = loader.Kernel(types, kept, {"": types.function_ids(wanted_functions())}, {})
        monkeypatch.setattr(doctor.compiler, "import_bcc", object)
        monkeypatch.setattr(doctor.capabilities, "has", lambda one: True)
        monkeypatch.setattr(loader, "read_kernel", lambda: kernel)
        monkeypatch.setattr(loader, "attached", lambda make_tracer, plans: Attached(plans(frozenset())))
        said, told = (CliRunner().invoke(cli, ["doctor", *more], prog_name="bondtrace") for more in ((), ("--json",)))
        assert said.exit_code == told.exit_code
        return said.output, said.exit_code, {one["stage"]: one for one in json.loads(told.output)["stages"]}

    return examine


def test_it_lists_the_stages_beyond_ip_with_the_option_that_asks_for_them(examined, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    printed, status, stages = examined()

    assert status == 0 and printed.endswith("can trace here\n")
    for name in BEYOND_IP:
        assert stages[name]["available"] and stages[name]["when"] == "--sockets" and stages[name]["missing"] == ""
        assert re.search(rf"^{name} +.* with --sockets +fentry ", printed, flags=re.M)
    assert stages[SOCKETS]["probes"][0] == "fentry ip_protocol_deliver_rcu"


def test_its_table_fits_a_terminal_and_names_what_is_missing_in_full(examined, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    table = examined("raw_rcv")[0].split("\nstage ")[1].splitlines()

    assert max(map(len, table[1:-1])) <= 80
    assert "-> which sockets took a packet of IPv4, where it was forwarded, and whether" in " ".join(
        line[50:].strip() for line in table
    )


def test_one_that_cannot_be_had_is_told_and_is_no_reason_to_fail(examined, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    printed, status, stages = examined("raw_rcv")

    assert status == 0
    assert (stages[SOCKETS]["available"], stages[SOCKETS]["missing"]) == (False, "this kernel has no function raw_rcv")
    assert stages[SOCKETS6]["available"]
    assert "which sockets took a packet of IPv4, where it was forwarded, and whether ARP was answered" in printed


def test_a_kernel_whose_brackets_end_before_ip_has_no_such_stages(examined):
    _, status, stages = examined("__netif_receive_skb_one_core")
    assert status == 0 and not set(BEYOND_IP) & set(stages)
