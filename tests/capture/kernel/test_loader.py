# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of what the kernel refuses, and of what a host lacks."""

from functools import partial

import pytest
from shell import BCCS, as_root, bondtrace, failure, other_bcc

from bondtrace.capture.kernel import btf, loader
from bondtrace.capture.kernel.plan import Plan, Stage
from bondtrace.capture.kernel.verifier import Refusal
from bondtrace.errors import BondtraceError
from bondtrace.net.pcap import make_filter

# --- what the kernel refuses ---------------------------------------------------------------------------


def stage(name, missing=""):
    return Stage(name, f"tells {name}", f"without {name}", (), missing)


class Attempt:
    """A tracer that refuses its plan's stages as it is told, in place of one in the kernel."""

    def __init__(self, refused, refusals, closed):
        self.refused, self.refusals, self._closed = frozenset(refused), list(refusals), closed

    def attach(self):
        if self.refused == {"crash"}:
            raise KeyError("no such type")

    def close(self):
        self._closed.append(self)


def test_what_was_refused_is_kept_while_the_kernel_is_asked_for_less():
    closed, asked = [], []
    typed, raw, drop = (
        Refusal(probe, program, "no")
        for probe, program in (
            ("typed_tracepoint netif_receive_skb", "rx_packet"),
            ("raw_tracepoint kfree_skb", "drop"),
            ("raw_tracepoint kfree_skb", "drop"),
        )
    )
    attempts = [Attempt({"netif_receive_skb"}, [typed, raw], closed), Attempt((), [drop], closed)]
    tracer = loader.attached(lambda plan: attempts[len(asked) - 1], lambda refused: asked.append(refused))
    # then it is asked without the typed program, and each refusal is told once
    assert asked == [frozenset(), frozenset({"netif_receive_skb"})]
    assert tracer.refusals == [typed, drop]
    assert closed == attempts[:1]


def test_a_tracer_that_fails_is_closed():
    closed = []
    with pytest.raises(KeyError):
        loader.attached(lambda plan: Attempt({"crash"}, (), closed), lambda refused: None)
    assert len(closed) == 1


REFUSED = Refusal("fentry dev_queue_xmit_nit", "tx_enter", "R1 invalid")


@pytest.mark.parametrize(
    ("stages", "filtered", "directions", "message"),
    [
        ([stage("receive"), stage("transmit")], True, ("rx", "tx"), None),
        (
            [stage("receive"), stage("transmit", str(REFUSED))],
            True,
            ("rx", "tx"),
            "the kernel does not accept the filter 'icmp'",
        ),
        ([stage("receive"), stage("transmit", str(REFUSED))], True, ("rx",), None),
        ([stage("receive"), stage("transmit", "no function")], True, ("rx", "tx"), None),
        ([stage("receive"), stage("transmit", str(REFUSED))], False, ("rx", "tx"), None),
        ([stage("receive", "no function"), stage("transmit", "none")], False, ("rx", "tx"), "no probe can be attached"),
        ([stage("receive", "no function"), stage("transmit")], False, ("rx",), "no function; `bondtrace doctor`"),
    ],
)
def test_packets_are_required_and_a_filter_is_blamed_only_for_what_it_did(stages, filtered, directions, message):
    packet_filter = make_filter("icmp") if filtered else None
    if message is None:
        loader.require_packets(Plan(tuple(stages)), [REFUSED], packet_filter, directions)
        return
    with pytest.raises(BondtraceError, match=message):
        loader.require_packets(Plan(tuple(stages)), [REFUSED], packet_filter, directions)


# --- what a host lacks --------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("text, said", BCCS)
def test_a_bcc_that_is_missing_or_another_is_told_with_the_package_to_install(tmp_path, text, said):
    place = other_bcc(tmp_path, text)
    done = bondtrace("--iface", "lo", path=[place])

    assert failure(done, 1) == f"bondtrace: {said.replace('TMP', str(place))}\n"


def test_a_kernel_without_type_information_is_told(tmp_path, monkeypatch):
    # given a host without /sys/kernel/btf
    monkeypatch.setattr(loader, "read_kernel_btf", partial(btf.read_kernel_btf, directory=tmp_path))

    with pytest.raises(BondtraceError) as caught:
        loader.read_kernel()

    assert (caught.value.exit_status, str(caught.value)) == (
        1,
        f"this kernel has no type information ({tmp_path}/vmlinux: No such file or directory); bondtrace needs a "
        "kernel built with CONFIG_DEBUG_INFO_BTF=y",
    )
