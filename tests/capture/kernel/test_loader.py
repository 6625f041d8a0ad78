# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of what the kernel refuses, and of what a host lacks."""

from functools import partial

import pytest
from kernel_map import KernelMap
from shell import BCCS, as_root, bondtrace, failure, other_bcc

from bondtrace.capture.kernel import btf, loader, plan
from bondtrace.capture.kernel.maps import number, word
from bondtrace.capture.kernel.plan import Plan, Stage
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.capture.kernel.verifier import Refusal
from bondtrace.errors import BondtraceError
from bondtrace.format.stages import QUEUE_OUTCOMES, RING_REFUSALS
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


# --- what is attached for as long as it is needed -----------------------------------------------------------


class Attacher(set):
    """The attached probes, in place of those in a kernel; ``refuses`` those of a program."""

    refuses = ""

    def __init__(self):
        super().__init__()
        self.detached = []

    def attach(self, probe):
        if probe.program == self.refuses:
            raise OSError(13, "Permission denied")
        self.add(probe)

    def detach(self, probe):
        self.remove(probe)
        self.detached.append(probe.program)


@pytest.fixture
def tracer():
    """A tracer of a plan whose stages for taps wait; what the kernel side is told is in ``maps``."""
    abilities = plan.Abilities({name: Symbol(name) for name in wanted_functions()}, lambda name, module: True, True)
    made = loader.Tracer.__new__(loader.Tracer)
    made.plan = plan.make(abilities, ())
    made.refused, made.refusals, made._attacher, made._attachments = frozenset(), [], Attacher(), 0
    made.maps = {"watched": KernelMap()}
    return made


def test_the_kernel_side_knows_what_is_attached_of_what_outcomes_depend_on(tracer):
    told = tracer.maps["watched"].held
    both = [tracer.attach_stage(name) for name in (QUEUE_OUTCOMES, RING_REFUSALS)]
    # then both share a probe, which was there all the time, and each has a number of its own
    assert tracer._attacher.detached == []
    assert [stage.missing for stage in both] == ["", ""]
    assert sorted(probe.program for probe in tracer._attacher) == ["tap_queued", "tap_refused"]
    assert told == {word(0): word(1, 8), word(1): word(2, 8)}

    tracer.detach_stage(QUEUE_OUTCOMES)
    # then what the other needs stays, and the one that is gone waits
    assert [probe.program for probe in tracer._attacher] == ["tap_refused"]
    assert told == {word(0): word(0, 8), word(1): word(2, 8)}
    assert QUEUE_OUTCOMES in {stage.name for stage in tracer.plan.waiting}

    tracer.attach_stage(QUEUE_OUTCOMES)
    assert number(told[word(0)]) not in (0, 1, 2), "a tap that ran meanwhile is to see that it was away"
    tracer.detach_stage(RING_REFUSALS)
    tracer.detach_stage(QUEUE_OUTCOMES)
    assert not tracer._attacher and {number(one) for one in told.values()} == {0}


def test_what_cannot_be_attached_later_is_told_and_not_taken_for_attached(tracer):
    told = tracer.maps["watched"].held
    tracer._attacher.refuses = "tap_queued"
    stage = tracer.attach_stage(QUEUE_OUTCOMES)
    assert "sock_def_readable" in stage.missing and stage.probes == ()
    assert told == {} and not tracer._attacher
