# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals that end a command: as an exception, or in good order; and what is being ignored stays so."""

import signal

import pytest

from bondtrace.util.signals import Ended, on_signals, on_signals_end, signals_noted

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    """Those of a new process, and afterwards those of before."""
    before = {number: signal.getsignal(number) for number in ENDS}
    for number in ENDS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_raised_and_no_handler_of_errors_takes_it(number):
    on_signals_end()

    with pytest.raises(Ended) as caught:
        try:
            signal.raise_signal(number)
        except Exception as error:
            pytest.fail(f"taken for a failure: {error!r}")
    assert caught.value.number == number


def test_an_interrupt_is_left_to_python():
    on_signals_end()

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", ENDS)
def test_a_trace_is_told_to_stop_each_time(number):
    stops = []
    on_signals(lambda: stops.append(number))

    signal.raise_signal(number)
    signal.raise_signal(number)

    assert stops == [number] * 2


@pytest.mark.parametrize("take", [on_signals_end, lambda: on_signals(lambda: pytest.fail("it stops"))])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(take, number):
    signal.signal(number, signal.SIG_IGN)  # as nohup does

    take()
    signal.raise_signal(number)

    assert signal.getsignal(number) == signal.SIG_IGN


def test_a_trace_takes_the_signals_that_would_have_ended_it():
    stops = []
    on_signals_end()
    on_signals(lambda: stops.append(1))

    signal.raise_signal(signal.SIGTERM)

    assert stops == [1]


@pytest.mark.parametrize("second, ended", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Ended)])
def test_the_first_signal_is_noted_and_the_second_ends(second, ended):
    on_signals_end()
    with pytest.raises(ended), signals_noted() as noted:
        signal.raise_signal(signal.SIGHUP)
        assert noted == [signal.SIGHUP]
        signal.raise_signal(second)
    # and afterwards each ends as before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_is_ignored_is_not_noted_either():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals_noted() as noted:
        signal.raise_signal(signal.SIGHUP)
    assert noted == [] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
