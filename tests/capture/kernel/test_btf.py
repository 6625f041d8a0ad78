# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading BTF: handmade bytes for every shape that a field can have, and what kernels really say."""

import gzip
import struct
from pathlib import Path

import pytest
from data.reduce_btf import (
    ARRAY,
    CONST,
    DATASEC,
    DECL_TAG,
    ENUM64,
    FLOAT,
    FUNC_PROTO,
    FWD,
    PTR,
    RESTRICT,
    TYPE_TAG,
    TYPEDEF,
    UNION,
    VAR,
    VOLATILE,
    Writer,
)

from bondtrace.capture.kernel.btf import Btf, BtfError, Field, read_kernel_btf
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.format.stages import NETFILTER_FUNCTIONS, TC_FUNCTIONS

DATA = Path(__file__).parents[2] / "data" / "btf"


def kernel(version):
    return Btf(gzip.decompress((DATA / f"{version}.btf.gz").read_bytes()))


def field(writer, path, struct_name="it"):
    """Where a field of a handmade struct is."""
    btf = Btf(writer.data())
    return btf.field(btf.find_many({struct_name})[struct_name], path)


# --- fields


def test_a_plain_member():
    # given struct it { u64 a; u16 b; }
    w = Writer()
    w.struct("it", 16, [("a", w.integer(8), 0), ("b", w.integer(2), 8)])
    # then each is found with its size, and no other
    assert (field(w, "a"), field(w, "b"), field(w, "c")) == (Field(0, 8), Field(8, 2), None)


def test_members_of_named_structs_by_path():
    # given struct it { u32 x; struct { struct { u32 z; } y; } in; }
    w = Writer()
    u32 = w.integer(4)
    inner = w.struct("in", 8, [("y", w.struct("deep", 4, [("z", u32, 0)]), 4)])
    w.struct("it", 12, [("x", u32, 0), ("in", inner, 4)])
    # then places add up; the way must be complete, and ends at a number
    assert [field(w, path) for path in ("in.y.z", "in.y", "in", "y", "in.z", "x.z")] == [
        Field(8, 4),
        Field(8, 4),
        Field(4, 8),
        None,
        None,
        None,
    ]


def test_members_of_anonymous_structs_and_unions_belong_to_the_outer_one():
    # given struct it { u32 a; union { u64 b; struct { u32 c; union { u32 d; u16 e; }; }; }; u32 f; }
    w = Writer()
    u16, u32, u64 = w.integer(2), w.integer(4), w.integer(8)
    innermost = w.struct("", 4, [("d", u32, 0), ("e", u16, 0)], UNION)
    pair = w.struct("", 8, [("c", u32, 0), ("", innermost, 4)])
    union = w.struct("", 8, [("b", u64, 0), ("", pair, 0)], UNION)
    w.struct("it", 24, [("a", u32, 0), ("", union, 8), ("f", u32, 16)])
    # then all are found as if they stood in it
    assert {name: field(w, name) for name in "abcdefg"} == {
        "a": Field(0, 4),
        "b": Field(8, 8),
        "c": Field(8, 4),
        "d": Field(12, 4),
        "e": Field(12, 2),
        "f": Field(16, 4),
        "g": None,
    }


def test_an_anonymous_member_without_fields_is_passed_over():
    # given struct it { u32 : 0 (no name, no struct); u32 a; }
    w = Writer()
    u32 = w.integer(4)
    w.struct("it", 8, [("", u32, 0), ("a", u32, 4)])
    assert field(w, "a") == Field(4, 4)


def test_bit_fields_have_a_shift_and_a_width():
    # given struct it { u32 a; u8 b:3, c:1, d:4; u16 e:9, f:2; u8 g; }
    w = Writer()
    u8, u16, u32 = w.integer(1), w.integer(2), w.integer(4)
    w.struct(
        "it",
        8,
        [
            ("a", u32, 0, 0),
            ("b", u8, 32, 3),
            ("c", u8, 35, 1),
            ("d", u8, 36, 4),
            ("e", u16, 40, 9),
            ("f", u16, 49, 2),
            ("g", u8, 56, 0),
        ],
    )
    # then their bytes, and where in these the bits are; ordinary members beside them have none
    assert {name: field(w, name) for name in "abcdefg"} == {
        "a": Field(0, 4),
        "b": Field(4, 1, 0, 3),
        "c": Field(4, 1, 3, 1),
        "d": Field(4, 1, 4, 4),
        "e": Field(5, 2, 0, 9),
        "f": Field(6, 1, 1, 2),
        "g": Field(7, 1),
    }


def test_a_bit_field_inside_an_anonymous_struct():
    # given struct it { u64 x; struct { u8 a; u8 b:3, c:1; }; }, as sk_buff has its pkt_type since 5.17
    w = Writer()
    u8 = w.integer(1)
    inner = w.struct("", 2, [("a", u8, 0, 0), ("b", u8, 8, 3), ("c", u8, 11, 1)])
    w.struct("it", 16, [("x", w.integer(8), 0), ("", inner, 8)])
    assert field(w, "c") == Field(9, 1, 3, 1)


def test_typedefs_and_qualifiers_are_looked_through():
    # given possible_net_t as kernels have it, and more: a typedef of a typedef of a qualified struct
    w = Writer()
    net = w.struct("", 8, [("count", w.integer(4), 0), ("net", w.add(PTR), 4)])
    chain = net
    for kind, name in (
        (CONST, ""),
        (VOLATILE, ""),
        (RESTRICT, ""),
        (TYPE_TAG, "rcu"),
        (TYPEDEF, "a_t"),
        (TYPEDEF, "b_t"),
    ):
        chain = w.add(kind, name, chain)
    w.struct("it", 12, [("pad", w.integer(4), 0), ("nd_net", chain, 4)])
    # then the struct behind them is entered, and its size is theirs
    assert (field(w, "nd_net.net"), field(w, "nd_net")) == (Field(8, 8), Field(4, 8))


def test_sizes_of_all_kinds_of_members():
    # given members of every kind of type that has a size, and one that has none
    w = Writer()
    u16 = w.integer(2)
    element = w.struct("element", 6, [("x", u16, 0)])
    members = {
        "pointer": (w.add(PTR, "", element), 8),
        "float": (w.add(FLOAT, "double", 8), 8),
        "enum": (w.enum("e", {"A": 0}), 4),
        "enum64": (w.add(ENUM64, "e64", 8, w.string("B"), 1, 0, count=1), 8),
        "array": (w.array(element, 5), 30),
        "matrix": (w.array(w.array(u16, 3), 4), 24),
        "flexible": (w.array(u16, 0), 0),
        "array of typedefs": (w.array(w.add(TYPEDEF, "t", u16), 7), 14),
        "union": (w.struct("u", 12, [("y", u16, 0)], UNION), 12),
        "unknown": (w.add(FWD, "elsewhere"), 0),
    }
    w.struct("it", 800, [(name, number, 16 * i) for i, (name, (number, _)) in enumerate(members.items())])
    # then each has its size
    assert {name: field(w, name) for name in members} == {
        name: Field(16 * i, size) for i, (name, (_, size)) in enumerate(members.items())
    }


def test_a_pointer_is_not_followed():
    # given struct other { u32 x; }; struct it { struct other *to; u32 table[4]; }
    w = Writer()
    other = w.struct("other", 4, [("x", w.integer(4), 0)])
    w.struct("it", 24, [("to", w.add(PTR, "", other), 0), ("table", w.array(other, 4), 8)])
    # then what is behind it (or in an array) is no field of it
    assert (field(w, "to.x"), field(w, "table.x")) == (None, None)


def test_kinds_of_any_length_do_not_put_the_reader_out_of_step():
    # given one type of every kind with words of its own, then a struct
    w = Writer()
    u32 = w.integer(4)
    w.add(FUNC_PROTO, "", u32, w.string("argument"), u32, 0, 0, count=2)
    w.add(VAR, "variable", u32, 1)
    w.add(DATASEC, ".data", 8, u32, 0, 4, u32, 4, 4, count=2)
    w.add(DECL_TAG, "tag", u32, 0xFFFFFFFF)
    w.add(ENUM64, "e", 8, w.string("A"), 1, 0, w.string("B"), 2, 0, count=2)
    w.add(ARRAY, "", 0, u32, u32, 3)
    w.add(FLOAT, "float", 4)
    w.function("f")
    w.struct("it", 8, [("a", u32, 4)])
    assert field(w, "a") == Field(4, 4)


# --- names


def test_only_whole_names_of_the_right_kind_are_found():
    # given a struct, a union, a typedef, an enum and a function, some called alike
    w = Writer()
    u32 = w.integer(4)
    sock = w.struct("sock", 4, [("packet_type", u32, 0)])
    w.add(TYPEDEF, "net", w.struct("sock_common", 4, [("a", u32, 0)]))
    w.add(FWD, "sk_buff")
    union = w.struct("both", 4, [("b", u32, 0)], UNION)
    w.function("ip_rcv")
    w.function("ip_rcv_core")
    btf = Btf(w.data())
    # then structs and unions are found by their whole name
    assert btf.find_many({"sock", "both", "net", "sk_buff", "packet_type", "common", "ip_rcv"}) == {
        "sock": sock,
        "both": union,
    }
    # and functions are what is a function
    assert btf.functions({"ip_rcv", "rcv", "sock", "arp_rcv"}) == {"ip_rcv"}


def test_a_function_of_more_arguments_than_a_program_can_take_is_none_for_it():
    w = Writer()
    numbers = {f"of_{count}": w.function(f"of_{count}", count) for count in (0, 1, 6, 7, 12)}
    btf = Btf(w.data())
    assert btf.function_ids(set(numbers)) == {name: numbers[name] for name in ("of_0", "of_1", "of_6")}


def test_of_two_structs_of_a_name_the_first_is_taken():
    w = Writer()
    u32 = w.integer(4)
    first = w.struct("twice", 4, [("a", u32, 0)])
    w.struct("twice", 8, [("a", u32, 4)])
    assert Btf(w.data()).find_many({"twice"}) == {"twice": first}


def test_an_enum_by_value():
    w = Writer()
    w.enum("skb_drop_reason", {"SKB_NOT_DROPPED_YET": 0, "SKB_CONSUMED": 1, "SUBSYS": 0xFFFF0000})
    btf = Btf(w.data())
    assert btf.enum("skb_drop_reason") == {0: "SKB_NOT_DROPPED_YET", 1: "SKB_CONSUMED", 0xFFFF0000: "SUBSYS"}
    assert btf.enum("another") == {}


def test_a_type_may_have_more_than_65535_members():
    # given an enum as long as BTF allows since Linux 7.1, then a struct
    w = Writer()
    values = {f"V{value}": value for value in range(70000)}
    w.enum("long", values)
    it = w.struct("it", 4, [("a", w.integer(4), 0)])
    btf = Btf(w.data())
    # then all of it is read, and what follows
    assert btf.enum("long") == {value: name for name, value in values.items()}
    assert btf.find_many({"it"}) == {"it": it}


# --- a module's types


def with_module():
    """A kernel and a module that continues it: what each says of its numbers, and both read."""
    base = Writer()
    u32 = base.integer(4)
    device = base.struct("net_device", 8, [("ifindex", u32, 4)])
    base.struct("twice", 4, [("a", u32, 0)])
    base.function("ip_rcv")
    module = Writer(base)
    # libbpf puts no empty string in front of a module's names: "slave" is its very first byte
    slave = module.struct("slave", 16, [("dev", device, 4), ("ifindex", u32, 12)])
    twice = module.struct("twice", 8, [("a", u32, 4)])
    module.function("bond_handle_frame")
    kernel = Btf(base.data())
    return kernel, Btf(module.data(), kernel), slave, twice


def test_a_module_continues_the_numbers_and_names_of_the_kernel():
    # given a module whose struct holds one of the kernel's
    kernel, module, slave, _ = with_module()
    # then types and names of both are followed through
    assert slave == kernel.type_count
    assert [module.field(slave, path) for path in ("dev.ifindex", "dev", "ifindex")] == [
        Field(8, 4),
        Field(4, 8),
        Field(12, 4),
    ]


def test_a_module_s_names_are_found_from_the_first_byte_on():
    # given a module whose first name is a struct's
    _, module, slave, _ = with_module()
    # when it is asked for its own and the kernel's
    found = module.find_many({"slave", "net_device"})
    # then both are there
    assert (found["slave"], set(found)) == (slave, {"slave", "net_device"})


def test_a_module_s_own_struct_wins():
    kernel, module, _, twice = with_module()
    assert module.find_many({"twice"}) == {"twice": twice}
    assert module.field(twice, "a") == Field(4, 4)
    assert kernel.field(kernel.find_many({"twice"})["twice"], "a") == Field(0, 4)


def test_functions_of_a_module_are_not_the_kernel_s():
    kernel, module, _, _ = with_module()
    names = {"bond_handle_frame", "ip_rcv"}
    assert (kernel.functions(names), module.functions(names)) == ({"ip_rcv"}, names)


def test_a_module_without_its_kernel_is_an_error():
    # given a module's bytes and an empty kernel
    base = Writer()
    u32 = base.integer(4)
    module = Writer(base)
    module.struct("slave", 4, [("a", u32, 0)])
    alone = Btf(module.data())
    # when a field's size asks for a type that is in neither
    with pytest.raises(BtfError, match="type number out of range"):
        alone.field(99, "a")


# --- what is no BTF


def good():
    w = Writer()
    w.struct("it", 8, [("a", w.integer(4), 4)])
    return w.data()


def unknown_kind(kind):
    w = Writer()
    w.add(kind, "new")
    return w.data()


HEADER = struct.Struct("<HBBIIIII")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "too short to be BTF", id="nothing"),
        pytest.param(good()[:23], "too short to be BTF", id="half a header"),
        pytest.param(b"\x7fELF" + bytes(60), "bad magic or length", id="something else"),
        pytest.param(good()[::-1], "bad magic or length", id="garbage"),
        pytest.param(b"\xeb\x9f" + good()[2:], "bad magic or length", id="the other byte order"),
        pytest.param(good()[:-1], "bad magic or length", id="cut in the names"),
        pytest.param(good()[:40], "bad magic or length", id="cut in the types"),
        pytest.param(
            HEADER.pack(0xEB9F, 1, 0, 24, 0, 8, 8, 1) + good()[24:32] + b"\0",
            "middle of a type",
            id="cut in a type's head",
        ),
        pytest.param(
            HEADER.pack(0xEB9F, 1, 0, 24, 0, 36, 36, 1) + good()[24:60] + b"\0",
            "middle of a type",
            id="cut in a type's members",
        ),
        pytest.param(
            HEADER.pack(0xEB9F, 1, 0, 24, 0, 18, 18, 1) + good()[24:42] + b"\0", "bad magic or length", id="half a word"
        ),
        pytest.param(unknown_kind(31), r"unknown BTF kind 31 \(a newer kernel", id="a kind of the future"),
        pytest.param(unknown_kind(36), "unknown BTF kind 36", id="a kind of seven bits"),
    ],
)
def test_other_bytes_are_an_error(data, message):
    with pytest.raises(BtfError, match=message):
        Btf(data)


def test_a_longer_header_is_skipped():
    # given a header with words that came later (Linux 7.1 adds two) and a gap before the names
    data = good()
    _, _, _, _, _, type_bytes, _, string_bytes = HEADER.unpack_from(data)
    types, strings = data[24 : 24 + type_bytes], data[24 + type_bytes :]
    longer = (
        HEADER.pack(0xEB9F, 1, 0, 32, 0, type_bytes, type_bytes + 4, string_bytes)
        + bytes(8)
        + types
        + bytes(4)
        + strings
    )
    # then the same is read
    btf = Btf(longer)
    assert btf.field(btf.find_many({"it"})["it"], "a") == Field(4, 4)


# --- files


def test_the_kernel_and_a_module_are_read_from_their_directory(tmp_path):
    # given the files of /sys/kernel/btf
    base = Writer()
    u32 = base.integer(4)
    module = Writer(base)
    number = module.struct("slave", 8, [("a", u32, 4)])
    (tmp_path / "vmlinux").write_bytes(base.data())
    (tmp_path / "bonding").write_bytes(module.data())
    # when both are read
    kernel = read_kernel_btf(directory=tmp_path)
    bonding = read_kernel_btf("bonding", kernel, tmp_path)
    # then the one continues the other
    assert (kernel.find_many({"slave"}), bonding.field(number, "a")) == ({}, Field(4, 4))


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(BtfError) as no_kernel:
        read_kernel_btf(directory=tmp_path)
    assert str(no_kernel.value) == (
        f"this kernel has no type information ({tmp_path}/vmlinux: No such file or "
        "directory); bondtrace needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )
    with pytest.raises(BtfError) as no_module:
        read_kernel_btf("bonding", directory=tmp_path)
    assert str(no_module.value) == (
        f"no type information for module bonding ({tmp_path}/bonding: No such file or directory)"
    )


# --- kernels


@pytest.mark.parametrize(
    ("version", "struct_name", "path", "expected"),
    [
        # one struct in each kernel by another way (compared with bpftool's dump of the whole type information)
        ("5.10", "sk_buff", "pkt_type", Field(128, 1, 0, 3)),
        ("5.10", "sk_buff", "vlan_present", Field(130, 1, 0, 1)),
        ("6.1", "sk_buff", "vlan_present", Field(130, 1, 0, 1)),
        ("6.12", "sk_buff", "vlan_present", None),
        ("7.3", "sk_buff", "vlan_present", None),
        ("6.1", "sk_buff", "len", Field(112, 4)),
        ("6.1", "sk_buff", "mac_header", Field(186, 2)),
        ("6.1", "sk_buff", "tail", Field(188, 4)),
        ("6.1", "sk_buff", "head", Field(200, 8)),
        ("6.1", "net_device", "nd_net.net", Field(1280, 8)),
        ("6.1", "sock", "__sk_common.skc_family", Field(16, 2)),
        ("6.1", "sock", "__sk_common.skc_net.net", Field(48, 8)),
        ("7.3", "net", "ns.inum", Field(280, 4)),
        ("7.3", "net_device", "nd_net.net", Field(264, 8)),
    ],
)
def test_fields_of_kernels(version, struct_name, path, expected):
    btf = kernel(version)
    assert btf.field(btf.find_many({struct_name})[struct_name], path) == expected


@pytest.mark.parametrize(
    ("version", "undescribed"),
    [
        ("5.10", {"sk_skb_reason_drop", "kfree_skb_reason", "__ping_queue_rcv_skb"}),
        ("6.1", {"sk_skb_reason_drop", "kfree_skb", "__netif_receive_skb_core", "tcf_classify_ingress"}),
        ("6.12", {"kfree_skb", "kfree_skb_reason", "tcf_classify_ingress"}),
        ("7.3", {"kfree_skb", "kfree_skb_reason", "tcf_classify_ingress"}),
    ],
)
def test_functions_that_kernels_describe(version, undescribed):
    # given the rx_handlers, ESP, nftables, x_tables and filters of tc, which Debian builds as modules
    modules = {name for name in wanted_functions() if name.endswith(("_handle_frame", "_frame_hook", "esp_input"))}
    modules |= {*NETFILTER_FUNCTIONS, *TC_FUNCTIONS}
    # then the kernel describes all others that it has, but for one that was renamed by the compiler; of the ways to
    # give a packet up it has one; and one function has too many arguments
    found = kernel(version).functions(wanted_functions())
    assert wanted_functions() - found == modules | undescribed | {"ndisc_send_na"}


@pytest.mark.parametrize(
    ("version", "reasons", "some"),
    [
        ("5.10", 0, {}),
        ("6.1", 67, {0: "SKB_NOT_DROPPED_YET", 1: "SKB_DROP_REASON_NOT_SPECIFIED", 2: "SKB_DROP_REASON_NO_SOCKET"}),
        ("6.12", 106, {0: "SKB_NOT_DROPPED_YET", 1: "SKB_CONSUMED", 2: "SKB_DROP_REASON_NOT_SPECIFIED"}),
        ("7.3", 128, {0: "SKB_NOT_DROPPED_YET", 1: "SKB_CONSUMED", 2: "SKB_DROP_REASON_NOT_SPECIFIED"}),
    ],
)
def test_drop_reasons_of_kernels(version, reasons, some):
    found = kernel(version).enum("skb_drop_reason")
    assert (len(found), {value: found.get(value) for value in some}) == (reasons, some)
