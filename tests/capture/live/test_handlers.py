# SPDX-License-Identifier: GPL-2.0-or-later
"""rx_handlers are attached as they come into use, and functions are named once."""

import pytest

from bondtrace.capture.kernel.plan import Probe, Stage
from bondtrace.capture.kernel.symbols import Addresses
from bondtrace.capture.live.handlers import FunctionNames, HandlerFollower, loading_of
from bondtrace.format.wire import EMPTY
from build import ADDRESSES, drop, received, rx

MODULES = {"bond_handle_frame": "bonding", "br_handle_frame": "bridge"}


class Kernel:
    """Modules with a number for each loading; attaches to any function."""

    def __init__(self):
        self.loading, self.attached = 10, []

    def attach(self, function):
        self.attached.append(function)
        return Stage(function, "its verdicts", "", (Probe("p", function, function, MODULES[function], "kprobe"),))

    def follower(self):
        return HandlerFollower(
            {"bond_handle_frame": MODULES["bond_handle_frame"]}, self.attach, lambda module: self.loading
        )


@pytest.fixture
def kernel():
    return Kernel()


def test_what_was_attached_at_the_start_is_left_alone(kernel):
    assert kernel.follower().follow({"bond_handle_frame"}, 7) == ([], [])
    assert kernel.attached == []


def test_what_comes_into_use_is_attached_once(kernel):
    handlers = kernel.follower()

    [event], notes = handlers.follow({"bond_handle_frame", "br_handle_frame"}, 7)

    assert notes == [] and kernel.attached == ["br_handle_frame"]
    assert (event["kind"], event["time_ns"], event["stage"]["name"]) == ("stage", 7, "br_handle_frame")
    assert (event["stage"]["handler"], event["stage"]["probes"]) == (True, ["kprobe br_handle_frame"])
    assert handlers.follow({"br_handle_frame"}, 8) == ([], []) and handlers.knows("br_handle_frame")


def test_a_module_that_was_loaded_anew_is_attached_to_again(kernel):
    handlers = kernel.follower()
    kernel.loading = 11

    [event], notes = handlers.follow({"bond_handle_frame"}, 7)

    assert (kernel.attached, event["kind"]) == (["bond_handle_frame"], "stage")
    assert notes == ["module bonding was reloaded: bond_handle_frame is attached again"]


def test_a_module_that_is_not_in_use_is_not_looked_at(kernel):
    handlers = kernel.follower()
    kernel.loading = 11

    assert handlers.follow(set(), 7) == ([], [])


def test_the_kernel_itself_has_no_loadings():
    assert loading_of("") is loading_of("no-such-module") is None


KALLSYMS = b"".join(b"ffffffff%08x t %s\n" % (address, name.encode()) for name, address in ADDRESSES.items())


def test_functions_are_named_once_and_symbols_are_read_for_new_ones_only():
    reads = []
    names = FunctionNames(lambda: reads.append(1) or Addresses(KALLSYMS))

    events, handlers = names.follow(received(), None, 7)

    assert [(one["kind"], one["name"]) for one in events] == [("symbol", "bond_handle_frame")]
    assert handlers == [] and len(reads) == 1
    assert names.follow(received(), None, 8) == ([], []) and len(reads) == 1
    assert names.follow(EMPTY, None, 8) == ([], [])
    [event], _ = names.follow(rx("eth0", drop("NOT_SPECIFIED")), None, 9)
    assert event["name"] == "sch_handle_ingress"


def test_an_rx_handler_that_no_device_told_of_is_given_back():
    passes = received()
    passes.records["sender"] = ADDRESSES["br_handle_frame"]

    events, handlers = FunctionNames(lambda: Addresses(KALLSYMS)).follow(passes, None, 7)

    assert handlers == ["br_handle_frame"]
    assert {one["name"] for one in events} == {"bond_handle_frame", "br_handle_frame"}


def test_without_symbols_nothing_is_named():
    assert FunctionNames(lambda: Addresses(b"")).follow(received(), None, 7) == ([], [])


def test_the_function_whose_netfilter_hook_dropped_a_packet_is_named():
    hooked = drop("NETFILTER_DROP", "nf_hook_slow", by="nf_hook_slow", decided_by=ADDRESSES["br_handle_frame"])
    chain = drop("NETFILTER_DROP", "nf_hook_slow", by="nft_do_chain", decided_by=ADDRESSES["ip_rcv_core"])

    events, _ = FunctionNames(lambda: Addresses(KALLSYMS)).follow(rx("eth0", hooked, chain), None, 7)

    assert {one["name"] for one in events} == {"br_handle_frame", "nf_hook_slow"}
