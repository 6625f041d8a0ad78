# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the fields of chains and tables are, and chains as the kernel side has read them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from kernel_map import KernelMap

from bondtrace.capture.kernel import netfilter
from bondtrace.capture.kernel.btf import Btf, BtfError
from bondtrace.capture.kernel.maps import word
from bondtrace.capture.kernel.netfilter import Chain, Chains, module_places, places
from bondtrace.format.stages import NETFILTER_FUNCTIONS

DATA = Path(__file__).parents[2] / "data" / "btf"

# Offsets in bytes, as `bpftool btf dump` has them of the whole module's types.
OF_NF_TABLES = {"pktinfo_skb": 0, "pktinfo_state": 8, "chain_name": 88, "chain_table": 64, "table_family_mask": 0x3F}


def types(name):
    return Btf(gzip.decompress((DATA / f"{name}.btf.gz").read_bytes()))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("6.1", {"table_name": 384, "table_family": 372}),
        ("6.12", {"table_name": 384, "table_family": 372}),
        ("7.3", {"table_name": 432, "table_family": 420}),
    ],
)
def test_the_fields_of_nftables_are_found_in_its_module(version, expected):
    assert places(types(f"{version}.nf_tables"), "nf_tables") == {**OF_NF_TABLES, **expected}


def test_a_table_of_iptables_is_described_by_its_module_or_by_an_older_kernel_itself():
    for described in ("6.1.ip_tables", "5.10"):
        assert places(types(described), "ip_tables") == {"xt_table_name": 56}


def test_a_kernel_without_types_of_modules_does_not_describe_chains(monkeypatch):
    def none(module, base):
        raise BtfError(f"no type information for module {module}")

    monkeypatch.setattr(netfilter, "read_kernel_btf", none)
    assert module_places("ip6_tables", types("5.10")) == {"xt_table_name": 56}
    with pytest.raises(BtfError, match="no type information for module nf_tables"):
        module_places("nf_tables", types("5.10"))


def test_types_that_lack_a_field_are_an_error():
    with pytest.raises(BtfError, match="no type information about struct nft_pktinfo, field skb"):
        places(types("6.1.ip_tables"), "nf_tables")


def test_every_function_has_a_module_whose_fields_are_known():
    assert set(NETFILTER_FUNCTIONS.values()) == set(netfilter.WANTED)


def layout(**fields):
    """``struct netfilter_layout`` with these fields; the others are 0."""
    one = np.zeros(1, netfilter.LAYOUT)
    for name, value in fields.items():
        one[name] = value
    return one.tobytes()


@pytest.fixture
def array():
    return KernelMap({word(0): layout(xt_table_name=7)})


def test_the_kernel_side_is_told_the_places_and_keeps_those_of_another_module(array):
    Chains(array, KernelMap()).set_places({"chain_name": 88})
    assert array.get(word(0)) == layout(xt_table_name=7, chain_name=88)


def test_the_kernel_side_is_told_where_functions_are(array):
    chains = Chains(array, KernelMap())
    chains.set_functions({"hook": (0xFFFFFFFF9326A340, 240), "hook_list": None})
    chains.set_functions({"chain": (0xFFFFFFFFC0001000, 300)})
    hook = {"hook_begin": 0xFFFFFFFF9326A340, "hook_bytes": 240}
    chain = {"chain_begin": 0xFFFFFFFFC0001000, "chain_bytes": 300}
    assert array.get(word(0)) == layout(xt_table_name=7, **hook, **chain)
    chains.set_functions({"chain": None})
    assert array.get(word(0)) == layout(xt_table_name=7, **hook)


def test_chains_are_read_as_far_as_they_are_known(array):
    one = np.zeros(1, netfilter.CHAIN)
    one[["func", "family", "hook"]] = (34, 2, 1)
    one["table"] = np.void(b"filter".ljust(64, b"\0"))
    one["name"] = np.void(b"c_\xff\0rest of another name".ljust(64, b"\0"))
    chains = KernelMap({word(9): one.tobytes()})
    assert Chains(array, chains).read({9, 10}) == {9: Chain(34, 2, 1, "filter", "c_\ufffd")}
