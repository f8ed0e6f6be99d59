"""The load loops against a server that can be told to misbehave."""

import sys

import numpy as np
import pytest
from search_server import plan_for, running

from validation.errors import MeasurementError
from validation.load.loops import open_loop, serial


@pytest.fixture
def server():
    with running() as pair:
        yield pair


def test_serial_measures_every_request_after_the_warm_up(server):
    told, address = server
    found = serial(plan_for(address), n=9, warmup=3)
    assert found.n == 9
    assert np.isfinite(found.latencies_ms).all()
    assert found.broken_off is None
    assert [request.collection_name for request in told.seen[3:]] == [
        f"q{number % 4}" for number in range(9)
    ]


def test_requests_carry_identity_and_database(server):
    told, address = server
    serial(plan_for(address), n=1)
    assert told.metadata[0]["dbname"] == "default"
    assert told.metadata[0]["authorization"] == "cm9vdDpzZWNyZXQ="


def test_a_delayed_reply_shows_in_the_latency(server):
    told, address = server
    told.delay = lambda number: 1.0 if number == 5 else 0
    found = serial(plan_for(address), n=10)
    assert np.argmax(found.latencies_ms) == 5
    assert found.latencies_ms[5] >= 1_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": 65535}, "Milvus code 65535: told to"),
        ({"hits": 3}, "incomplete: 3 of 10 hits"),
    ],
)
def test_a_reply_that_is_wrong_or_incomplete_is_a_failure(server, change, said):
    told, address = server
    vars(told).update(change)
    found = serial(plan_for(address), n=5)
    assert found.failed.sum() == 5
    assert found.errors == {said: 5}


def test_fewer_hits_are_complete_where_fewer_rows_match(server):
    told, address = server
    told.hits = 3
    assert serial(plan_for(address, hits=3), n=5).failed.sum() == 0


def test_a_server_that_hangs_cannot_hang_the_serial_loop(server, monkeypatch):
    told, address = server
    told.hang_from = 2
    # The deadline must leave a busy host time to connect and to answer, so few may run out.
    monkeypatch.setattr("validation.load.loops.FAILURES_IN_A_ROW", 3)
    found = serial(plan_for(address, deadline=1.0), n=1_000)
    assert found.n == 2 + 3
    assert "3 requests in a row failed: gRPC DEADLINE_EXCEEDED" in str(found.broken_off)
    assert found.evidence()["broken_off"] == found.broken_off


def test_a_serial_loop_ends_when_its_time_is_over(server):
    told, address = server
    told.delay = lambda _: 0.05
    found = serial(plan_for(address), n=1_000, max_seconds=0.3)
    assert 0 < found.n < 10
    assert "of 1000 requests" in str(found.broken_off)


def test_nobody_listening_is_counted_not_raised():
    found = serial(plan_for("127.0.0.1:1"), n=3)
    assert found.errors == {"no connection: Connection refused": 3}


def test_the_open_loop_sends_the_offered_number_of_requests(server):
    told, address = server
    found = open_loop(plan_for(address), rate=100, seconds=0.5, warmup=2)
    assert found.n == 50
    assert len(told.seen) == 52
    assert found.failed.sum() == 0
    assert (found.latencies_ms > 0).all()


def test_a_stalled_server_makes_the_searches_behind_it_late():
    """The one worker of the server stalls once; a closed loop would see a single slow reply."""
    with running(threads=1) as (told, address):
        told.delay = lambda number: 0.4 if number == 12 else 0
        found = open_loop(plan_for(address), rate=50, seconds=1, arrivals="constant", warmup=2)
    late = found.latencies_ms > 100
    assert late.sum() >= 10
    assert found.failed.sum() == 0


def test_a_server_that_hangs_cannot_hang_the_open_loop(server):
    told, address = server
    told.hang_from = 2 + 5
    found = open_loop(plan_for(address, deadline=2.0), rate=50, seconds=0.4, warmup=2)
    assert found.n == 20
    assert np.isinf(found.latencies_ms).sum() == 15
    assert found.errors == {"gRPC DEADLINE_EXCEEDED": 15}


def test_two_workers_share_the_requests(server):
    told, address = server
    found = open_loop(plan_for(address), rate=60, seconds=0.5, warmup=0, workers=2)
    assert found.n == len(told.seen) == 30
    assert found.failed.sum() == 0


def test_a_worker_that_dies_is_an_error_with_a_next_step(monkeypatch, server):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MeasurementError, match="worker process"):
        open_loop(plan_for(server[1]), rate=10, seconds=0.1)
