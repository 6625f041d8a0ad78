# SPDX-License-Identifier: GPL-2.0-or-later
"""The header that bpf/ is compiled with, from what kernels say of themselves."""

import gzip
from pathlib import Path

import pytest
from data.reduce_btf import Writer

from bondtrace.capture.kernel import layout
from bondtrace.capture.kernel.btf import Btf, BtfError

DATA = Path(__file__).parents[2] / "data" / "btf"

# Offsets in bytes, as `offsetof` in C has them (tests/data/README.md), and numbers of the types in tests/data/btf; "-":
# the kernel has no such thing.
HEADERS = """
                               5.10   6.1  6.12   7.3
    SK_BUFF__NEXT                 0     0     0     0
    SK_BUFF__DEV                 16    16    16    16
    SK_BUFF__LEN                112   112   112   112
    SK_BUFF__HEAD               192   200   200   200
    SK_BUFF__DATA               200   208   208   208
    SK_BUFF__TAIL               184   188   188   188
    SK_BUFF__END                188   192   192   192
    SK_BUFF__MAC_HEADER         182   186   186   186
    SK_BUFF__PROTOCOL           176   180   180   180
    SK_BUFF__PKT_TYPE           128   128   128   128
    SK_BUFF__PKT_TYPE_MASK        7     7     7     7
    SK_BUFF__VLAN_TCI           154   154   158   158
    SK_BUFF__VLAN_PROTO         152   152   156   156
    SK_BUFF__VLAN_PRESENT       130   130     -     -
    SK_BUFF__VLAN_PRESENT_MASK    1     1     -     -
    SK_BUFF__LIST                 0     0     0     0
    SK_BUFF__SK                  24    24    24    24
    SK_BUFF__SKB_IIF            144   144   148   148
    SK_BUFF__SKB_REFDST          88    88    88    88
    DST_ENTRY__DEV                0     0     0     0
    NET_DEVICE__IFINDEX         256   216   224   224
    NET_DEVICE__NET            1264  1280   280   264
    NET_DEVICE__FLAGS           544   192   176   176
    NET_DEVICE__TYPE            572   296   560   544
    NET_DEVICE__RX_HANDLER      848   864   264   248
    NET_DEVICE__HEADER_OPS      536   560    16    16
    NET__INUM                   144   144   136   280
    PACKET_TYPE__AF_PACKET_PRIV  48    48    48    48
    SOCK__SK_SOCKET             640   624   288   288
    SOCK__SKC_FAMILY             16    16    16    16
    SOCK__SK_FILTER             280   288   248   248
    PACKET_SOCK__PROT_HOOK     1408  1408  1408  1472
    PACKET_SOCK__TP_RESERVE    1296  1304  1304  1384
    PACKET_SOCK__TP_DROPS      1536  1536  1536  1600
    PACKET_SOCK__STATS          776   784   784   808
    NF_HOOK_STATE__HOOK           0     0     0     0
    NF_HOOK_STATE__PF             4     1     1     1
    TCF_PROTO__PROTOCOL          24    24    24    24
    TCF_PROTO__PRIO              28    28    28    28
    TCF_PROTO__CHAIN             48    48    48    48
    TCF_PROTO__OPS               40    40    40    40
    TCF_PROTO_OPS__KIND          16    16    16    16
    TCF_CHAIN__INDEX             64    64    64    56
    TC_ACTION__OPS                0     0     0     0
    TC_ACTION_OPS__KIND          16    16    16    16
    SOCK__SKC_NET                48    48    48    48
    SOCK__SKC_STATE              18    18    18    18
    SOCK__SKC_BOUND_DEV_IF       20    20    20    20
    SOCK__SKC_ADDRPAIR            0     0     0     0
    SOCK__SKC_DADDR               0     0     0     0
    SOCK__SKC_RCV_SADDR           4     4     4     4
    SOCK__SKC_PORTPAIR           12    12    12    12
    SOCK__SKC_DPORT              12    12    12    12
    SOCK__SKC_NUM                14    14    14    14
    SOCK__SKC_V6_DADDR           56    56    56    56
    SOCK__SKC_V6_RCV_SADDR       72    72    72    72
    SOCK__SK_TYPE               538   514   572   542
    SOCK__SK_PROTOCOL           540   516   574   540
    SOCK__SK_UID                584   560   612   536
    SOCK__SK_ACK_BACKLOG        576   552   604   616
    SOCK__SK_MAX_ACK_BACKLOG    580   556   608   620
    UDP_SOCK__ENCAP_TYPE        984  1004  1012  1060
    SKB_SHARED_INFO__GSO_SIZE     4     4     4     4
    SKB_SHARED_INFO__GSO_SEGS     6     6     6     6
    SK_BUFF__PART               112   112   112   112
    SK_BUFF__PART_WORDS          12    13    13    13
    SOCKET__INODE               192   192   192   192
    PT_REGS__ARG0               112   112   112   112
    PT_REGS__ARG1               104   104   104   104
    PT_REGS__ARG2                96    96    96    96
    PT_REGS__ARG3                88    88    88    88
    PT_REGS__ARG4                72    72    72    72
    PT_REGS__RESULT              80    80    80    80
    GET_FUNC_ARG                  -     1     1     1
    BPF_FUNC_GET_FUNC_IP          -   173   173   173
    BPF_FUNC_GET_FUNC_ARG         -   183   183   183
    RDONLY_CAST                   -     -   151   157
    BTF_SK_BUFF                   -     -    79    79
    BTF_PACKET_SOCK               -     -    51    51
    SKB_DROP_REASONS              -     1     1     1
    SKB_CONSUMED                  -     -     1     1
    SKB_DROP_REASON_NOT_SPECIFIED -     1     2     2
    SKB_DROP_REASON_NETFILTER_DROP -    7    11    12
"""


def expected(version):
    """A column of the table as a header."""
    versions, *rows = (line.split() for line in HEADERS.strip().splitlines())
    place = 1 + versions.index(version)
    return "".join(f"#define {row[0]} {row[place]}\n" for row in rows if row[place] != "-")


def captured(version, **renamed):
    """A kernel's types, with names changed for others as long."""
    data = gzip.decompress((DATA / f"{version}.btf.gz").read_bytes())
    for old, new in renamed.items():
        before, after = f"\0{old}\0".encode(), f"\0{new}\0".encode()
        assert len(before) == len(after)
        assert data.count(before) == 1
        data = data.replace(before, after)
    return Btf(data)


@pytest.mark.parametrize("version", ["5.10", "6.1", "6.12", "7.3"])
def test_the_header_of_a_kernel(version):
    assert layout.header(captured(version), "x86_64") == expected(version)


def test_an_optional_field_that_is_missing_is_left_undefined():
    # given a kernel whose sk_buff has lost vlan_present, when its header is made
    header = layout.header(captured("6.1", vlan_present="vlan_missing"), "x86_64")
    # then the rest is as it was
    assert header == "".join(line for line in expected("6.1").splitlines(True) if "VLAN_PRESENT" not in line)


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        (
            {"mac_header": "link_heads"},
            "the kernel's struct sk_buff has no field mac_header; bondtrace does not support such a kernel",
        ),
        ({"inum": "unum"}, "the kernel's struct net has no field ns.inum; bondtrace does not support such a kernel"),
        (
            {"packet_type": "packet_kind"},
            "the kernel's type information has no struct packet_type; bondtrace does not support such a kernel",
        ),
        ({"vfs_inode": "sys_inode"}, "the kernel's struct socket_alloc has no socket and vfs_inode.i_ino"),
        ({"cx": "xc"}, "the kernel's struct pt_regs has no field cx"),
    ],
)
def test_what_is_needed_and_missing_is_an_error(renamed, message):
    with pytest.raises(BtfError) as error:
        layout.header(captured("6.1", **renamed), "x86_64")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("renamed", "gone"),
    [
        ({"SKB_CONSUMED": "SKB_DEVOURED"}, ("SKB_CONSUMED",)),
        ({"skb_drop_reason": "skb_fall_reason"}, ("SKB_CONSUMED", "SKB_DROP_REASON")),  # all reasons
    ],
)
def test_without_a_reason_it_is_not_defined(renamed, gone):
    header = layout.header(captured("7.3", **renamed), "x86_64")
    left = [line for line in expected("7.3").splitlines(True) if not any(f" {one}" in line for one in gone)]
    assert header == "".join(left)


def test_the_registers_of_arm64():
    # given a kernel whose pt_regs is arm64's: union { struct user_pt_regs; struct { u64 regs[31], sp, pc, pstate; }; }
    base = captured("6.1", pt_regs="xt_regs")
    w = Writer(_Continues(base))
    u64 = w.integer(8, "word")
    fields = [("regs", w.array(u64, 31), 0), ("sp", u64, 248), ("pc", u64, 256), ("pstate", u64, 264)]
    union = w.struct(
        "", 272, [("user_regs", w.struct("user_pt_regs", 272, fields), 0), ("", w.struct("", 272, fields), 0)], kind=5
    )
    w.struct("pt_regs", 336, [("", union, 0), ("orig_x0", u64, 272)])
    # when its header is made
    header = layout.header(Btf(w.data(), base), "aarch64")
    # then arguments are x0 to x4 and the result is x0
    assert [line for line in header.splitlines() if "PT_REGS" in line] == [
        "#define PT_REGS__ARG0 0",
        "#define PT_REGS__ARG1 8",
        "#define PT_REGS__ARG2 16",
        "#define PT_REGS__ARG3 24",
        "#define PT_REGS__ARG4 32",
        "#define PT_REGS__RESULT 0",
    ]


def test_a_real_time_kernel_is_known_by_its_spinlocks():
    # given the types of two kernels: a spinlock is a raw one in the one, a lock that a task may sleep on in the other
    base = captured("6.1")
    headers = []
    for name in ("rlock", "lock"):
        w = Writer(_Continues(base))
        u32 = w.integer(4, "number")
        w.struct("spinlock", 4, [("", w.struct("", 4, [(name, u32, 0)], kind=5), 0)])
        headers.append(layout.header(Btf(w.data(), base), "x86_64"))
    # then passes are kept by task in the second, and in the first as where nothing is known of them
    assert headers[0] == layout.header(base, "x86_64")
    assert headers[1] == headers[0].rstrip("\n") + "\n#define BY_TASK 1\n" or "#define BY_TASK 1\n" in headers[1]


class _Continues:
    """What a Writer asks of its base, answered by one that was read."""

    def __init__(self, btf):
        self.next_id, self.string_bytes, self._offsets = btf.type_count, btf.string_bytes, {}


def test_a_machine_whose_registers_are_not_known():
    with pytest.raises(BtfError) as error:
        layout.header(captured("6.1"), "riscv64")
    assert str(error.value) == ("bondtrace does not know the calling convention of riscv64 (it knows aarch64, x86_64)")
