"""Clients that are held up, as the selftest does it, void what they measured."""

import dataclasses

import pytest
from search_server import plan_for, running

from validation.load import loops, workers
from validation.runs.profiles import profile_named
from validation.selftest import plants
from validation.selftest.wire.stalls import Stalls

PROFILE = profile_named("selftest")
SHORT = Stalls(0.3, 0.15)


@pytest.fixture
def searches():
    with running() as (told, address):
        told.delay = lambda _: 0.004
        yield plan_for(address)


def standing_still(monkeypatch, stalls):
    make = plants.standing_still(stalls)
    monkeypatch.setattr(workers, "_worker", make(workers._worker, PROFILE))


def test_a_client_that_stands_still_voids_searches_one_after_the_other(searches, monkeypatch):
    standing_still(monkeypatch, SHORT)
    samples = loops.serial(searches, n=100)
    assert not samples.failed.any()
    assert "stood still" in str(samples.void)


def test_a_client_that_stands_still_voids_searches_at_a_rate(searches, monkeypatch):
    standing_still(monkeypatch, SHORT)
    samples = loops.open_loop(searches, rate=50, seconds=1, warmup=1)
    assert not samples.failed.any()
    assert samples.void


def test_a_client_that_counts_from_sending_cannot_hide_that_it_sent_late(searches, monkeypatch):
    standing_still(monkeypatch, Stalls(0.6, 0.4))
    made = plants.counted_from_sending(loops._samples, PROFILE)
    monkeypatch.setattr(loops, "_samples", made)
    samples = loops.open_loop(searches, rate=50, seconds=2, warmup=1)
    assert samples.void
    hidden = dataclasses.replace(samples, lag_ms=samples.lag_ms * 0, own_ms=samples.own_ms * 0)
    assert "its schedule" not in str(hidden.void)


def test_stalls_begin_together_wherever_their_clock_is_read(monkeypatch):
    stalls, now = Stalls(4.0, 1.5), [8.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert (stalls.left(), stalls.ahead()) == (1.5, 0.0)
    now[0] = 9.0
    assert (stalls.left(), stalls.ahead()) == (0.5, 0.0)
    now[0] = 10.0
    assert (stalls.left(), stalls.ahead()) == (0.0, 2.0)
