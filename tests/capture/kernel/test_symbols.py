# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the kernel's symbols is the function that is meant."""

from pathlib import Path

import pytest

from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.capture.kernel.symbols import Addresses, Symbol, find, place, read_kallsyms
from bondtrace.format.stages import NETFILTER_FUNCTIONS, TC_FUNCTIONS

DATA = Path(__file__).parents[2] / "data" / "kallsyms"

# Debian builds every rx_handler as a module.
MODULES = {
    "bond_handle_frame": "bonding",
    "br_handle_frame": "bridge",
    "team_handle_frame": "team",
    "macvlan_handle_frame": "macvlan",
    "ipvlan_handle_frame": "ipvlan",
    "netdev_frame_hook": "openvswitch",
    "macsec_handle_frame": "macsec",
    "esp_input": "esp4",
    **NETFILTER_FUNCTIONS,
    **TC_FUNCTIONS,
}
# What is not called as in the source; None: the kernel has no such function.
CORE = {"__netif_receive_skb_core": "__netif_receive_skb_core.constprop.0"}
ONE_DROP = {"kfree_skb": None, "kfree_skb_reason": None, "tcf_classify_ingress": None}
DIFFERENT = {
    "5.10": {"sk_skb_reason_drop": None, "kfree_skb_reason": None, "__ping_queue_rcv_skb": None},
    "6.1": {**CORE, "sk_skb_reason_drop": None, "kfree_skb": None, "tcf_classify_ingress": None},
    "6.12": {**CORE, **ONE_DROP},
    "7.3": {**CORE, **ONE_DROP, "ebt_do_table": None},
}


@pytest.mark.parametrize("version", DIFFERENT)
def test_every_function_of_a_kernel_is_chosen_right(version):
    # given a kernel's symbols: functions, their pieces (.cold), their padding (__pfx_), names that hold theirs
    kallsyms = read_kallsyms(DATA / f"{version}.txt")
    # when all functions that a plan may want are looked for
    found = find(kallsyms, wanted_functions())
    # then each is the function itself, with its module
    names = {name: name for name in wanted_functions()} | DIFFERENT[version]
    assert found == {name: Symbol(called, MODULES.get(name, "")) for name, called in names.items() if called}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["ffffffff81000010 T other", "ffffffff81000020 T one", "ffffffff81000060 t next"], (0xFFFFFFFF81000020, 0x40)),
        (["ffffffff81000020 T one", "ffffffff81000020 T alias", "ffffffff81000030 t next"], (0xFFFFFFFF81000020, 0x10)),
        (["ffffffff81000020 T not_one", "ffffffff81000060 t one.cold"], None),
        (["0000000000000000 T one", "0000000000000000 t next"], None),
        (["ffffffff81000020 T one"], None),
        (["ffffffff81000020 d one", "ffffffff81000060 t next"], None),
        (
            [
                "ffffffffc0000080 t later\t[a]",
                "ffffffffc0000020 t one\t[a]",
                "ffffffffc0000030 t other\t[b]",
                "ffffffffc0000010 t before\t[a]",
            ],
            (0xFFFFFFFFC0000020, 0x60),
        ),
    ],
)
def test_a_function_lasts_to_the_next_symbol(lines, expected):
    assert place("".join(f"{line}\n" for line in lines).encode(), "one") == expected


def chosen(name, *lines):
    """The symbol that is chosen for a function from these lines of type, name and module."""
    text = "".join(f"ffffffff81000000 {line}\n" for line in lines)
    return find(text.encode(), [name]).get(name)


@pytest.mark.parametrize("suffix", [".constprop.0", ".constprop.12", ".llvm.1234567890", ".constprop.0.llvm.77"])
def test_a_specialised_function_is_the_function(suffix):
    assert chosen("foo", f"t foo{suffix}") == Symbol(f"foo{suffix}")


@pytest.mark.parametrize(
    "line",
    [
        "t foo.cold",
        "t foo.part.0",
        "t foo.constprop.0.cold",
        "t foo.part.0.constprop.0",  # pieces
        "t foo.isra.0",
        "t foo.constprop.0.isra.0",
        "t foo.isra.0.constprop.0",  # other arguments
        "t __pfx_foo",
        "t __pfx_foo.constprop.0",
        "t foo_finish",
        "t a_foo",
        "t __foo",  # other names
        "d foo",
        "B foo",
        "r foo.constprop.0",  # data
        "t fo",
        "t foo.",
        "t foo.constprop",
        "t bar\t[foo]",
    ],
)
def test_what_is_not_the_function(line):
    assert chosen("foo", line) is None


@pytest.mark.parametrize(
    "lines",
    [("t foo", "t foo.constprop.0"), ("t foo.constprop.0", "t foo"), ("t foo.cold", "t foo.constprop.0", "t foo")],
)
def test_exact_beats_suffixed(lines):
    assert chosen("foo", *lines) == Symbol("foo")


@pytest.mark.parametrize("letter", "tTwW")
def test_local_global_and_weak_functions_are_functions(letter):
    assert chosen("foo", f"{letter} foo") == Symbol("foo")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("t foo\t[bonding]", Symbol("foo", "bonding")),
        ("t foo.constprop.0\t[bonding]", Symbol("foo.constprop.0", "bonding")),
        ("t foo [bonding]", Symbol("foo", "bonding")),
    ],
)
def test_the_module_is_told(line, expected):
    assert chosen("foo", line) == expected


@pytest.mark.parametrize(
    ("kallsyms", "expected"),
    [
        (b"", {}),
        (b"0 t foo", {"foo": Symbol("foo")}),  # no newline at the end
        (b"0 t foo\n0 t bar\n", {"foo": Symbol("foo"), "bar": Symbol("bar")}),
        (b" foo\nt foo\n foo foo foo foo\n\xff t\xff foo\n", {}),  # no lines of kallsyms
    ],
)
def test_any_bytes_can_be_searched(kallsyms, expected):
    assert find(kallsyms, ["foo", "bar"]) == expected


def test_an_unreadable_list_is_an_empty_one(tmp_path):
    assert read_kallsyms(tmp_path / "kallsyms") == b""


KALLSYMS = b"""ffffffff81000000 T _text
ffffffff81001000 T icmp_rcv
ffffffff81001800 t udp_queue_rcv_one_skb.part.0
ffffffff81002000 D some_data
ffffffffc0001000 t bond_handle_frame\t[bonding]
"""


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0x81001000, "icmp_rcv"),
        (0x810017FF, "icmp_rcv"),
        (0x81001801, "udp_queue_rcv_one_skb"),
        (0x81002001, "udp_queue_rcv_one_skb"),
        (0xC0001234, "bond_handle_frame"),
        (0x80000000, None),
    ],
)
def test_an_address_is_named_by_the_function_it_lies_in(address, name):
    assert Addresses(KALLSYMS).name(address) == name


@pytest.mark.parametrize(
    ("kallsyms", "name"),
    [
        (b"", None),
        (b"\n\n", None),
        (b"0 t foo", None),
        (b"ffffffff81001000 T", None),
        (b"ffffffff81001000 T \n", None),
        (b"\xff" * 100, None),
        (b"ffffffff81001000 t foo", "foo"),
    ],
)
def test_addresses_are_looked_for_in_any_bytes(kallsyms, name):
    assert Addresses(kallsyms).name(0x81001000) == name


def test_what_stays_where_it_is_lies_between_the_ends_of_the_kernel():
    addresses = Addresses(b"ffffffff80fff000 T _stext\n" + KALLSYMS + b"ffffffff81001900 T _etext\n")
    asked = [0x80FFEFFF, 0x80FFF000, 0x810017FF, 0x81001900, 0xC0001234]
    assert [addresses.stays(low) for low in asked] == [False, True, True, False, False]
    # and where an end is not told nothing is known to stay
    for known in (b"", b"ffffffff80fff000 T _stext\n", b"ffffffff81001900 T _etext\n"):
        assert not any(Addresses(known + KALLSYMS).stays(low) for low in asked)


def test_without_the_right_to_see_addresses_nothing_is_named():
    hidden = b"".join(b"0" * 16 + line[16:] + b"\n" for line in KALLSYMS.splitlines())
    assert Addresses(hidden).name(0x81001000) is None
