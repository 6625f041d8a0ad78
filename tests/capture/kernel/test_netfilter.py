# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the fields of chains and tables are, and chains as the kernel side has read them."""

import gzip
from pathlib import Path
from types import SimpleNamespace

import pytest

from bondtrace.capture.kernel import netfilter
from bondtrace.capture.kernel.btf import Btf, BtfError
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


class Array(dict):
    """One element, of which bcc returns a copy."""

    def __getitem__(self, place):
        return SimpleNamespace(**vars(super().get(place.value, SimpleNamespace(xt_table_name=7))))

    def __setitem__(self, place, value):
        super().__setitem__(place.value, value)


class Hash(dict):
    def __getitem__(self, key):
        return super().__getitem__(key.value)


def test_the_kernel_side_is_told_the_places_and_keeps_those_of_another_module():
    array = Array()
    Chains(array, {}).set_places({"chain_name": 88})
    assert vars(array.get(0)) == {"xt_table_name": 7, "chain_name": 88}


def test_the_kernel_side_is_told_where_the_function_is_that_may_free_packets():
    array = Array()
    chains = Chains(array, {})
    chains.set_function((0xFFFFFFFFC0001000, 300))
    assert vars(array.get(0)) == {"xt_table_name": 7, "chain_begin": 0xFFFFFFFFC0001000, "chain_bytes": 300}
    chains.set_function(None)
    assert vars(array.get(0)) == {"xt_table_name": 7, "chain_begin": 0, "chain_bytes": 0}


def test_chains_are_read_as_far_as_they_are_known():
    one = SimpleNamespace(func=34, family=2, hook=1, table=b"filter\0\0", name=b"c_\xff\0rest of another name")
    assert Chains(Array(), Hash({9: one})).read({9, 10}) == {9: Chain(34, 2, 1, "filter", "c_\ufffd")}
