# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices the kernel side is told to trace, its maps being dicts here; and what becomes of what the kernel
refuses."""

from functools import partial
from types import SimpleNamespace

import pytest
from shell import BCCS, as_root, bondtrace, failure, other_bcc

from bondtrace.capture.host.devices import Family
from bondtrace.capture.kernel import btf, loader
from bondtrace.capture.kernel.filter import make_filter
from bondtrace.capture.kernel.plan import Plan, Stage
from bondtrace.capture.kernel.verifier import Refusal
from bondtrace.errors import BondtraceError

BELOW, ABOVE = 1, 2  # FOLLOW_LOWER and FOLLOW_UPPER of bpf/pass.c
SEVERAL = (1 << 64) - 1


class Map(dict):
    """As bcc's, keys and values of ctypes; ``plain`` is what it holds."""

    def __setitem__(self, key, value):
        super().__setitem__(key.value, value.value)

    def __delitem__(self, key):
        super().__delitem__(key.value)

    def items(self):
        return [(SimpleNamespace(value=key), SimpleNamespace(value=value)) for key, value in super().items()]

    @property
    def plain(self):
        return dict(super().items())


@pytest.fixture
def tracer():
    one = loader.Tracer.__new__(loader.Tracer)
    one._bpf, one._devices = {"devices": Map(), "places": Map()}, set()
    return one


def key(netns, ifindex):
    return netns << 32 | ifindex


def set_devices(tracer, below, above=()):
    tracer.set_devices(Family(set(below), set(above)))
    return tracer._bpf["devices"].plain, {place: one for place, one in tracer._bpf["places"].plain.items() if one}


def joins(tracer, netns, ifindex):
    """What bpf/join.c does."""
    dict.__setitem__(tracer._bpf["devices"], key(netns, ifindex), BELOW)
    dict.__setitem__(tracer._bpf["places"], ifindex % 4096, key(netns, ifindex))


def test_a_device_is_traced_with_what_is_to_follow_it(tracer):
    assert set_devices(tracer, {(7, 2), (7, 5)}, {(7, 5), (7, 6)}) == (
        {key(7, 2): BELOW, key(7, 5): BELOW | ABOVE, key(7, 6): ABOVE},
        {2: key(7, 2), 5: key(7, 5), 6: key(7, 6)},
    )


def test_devices_that_share_a_place_are_looked_up(tracer):
    assert set_devices(tracer, {(7, 2), (8, 2), (7, 2 + 4096)})[1] == {2: SEVERAL}
    assert set_devices(tracer, {(8, 2)}) == ({key(8, 2): BELOW}, {2: key(8, 2)})


def test_what_joined_stays_until_its_notification_was_read(tracer):
    # given a device that joins while another notification is dealt with
    set_devices(tracer, {(7, 5)})
    joins(tracer, 7, 2)
    expected = {key(7, 2): BELOW, key(7, 5): BELOW}, {2: key(7, 2), 5: key(7, 5)}
    assert set_devices(tracer, {(7, 5)}) == expected
    # then its own confirms it
    assert set_devices(tracer, {(7, 5), (7, 2)}) == expected
    assert set_devices(tracer, {(7, 5)}) == ({key(7, 5): BELOW}, {5: key(7, 5)})


def test_a_link_that_failed_is_undone_with_the_next_change_but_one(tracer):
    set_devices(tracer, {(7, 5)})
    joins(tracer, 7, 2)
    set_devices(tracer, {(7, 5)})
    assert set_devices(tracer, {(7, 5)}) == ({key(7, 5): BELOW}, {5: key(7, 5)})


def test_a_place_that_a_join_has_overwritten_is_mended(tracer):
    # given devices of two namespaces with one number, the second set while the first joined
    set_devices(tracer, {(7, 2)})
    joins(tracer, 8, 2)
    assert set_devices(tracer, {(7, 2), (8, 2)})[1] == {2: SEVERAL}


def test_at_the_end_nothing_is_traced_not_even_what_has_just_joined(tracer):
    set_devices(tracer, {(7, 5)})
    joins(tracer, 7, 2)
    assert set_devices(tracer, ()) == ({}, {})


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
            "the kernel does not take the filter 'icmp'",
        ),
        ([stage("receive"), stage("transmit", str(REFUSED))], True, ("rx",), None),
        ([stage("receive"), stage("transmit", "no function")], True, ("rx", "tx"), None),
        ([stage("receive"), stage("transmit", str(REFUSED))], False, ("rx", "tx"), None),
        ([stage("receive", "no function"), stage("transmit", "none")], False, ("rx", "tx"), "no probe can be attached"),
        ([stage("receive", "no function"), stage("transmit")], False, ("rx",), "no probe can be attached"),
    ],
)
def test_packets_are_required_and_a_filter_is_blamed_only_for_what_it_did(stages, filtered, directions, message):
    tracer = loader.Tracer.__new__(loader.Tracer)
    tracer.plan, tracer.refusals = Plan(tuple(stages)), [REFUSED]
    tracer._filter = make_filter("icmp") if filtered else None
    if message is None:
        tracer.require_packets(directions)
        return
    with pytest.raises(BondtraceError, match=message):
        tracer.require_packets(directions)


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
