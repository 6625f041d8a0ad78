# SPDX-License-Identifier: GPL-2.0-or-later
"""The one sentence of a refusal, out of what kernels and bcc print: shortened logs, as they came."""

import pytest

from bondtrace.capture.kernel.verifier import Refusal

# Linux 7.3.4, bcc 0.31: the verifier's sentence, and behind it a report for people.
NEWEST = """\
0: R1=ctx() R10=fp0
0: (79) r2 = *(u64 *)(r1 +24)
func 'tpacket_rcv' arg3 has btf_id 99714 type STRUCT 'net_device'
48: (25) if r7 > 0x3 goto pc+12       ; R7=scalar(smin=smin32=0,smax=umax=smax32=umax32=3,var_off=(0x0; 0x3))
49: (71) r2 = *(u8 *)(r6 +61)
R6 invalid mem access 'scalar'

Verification failed: Register Type Safety: Invalid dereference

Reason:
  R6 is an integer scalar here, not a pointer to memory.

At:
  insn 49
       | ^-- error: invalid dereference of R6 (an integer scalar)

Suggestion:
  Preserve a pointer-valued register where needed, or reload and revalidate the pointer after scalar
  arithmetic, helper calls, or other operations that can invalidate it.

processed 265 insns (limit 1000000) max_states_per_insn 1 total_states 19 peak_states 19 mark_read 0
"""

# Linux 6.12.118
CURRENT = """\
674: (47) r8 |= 1                     ; R8_w=scalar(smin=0x8000000000000003,umin=umin32=3,var_off=(0x3; 0xffff))
675: (0f) r2 += r8
value -9223372036854775805 makes map_value pointer be out of bounds
processed 811 insns (limit 1000000) max_states_per_insn 1 total_states 51 peak_states 51 mark_read 13
"""

# Linux 5.10, by bcc
BY_BCC = """\
bpf: Failed to load program: Permission denied
; int bt_tap_ring_enter(void *ctx)
0: (bf) r6 = r1
1: (61) r2 = *(u32 *)(r1 +4096)
invalid bpf_context access off=4096 size=4
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0

HINT: The invalid mem access 'inv' error can happen if you try to dereference memory without first using
bpf_probe_read_kernel() to copy it to the BPF stack.
"""


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (NEWEST, "R6 invalid mem access 'scalar' (program tap_ring_enter, instruction 49: (71) r2 = *(u8 *)(r6 +61))"),
        (
            CURRENT,
            "value -9223372036854775805 makes map_value pointer be out of bounds (program tap_ring_enter, "
            "instruction 675: (0f) r2 += r8)",
        ),
        (
            BY_BCC,
            "invalid bpf_context access off=4096 size=4 (program tap_ring_enter, instruction 1: (61) r2 = *(u32 *)"
            "(r1 +4096))",
        ),
        ("0: (b7) r0 = 0\n1: (7b) *(u64 *)(r10", "the kernel gives no reason"),  # cut off
        (
            "BPF program is too large. Processed 1000001 insn\nverification time 900 usec\nstack depth 8\n"
            "processed 1000001 insns",
            "BPF program is too large. Processed 1000001 insn",
        ),
        ("Invalid argument", "Invalid argument"),
        (
            "bpf: Failed to load program: Operation not permitted\n",
            "bpf: Failed to load program: Operation not permitted",
        ),
        ("", "the kernel gives no reason"),
    ],
)
def test_the_sentence_is_the_verifiers_own(log, sentence):
    refusal = Refusal("fentry tpacket_rcv", "tap_ring_enter", log)
    assert refusal.sentence == sentence
    assert str(refusal) == f"fentry tpacket_rcv: {sentence}"
