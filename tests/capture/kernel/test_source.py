# SPDX-License-Identifier: GPL-2.0-or-later
"""The C text that is handed to bcc: every file of bpf/ once, and a name for every program in it."""

import re

import pytest

from bondtrace.capture.kernel.plan import Plan, Probe, Stage, programs
from bondtrace.capture.kernel.source import FILES, bpf_dir, join, program_names

LAYOUT = "#define SK_BUFF__DEV 16\n"


def plan_of(*probes, handlers=()):
    """A plan of one stage with these probes."""
    return Plan((Stage("a stage", "tells", "without", probes),), handlers)


def parts(text):
    """The joined text by the file that each `#line` names; what stands before the first is under ""."""
    pieces = re.split(r'^#line 1 "(.*)"\n', text, flags=re.M)
    return {"": pieces[0], **dict(zip(pieces[1::2], pieces[2::2]))}


def test_every_file_is_joined_whole_behind_its_name():
    text = join(LAYOUT, plan_of(), 1 << 24, 4096)
    # when the text is split at its #line
    found = parts(text)
    # then every file of bpf/ is there, byte for byte, so that line numbers are right
    files = {f"bpf/{path.name}": path.read_text() for path in bpf_dir().glob("*.[ch]")}
    assert {name: part for name, part in found.items() if name.startswith("bpf/")} == files


def test_names_come_before_their_use():
    order = list(parts(join(LAYOUT, plan_of(), 1 << 24, 4096)))
    assert order[:5] == ["", "bpf/wire.h", "bpf/probe.h", "bpf/verifier.h", "bpf/pass.c"]


def test_the_readme_lists_the_files_in_their_order():
    readme = (bpf_dir() / "README.md").read_text()
    assert tuple(re.findall(r"^\| `(\w+\.[ch])` \|", readme, flags=re.M)) == FILES


def test_every_program_is_in_the_readme():
    readme = (bpf_dir() / "README.md").read_text()
    assert [name for name in programs() if not re.search(rf"\b{name}\b", readme)] == []


@pytest.mark.parametrize(("ring_bytes", "page_bytes", "pages"), [(1 << 24, 4096, 4096), (1 << 20, 65536, 16)])
def test_what_varies_is_defined_first(ring_bytes, page_bytes, pages):
    plan = plan_of()
    assert parts(join(LAYOUT, plan, ring_bytes, page_bytes))[""] == (
        "#define BPF_LICENSE GPL\n#include <linux/types.h>\n#define SK_BUFF__DEV 16\n"
        f"#define PAGE_SIZE {page_bytes}\n#define RING_PAGES {pages}\n#define DEVICE_PLACES 4096\n"
        + "#define IS_WITH_ETHERNET_HEADER(type) ((type) == 1 || (type) == 772)\n#define IS_WITHOUT_HEADER(type) ("
        + " || ".join(f"(type) == {one}" for one in (512, 519, 768, 769, 776, 778, 823, 65534))
        + ")\n"
        + program_names(plan)
    )


def programs_in_c():
    """Every program that bpf/ holds, also one in two versions (#ifdef)."""
    found = []
    for path in bpf_dir().glob("*.c"):
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
        found += re.findall(r"^(?:PROBE|PROTOCOL|PROTOCOL_LIST|SOCKET|UDP_SOCKET|TCP_SOCKET)\((\w+)", code, flags=re.M)
    return sorted(set(found))


def test_every_program_in_the_source_has_a_name_and_every_name_a_program():
    # given the programs in bpf/
    there = programs_in_c()
    # when names are defined for them
    defines = program_names(plan_of())
    # then each has PROG_ and TYPED_, once, and there is none besides
    assert sorted(re.findall(r"#define PROG_(\w+) ", defines)) == there
    assert sorted(re.findall(r"#define TYPED_(\w+) ", defines)) == there
    assert sorted(programs()) == there
    assert len(there) >= 30


def test_every_argument_is_asked_for_by_the_program_that_has_it():
    # given each program's text in bpf/, up to the next one
    wrong = []
    for path in bpf_dir().glob("*.c"):
        for name, body in re.findall(
            r"^\t?PROBE\((\w+(?:##\w+)?)\)(.*?)(?=^\t?PROBE|^#|\Z)", path.read_text(), flags=re.M | re.S
        ):
            wrong += [
                (path.name, name, asked)
                for asked in re.findall(r"(?:ARG|RETURNED)\((\w+(?:##\w+)?),", body)
                if asked != name
            ]
    # then none reads another's
    assert wrong == []


def code_of(path):
    """A file of bpf/ without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)


# What gives a pointer to something that is there always, or is the kernel's own answer.
SURE_POINTERS = {"this_cpu", "record_of", "top"}


def test_a_pointer_that_may_be_null_leaves_its_function_whole():
    # given every function of bpf/ that gives a pointer
    gives = re.compile(r"^static __always_inline struct \w+ \*(\w+)\([^)]*\)\n\{\n(.*?)^\}", re.M | re.S)
    functions = [
        (found[1], found[2]) for path in sorted(bpf_dir().glob("*.c")) for found in gives.finditer(code_of(path))
    ]
    assert {"frame_at", "next_step", "running_tap", "handled_frame", "open_late"} <= {name for name, _ in functions}
    # then it gives it through OR_NULL, whatever way it returns (bpf/verifier.h, rule 1)
    bare = [
        (name, given)
        for name, body in functions
        if name not in SURE_POINTERS
        for given in re.findall(r"return ([^;]*);", body)
        if not given.startswith("OR_NULL(")
    ]
    assert bare == []


SURE = re.compile(r"(\d+|[A-Z][A-Z_]*|sizeof\([^()]*\))( [-+*] (\d+|[A-Z][A-Z_]*|sizeof\([^()]*\)))*")
BUFFERS = r"(?:->buf|->bytes|->frames|->known|->known_sockets|->packet)"


def arguments(text):
    """The arguments of the call whose opening bracket stands before the text."""
    found, depth, begin = [], 0, 0
    for place, sign in enumerate(text):
        if sign == ")" and not depth:
            return [*found, text[begin:place].strip()]
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and not depth:
            found.append(text[begin:place].strip())
            begin = place + 1
    raise AssertionError(text[:100])


def unbounded(code):
    """Every size of a copy, and every index or offset into a buffer, that is neither constant nor BOUNDED."""
    calls = [
        (found[1], arguments(code[found.end() :])[1])
        for found in re.finditer(r"\b(bpf_probe_read_kernel|ringbuf_output)\(", code)
    ]
    offsets = re.findall(BUFFERS + r" \+ (.+?)(?:\);|,|;|\)\s*=)", code)
    indexes = re.findall(BUFFERS + r"\[((?:[^\[\]]|\[[^\]]*\])*)\]", code)
    asked = [size for _, size in calls] + offsets + indexes
    return [one for one in asked if not SURE.fullmatch(one.strip()) and not one.strip("(").startswith("BOUNDED(")]


def test_a_number_that_the_verifier_must_know_is_bounded():
    # given every size and every place in bpf/, of which a slot's number in an unrolled loop is a constant
    left = [(path.name, one) for path in sorted(bpf_dir().glob("*.c")) for one in unbounded(code_of(path))]
    # then none is left to the compiler (bpf/verifier.h, rule 2)
    assert left == [("packet.c", "(i + 1) * SLOT_BYTES")]


@pytest.mark.parametrize(
    "line",
    [
        "bpf_probe_read_kernel(p, size, (void *)mac);",
        "bpf_probe_read_kernel(p, size & 127, mac);",
        "bpf_probe_read_kernel(record->packet, linear % 128, (void *)mac);",
        "events.ringbuf_output(record, size & 127, 0);",
        "x = (struct step *)(frame->buf + at);",
        "*(u64 *)(frame->buf + (pos & (BUFFER_BYTES - 1))) = 1;",
        "return &cpu->frames[place & 3];",
        "return view->bytes[offset];",
    ],
)
def test_what_goes_around_that_is_found(line):
    assert unbounded(line) != []


def test_a_pointer_is_computed_with_as_a_number():
    # given every read of a field of an skb that points into its data
    read = [
        (path.name, line.strip())
        for path in sorted(bpf_dir().glob("*.c"))
        for line in code_of(path).splitlines()
        if re.search(r"SK_BUFF__(HEAD|DATA)\b", line)
    ]
    # then none is of a type (bpf/verifier.h, rule 3): what a call read is a number
    assert len(read) >= 5 and [one for one in read if not re.search(r"\b(PART_ADDRESS|ADDRESS|READ)\(", one[1])] == []


def test_no_pointer_is_mixed_with_numbers():
    # given what programs call their arguments, which fentry gives as pointers
    mixed = re.compile(r"\b(?:sk|skb|dev|pt)\b\s*\^|\^\s*\b(?:sk|skb|dev|pt)\b")
    # then none is in a hash as it is (bpf/verifier.h, rule 3)
    assert [(path.name, found) for path in bpf_dir().glob("*.c") for found in mixed.findall(code_of(path))] == []
    assert mixed.findall("return sk ^ pair; return pair ^ skb;") == ["sk ^", "^ skb"]


def test_a_line_holds_one_program():
    # bcc marks functions by their place in the file
    lines = [line for path in bpf_dir().glob("*.c") for line in path.read_text().splitlines()]
    assert [line for line in lines if line.count("PROBE(") > 1] == []


def test_a_program_knows_whether_its_arguments_are_typed():
    # given a plan with every mechanism
    plan = plan_of(
        Probe("tap_ring_enter", "tpacket_rcv", "tpacket_rcv", "", "fentry"),
        Probe("tap_exit", "tpacket_rcv", "tpacket_rcv", "", "fexit"),
        Probe("tx_enter", "dev_queue_xmit_nit", "dev_queue_xmit_nit.constprop.0", "", "kprobe"),
        Probe("frame_exit", "dev_queue_xmit_nit", "dev_queue_xmit_nit.constprop.0", "", "kretprobe"),
        Probe("rx_packet", "netif_receive_skb", "netif_receive_skb", "", "typed_tracepoint"),
    )
    # when names are defined
    names = dict(line.split()[1:] for line in program_names(plan).splitlines() if "LINKAGE_" not in line)
    # then the programs are told so, and what is not attached has a name as well
    assert {
        name: names[name]
        for name in names
        if any(one in name for one in ("tap_ring_enter", "tap_ring_room", "tap_exit", "tx_", "frame_exit", "rx_packet"))
    } == {
        "PROG_tap_ring_enter": "bt_tap_ring_enter",
        "TYPED_tap_ring_enter": "1",
        "PROG_tap_exit": "bt_tap_exit",
        "TYPED_tap_exit": "1",
        "PROG_tap_ring_room": "bt_tap_ring_room",
        "TYPED_tap_ring_room": "0",
        "PROG_tx_enter": "bt_tx_enter",
        "TYPED_tx_enter": "0",
        "PROG_frame_exit": "bt_frame_exit",
        "TYPED_frame_exit": "0",
        "PROG_rx_packet": "bt_rx_packet",
        "TYPED_rx_packet": "1",
    }


def test_programs_that_are_not_attached_are_not_compiled():
    # given a plan of one probe
    plan = plan_of(Probe("tx_enter", "dev_queue_xmit_nit", "dev_queue_xmit_nit", "", "fentry"))
    lines = [line for line in program_names(plan).splitlines() if "LINKAGE_" in line]
    # then it and what may be attached later, when an rx_handler's module is loaded, are all that others see
    assert [line.split()[1] for line in lines if not line.endswith(" static __attribute__((unused))")] == [
        "LINKAGE_tx_enter",
        "LINKAGE_handler_enter",
        "LINKAGE_handler_exit",
    ]
    assert len(lines) == len(programs())


def test_the_source_is_told_when_core_is_the_bracket():
    # given a plan that brackets by core, and one that does not
    core = plan_of(Probe("rx_core_enter", "__netif_receive_skb_core", "__netif_receive_skb_core", "", "kprobe"))
    one = plan_of(Probe("rx_one_enter", "__netif_receive_skb_one_core", "__netif_receive_skb_one_core", "", "kprobe"))
    # then only the first says so
    assert ["#define PROBE_RX_CORE 1" in program_names(plan).splitlines() for plan in (core, one)] == [True, False]
