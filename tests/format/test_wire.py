# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of bpf/wire.h: the same bytes to the compiler and to numpy, and slots to passes."""

import random
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest

from bondtrace.capture.kernel.source import bpf_dir
from bondtrace.format import wire

WIRE_H = bpf_dir() / "wire.h"

# Every name in bpf/wire.h and the number that Python takes it for.
VALUES = {
    "SLOT_BYTES": wire.SLOT_BYTES,
    "SLOTS_MAX": wire.SLOTS_MAX,
    "SLOT_CONTINUES": wire.SLOT_CONTINUES,
    "PACKET_BYTES": wire.PACKET_BYTES,
    "FIRST_STEPS": wire.FIRST_STEPS,
    "MORE_STEPS": wire.MORE_STEPS,
    "RECORD_RX": wire.RECORD_RX,
    "RECORD_TX": wire.RECORD_TX,
    "RECORD_LATE": wire.RECORD_LATE,
    "RECORD_HOOK": wire.RECORD_HOOK,
    "RECORD_DATA": wire.RECORD_DATA,
    "RECORD_SOCKET": wire.RECORD_SOCKET,
    "DATA_BYTES": wire.DATA_BYTES,
    "RECORD_INSIDE_LIST": wire.RECORD_INSIDE_LIST,
    "RECORD_VLAN": wire.RECORD_VLAN,
    "RECORD_VLAN_AD": wire.RECORD_VLAN_AD,
    "RECORD_LIST": wire.RECORD_LIST,
    "RECORD_CLONED": wire.RECORD_CLONED,
    "RECORD_RECEIVED": wire.RECORD_RECEIVED,
    "STEP_PASS": wire.STEP_PASS,
    "STEP_TAP": wire.STEP_TAP,
    "STEP_FANOUT": wire.STEP_FANOUT,
    "STEP_HANDLER": wire.STEP_HANDLER,
    "STEP_PROTOCOL": wire.STEP_PROTOCOL,
    "STEP_HOOK": wire.STEP_HOOK,
    "STEP_VLAN": wire.STEP_VLAN,
    "STEP_DROP": wire.STEP_DROP,
    "STEP_NETNS": wire.STEP_NETNS,
    "STEP_QUEUED": wire.STEP_QUEUED,
    "STEP_LOCAL": wire.STEP_LOCAL,
    "STEP_SOCKET": wire.STEP_SOCKET,
    "STEP_ANSWERED": wire.STEP_ANSWERED,
    "STEP_FORWARDED": wire.STEP_FORWARDED,
    "STEP_SEGMENTS": wire.STEP_SEGMENTS,
    "GIVEN_TO_TUNNEL": wire.GIVEN_TO_TUNNEL,
    "GIVEN_TO_FULL": wire.GIVEN_TO_FULL,
    "GIVEN_STATE_SHIFT": wire.GIVEN_STATE_SHIFT,
    "FUNC_SOCKET": wire.FUNC_SOCKET,
    "NETNS_FROM_HERE": wire.NETNS_FROM_HERE,
    "NETNS_NEXT_STEP": wire.NETNS_NEXT_STEP,
    "DROPPED_SKB": wire.DROPPED_SKB,
    "DROPPED_CLONE": wire.DROPPED_CLONE,
    "FUNC_VLAN": 32,
    "FUNC_GRO_CELLS": 33,
    "HOOK_REMOVED": 0,
    "HOOK_ADDED": 1,
    "VERDICT_PENDING": wire.VERDICT_PENDING,
    "FUNC_NONE": 0,
    "FUNC_HANDLER": wire.FUNC_HANDLER,
    "COUNTERS": wire.COUNTERS_MAX,
    **{f"OUTCOME_{name.upper()}": value for value, name in wire.OUTCOMES.items()},
    **{f"FUNC_{name.upper()}": value for value, name in wire.FUNCTIONS.items() if value not in (32, 33)},
    **{f"COUNT_{name.upper()}": value for value, name in enumerate(wire.COUNTERS)},
}


def ask_compiler(directory, expressions):
    """What the compiler makes of each expression, with bpf/wire.h included."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler (cc, gcc or clang) to ask for the offsets of bpf/wire.h; `make` installs gcc")
    lines = [f'printf("%llu\\n", (unsigned long long)({expression}));' for expression in expressions]
    program = directory / "ask.c"
    program.write_text(
        "\n".join(
            [
                "#include <stddef.h>",
                "#include <stdio.h>",
                f'#include "{WIRE_H}"',
                "int main(void) {",
                *lines,
                "return 0; }",
            ]
        )
    )
    subprocess.run([compiler, str(program), "-o", str(directory / "ask")], check=True)
    said = subprocess.run([str(directory / "ask")], check=True, capture_output=True, text=True).stdout
    return dict(zip(expressions, map(int, said.split())))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("step", wire.STEP), ("record", wire.RECORD), ("count_key", wire.COUNT_KEY), ("socket_facts", wire.SOCKET_FACTS)],
)
def test_a_field_is_where_the_compiler_puts_it(name, dtype, tmp_path):
    # given every field of the numpy mirror
    places = {f"offsetof(struct {name}, {field})": offset for field, (_, offset) in dtype.fields.items()}
    sizes = {f"sizeof(((struct {name} *)0)->{field})": kind.itemsize for field, (kind, _) in dtype.fields.items()}
    # when the compiler is asked for the same
    said = ask_compiler(tmp_path, [*places, *sizes])
    # then place and size agree
    assert said == {**places, **sizes}


def test_the_mirror_leaves_no_byte_out(tmp_path):
    # given the sizes that follow from the mirror, whose fields lie without gaps
    mirror = {
        "sizeof(struct step)": sum(kind.itemsize for kind, _ in wire.STEP.fields.values()),
        "offsetof(struct record, first)": sum(kind.itemsize for kind, _ in wire.RECORD.fields.values()),
        "sizeof(struct record)": wire.SLOT_BYTES - 8,
        "sizeof(struct socket_facts)": sum(kind.itemsize for kind, _ in wire.SOCKET_FACTS.fields.values()),
        "8 + MORE_STEPS * sizeof(struct step) <= SLOT_BYTES": 1,
        "8 + (MORE_STEPS + 1) * sizeof(struct step) <= SLOT_BYTES": 0,
    }
    # when the compiler is asked, then it counts the same bytes
    assert ask_compiler(tmp_path, list(mirror)) == mirror


def test_a_name_has_the_value_that_the_compiler_gives_it(tmp_path):
    assert ask_compiler(tmp_path, list(VALUES)) == VALUES


def test_every_name_of_the_header_is_compared():
    # given the header without its comments and structs
    text = re.sub(r"/\*.*?\*/", "", WIRE_H.read_text(), flags=re.S)
    # when its macros with a value and its enumerators are collected
    macros = re.findall(r"^#define (\w+)[ \t]+\S", text, flags=re.M)
    enumerators = re.findall(r"(\w+) = \d+", " ".join(re.findall(r"enum \w+ \{(.*?)\}", text, flags=re.S)))
    # then there is none that the test above does not know
    assert sorted(macros + enumerators) == sorted(VALUES)


# --- slots to passes; structs spelled out once more, so that the mirror is not tested with itself

RECORD = struct.Struct("<QQIIIHHHBBHHIIIHBBIIII80s")
RECORD_FIELDS = (
    "time_ns",
    "skb",
    "netns",
    "ifindex",
    "len",
    "cpu",
    "protocol",
    "vlan_tci",
    "kind",
    "flags",
    "steps",
    "steps_lost",
    "seq",
    "parent",
    "duration_ns",
    "arphrd",
    "captured",
    "pkt_type",
    "last_skb",
    "head",
    "frame",
    "sender",
    "packet",
)
STEPS_PLACE = RECORD_FIELDS.index("steps")
KIND_PLACE = RECORD_FIELDS.index("kind")
STEP = struct.Struct("<IIIIBBBBI")
STEPS_MAX = 74


def random_pass(rng, count):
    """A record with all its bits at random, as a tuple, and so many steps."""
    values = list(RECORD.unpack(rng.randbytes(RECORD.size)))
    values[STEPS_PLACE] = count
    values[KIND_PLACE] %= wire.RECORD_DATA
    return tuple(values), [STEP.unpack(rng.randbytes(STEP.size)) for _ in range(count)]


def slots_of(rng, passes):
    """The passes as the ring holds them. Room without a step is full of old bytes, as it is there."""
    result = bytearray()
    for record, steps in passes:
        packed = [STEP.pack(*step) for step in steps]
        bodies = [RECORD.pack(*record) + b"".join(packed[:4])]
        bodies += [b"".join(packed[i : i + 10]) for i in range(4, len(packed), 10)]
        length = 256 * len(bodies) - 8
        heads = [struct.pack("<II", length, 3), *[struct.pack("<Q", 0x0B07D7AC)] * (len(bodies) - 1)]
        for head, body in zip(heads, bodies):
            result += head + body + rng.randbytes(248 - len(body))
    return np.frombuffer(bytes(result), np.uint8).reshape(-1, 256)


def reference(slots):
    """The decoder in plain Python, a slot at a time."""
    passes = []
    for slot in map(bytes, slots):
        if slot[:4] == struct.pack("<I", 0x0B07D7AC):
            record, steps = passes[-1]
            at, room = 8, 10
        else:
            record, steps = RECORD.unpack_from(slot, 8), []
            passes.append((record, steps))
            at, room = 8 + RECORD.size, 4
        for _ in range(min(room, record[STEPS_PLACE] - len(steps))):
            steps.append(STEP.unpack_from(slot, at))
            at += STEP.size
    return passes


def plain(passes):
    """Columns as tuples again."""
    assert passes.records.dtype == wire.RECORD
    assert passes.steps.dtype == wire.STEP
    assert passes.offsets.shape == (len(passes) + 1,)
    records = [
        (*(int(record[name]) for name in RECORD_FIELDS[:-1]), record["packet"].tobytes()) for record in passes.records
    ]
    return [
        (record, passes.steps[begin:end].tolist())
        for record, begin, end in zip(records, passes.offsets[:-1], passes.offsets[1:])
    ]


def decoded(seed, counts):
    """Random passes with so many steps each: as they were made, and decoded from their slots."""
    rng = random.Random(seed)
    made = [random_pass(rng, count) for count in counts]
    return made, wire.decode(slots_of(rng, made))


@pytest.mark.parametrize(
    "counts",
    [
        [0],
        [1],
        [4],  # one slot: empty, begun, full
        [5],
        [14],
        [15],
        [STEPS_MAX],  # just more, a full second slot, a third, the longest
        [0, 4, 2],
        [5, 74, 14],
        [2, 30, 0, 5, 4, 74, 1],  # one by one, all long, mixed
        [74, 4],
        [4, 74],  # the long one first, and last
    ],
)
def test_passes_come_out_as_they_went_in(counts):
    # given passes with so many steps, when their slots are decoded
    made, passes = decoded(1, counts)
    # then every record and every step is back, in order
    assert plain(passes) == made


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_decodes_as_slot_by_slot(seed):
    # given passes of any length in any order
    rng = random.Random(seed)
    counts = [rng.choice((rng.randint(0, 4), rng.randint(5, STEPS_MAX))) for _ in range(rng.randint(1, 60))]
    made = [random_pass(rng, count) for count in counts]
    slots = slots_of(rng, made)
    # when they are decoded at once
    passes = wire.decode(slots)
    # then it is what the plain decoder finds, which is what was written
    assert plain(passes) == reference(slots) == made


def test_no_slots_are_no_passes():
    passes = wire.decode(np.zeros((0, 256), np.uint8))
    assert (len(passes), plain(passes), passes.offsets.tolist()) == (0, [], [0])


def test_decoded_passes_outlive_their_slots():
    # given slots that were decoded
    rng = random.Random(2)
    made = [random_pass(rng, count) for count in (3, 20)]
    slots = slots_of(rng, made).copy()
    passes = wire.decode(slots)
    # when their memory is used again
    slots[:] = 0xFF
    # then the passes are what they were
    assert plain(passes) == made


@pytest.mark.parametrize("places", [[], [0], [3, 1], [1, 1, 4], [4, 3, 2, 1, 0]])
def test_take_by_number_keeps_the_order_asked_for(places):
    made, passes = decoded(3, [2, 0, 30, 4, 5])
    assert plain(passes.take(np.array(places, np.int64))) == [made[place] for place in places]


@pytest.mark.parametrize(
    "mask", [[True, False, True, False, True], [False] * 5, [True] * 5, [False, True, False, False, False]]
)
def test_take_by_mask_keeps_what_is_marked(mask):
    made, passes = decoded(3, [2, 0, 30, 4, 5])
    assert plain(passes.take(np.array(mask))) == [one for one, keep in zip(made, mask) if keep]


def test_taken_passes_can_be_taken_from_again():
    made, passes = decoded(4, [7, 1, 0, 12])
    assert plain(passes.take(np.array([3, 0, 1])).take(np.array([2, 0]))) == [made[1], made[3]]


@pytest.mark.parametrize("batches", [[], [[]], [[3, 20]], [[1], []], [[], [5, 0]], [[1, 74], [], [4], [0, 6, 2]]])
def test_batches_joined_are_their_passes_in_order(batches):
    # given several batches, some empty
    both = [decoded(seed, counts) for seed, counts in enumerate(batches)]
    # when they are joined
    joined = wire.concatenate([passes for _, passes in both])
    # then it is one batch with all passes
    assert plain(joined) == [one for made, _ in both for one in made]


def test_joining_changes_no_batch():
    made, passes = decoded(5, [3, 9])
    wire.concatenate([passes, passes])
    assert plain(passes) == made


def data_slots(rng, cpu, seq, data):
    """A packet's bytes as the ring holds them."""
    values = {
        **dict.fromkeys(RECORD_FIELDS, 0),
        "kind": 5,
        "cpu": cpu,
        "seq": seq,
        "len": len(data),
        "packet": bytes(80),
    }
    parts = [data[at : at + 248] for at in range(0, len(data), 248)]
    slots = struct.pack("<II", 256 * (len(parts) + 1) - 8, 3) + RECORD.pack(*values.values())
    slots += rng.randbytes(256 - len(slots))
    for part in parts:
        slots += struct.pack("<Q", 0x0B07D7AC) + part + rng.randbytes(248 - len(part))
    return np.frombuffer(slots, np.uint8).reshape(-1, 256)


@pytest.mark.parametrize("size", [1, 247, 248, 249, 1500, wire.SNAPLEN_MAX])
def test_kept_bytes_stand_beside_the_passes(size):
    rng = random.Random(size)
    passes = [random_pass(rng, count) for count in (2, 30)]
    data = rng.randbytes(size)
    slots = np.concatenate(
        [
            data_slots(rng, 3, 9, data),
            slots_of(rng, passes[:1]),
            data_slots(rng, 4, 10, data[::-1]),
            slots_of(rng, passes[1:]),
        ]
    )
    assert wire.kept_bytes(slots) == [(3, 9, data), (4, 10, data[::-1])]
    assert plain(wire.decode(slots)) == plain(wire.decode(slots_of(rng, passes)))
    assert len(wire.decode(slots)) == 2
    assert wire.kept_bytes(slots_of(rng, passes)) == wire.kept_bytes(slots[:0]) == []


# --- sockets ---

SOCKET_FACTS = struct.Struct("<IIHHHHHH16s16s")
FACTS = ("inode", "uid", "family", "type", "protocol", "port", "remote_port", "unused", "address", "remote")


def socket_slot(rng, facts, **more):
    """What the kernel side tells of a socket, as the ring holds it: behind the facts is what was there before."""
    values = {**dict.fromkeys(RECORD_FIELDS, 0), "kind": 6, **more}
    packed = SOCKET_FACTS.pack(*facts)
    values["packet"] = packed + rng.randbytes(80 - len(packed))
    body = RECORD.pack(*(values[name] for name in RECORD_FIELDS))
    return np.frombuffer(struct.pack("<II", 248, 3) + body + rng.randbytes(248 - len(body)), np.uint8)


def random_facts(rng):
    return SOCKET_FACTS.unpack(rng.randbytes(SOCKET_FACTS.size))


def told(slots):
    """(time, namespace, device, facts) of the sockets in these slots, the facts by the structs of these tests."""
    return [
        (int(one["time_ns"]), int(one["netns"]), int(one["ifindex"]), SOCKET_FACTS.unpack_from(one["packet"].tobytes()))
        for one in wire.told_sockets(slots)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_sockets_come_out_as_they_went_in_and_are_no_passes(seed):
    # given sockets between passes of any length, whose further slots are of any bytes, and packets' bytes
    rng = random.Random(seed)
    slots, passes, expected = [], [], []
    for number in range(rng.randint(1, 30)):
        if rng.random() < 0.5:
            facts, where = random_facts(rng), {"time_ns": number, "netns": rng.getrandbits(32), "ifindex": number}
            expected.append((number, where["netns"], number, facts))
            slots.append(socket_slot(rng, facts, **where).reshape(1, 256))
        else:
            one = random_pass(rng, rng.choice((0, 3, 20, STEPS_MAX)))
            passes.append(one)
            slots += [slots_of(rng, [one]), data_slots(rng, 1, number, rng.randbytes(300))]
    slots = np.concatenate(slots)

    assert told(slots) == expected
    assert plain(wire.decode(slots)) == passes


def test_the_fields_of_a_sockets_facts_are_those_of_the_file():
    rng = random.Random(1)
    facts = random_facts(rng)
    [record] = wire.told_sockets(socket_slot(rng, facts).reshape(1, 256))
    [found] = np.frombuffer(record["packet"].tobytes()[: SOCKET_FACTS.size], wire.SOCKET_FACTS)

    assert wire.SOCKET_FACTS.names == FACTS and wire.SOCKET_FACTS.itemsize == SOCKET_FACTS.size
    assert tuple(found[name].tobytes() if name in FACTS[-2:] else int(found[name]) for name in FACTS) == facts


def test_without_slots_or_sockets_none_are_told():
    assert len(wire.told_sockets(np.zeros((0, 256), np.uint8))) == 0
    assert len(wire.told_sockets(slots_of(random.Random(1), [random_pass(random.Random(2), 20)]))) == 0


def test_told_sockets_outlive_their_slots():
    rng = random.Random(3)
    facts = random_facts(rng)
    slots = socket_slot(rng, facts).reshape(1, 256).copy()
    records = wire.told_sockets(slots)
    slots[:] = 0xFF
    assert SOCKET_FACTS.unpack_from(records[0]["packet"].tobytes()) == facts
