"""The engine in this process, against a gRPC server that can be told to misbehave."""

import dataclasses
import socket
import threading
import time

import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2
from search_server import plan_for, running

from validation.load.engine import DEADLINE, RATE_LIMITED, Engine
from validation.load.record import Feed
from validation.load.replies import read
from validation.load.status import rate_limited


def run(plan, feed, **options):
    with Engine(plan, **options) as engine:
        return engine.run(feed)


def wrong(plan, record):
    numbers = np.arange(len(record.replies))
    found = read(plan, numbers, record.failures, record.replies)
    return [failure for failure in found.failures if failure]


def test_as_many_requests_are_under_way_as_were_asked_for():
    with running() as (told, address):
        together, most = threading.Barrier(8, timeout=20), []

        def wait_for_the_others(_):
            most.append(together.wait(timeout=30))
            return 0.0

        told.delay = wait_for_the_others
        plan = plan_for(address)
        record = run(plan, Feed(np.arange(16), under_way=8))
    assert wrong(plan, record) == []
    assert len(most) == 16


def test_a_server_that_takes_one_call_at_once_is_given_one():
    with running() as (told, address):
        inside, most = threading.Semaphore(0), []

        def count(_):
            inside.release()
            time.sleep(0.01)
            most.append(inside._value)
            inside.acquire()
            return 0.0

        plan = plan_for(address)
        with Engine(plan) as engine:
            engine.run(Feed(np.arange(1)))
            told.delay = count
            calls = engine.channels[0].calls
            assert calls is not None
            calls._most = 1
            record = engine.run(Feed(np.arange(10), under_way=8))
    assert wrong(plan, record) == []
    assert most == [1] * 10


def test_calls_take_turns_on_the_connections():
    with running() as (told, address):
        told.delay = lambda _: 0.02
        plan = plan_for(address)
        record = run(plan, Feed(np.arange(30), under_way=6), connections=3)
    assert wrong(plan, record) == []
    assert len(told.peers) == 3


def test_a_server_that_limits_the_rate_is_asked_again_and_it_is_counted():
    with running() as (told, address):
        told.code, told.code_until = 8, 2
        plan = plan_for(address)
        record = run(plan, Feed(np.arange(4)))
    assert wrong(plan, record) == []
    assert record.limited == 2
    waited = record.done_s - record.due_s
    assert waited[0] >= 0.01 + 0.03
    assert len(told.seen) == 6


def test_a_server_that_limits_the_rate_for_good_is_a_failure_of_its_kind():
    with running() as (told, address):
        told.code = 8
        record = run(plan_for(address, deadline=3), Feed(np.arange(2), under_way=2))
    assert record.failures == [RATE_LIMITED] * 2


def test_a_server_that_went_away_is_told_by_kind_and_found_when_it_is_back():
    with running() as (_, address):
        plan = plan_for(address)
        port = int(address.rpartition(":")[2])
    with Engine(plan) as engine:
        dead = engine.run(Feed(np.arange(3)))
        assert set(dead.failures) == {"no connection: Connection refused"}
        with running(port=port):
            record = engine.run(Feed(np.arange(30), np.arange(30) * 0.1))
    assert set(record.failures) <= {"", "no connection: Connection refused"}
    assert record.failures[-1] == ""


def test_calls_under_way_fail_with_the_connection():
    with running() as (told, address):
        told.hang_from = 0
        plan = plan_for(address, deadline=20)

        def cut():
            while len(told.seen) < 2:
                time.sleep(0.01)
            connected = engine.channels[0].socket
            assert connected is not None
            connected.shutdown(socket.SHUT_RDWR)

        with Engine(plan) as engine:
            cutter = threading.Thread(target=cut)
            cutter.start()
            record = engine.run(Feed(np.arange(2), under_way=2))
            cutter.join(timeout=30)
    assert {failure.partition(":")[0] for failure in record.failures} == {"connection lost"}


def test_a_call_past_its_deadline_is_given_up():
    with running() as (told, address):
        told.hang_from = 0
        record = run(plan_for(address, deadline=0.2), Feed(np.arange(3), np.zeros(3)))
    assert record.failures == [DEADLINE] * 3
    assert (record.done_s - record.sent_s >= 0.2).all()


def test_something_that_speaks_another_protocol_is_named(httpserver_socket):
    plan = plan_for(httpserver_socket)
    assert set(run(plan, Feed(np.arange(1))).failures) == {"HTTP/2: the server does not speak it"}


@pytest.fixture
def httpserver_socket():
    import http.server  # noqa: PLC0415

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(timeout=30)
    server.server_close()


def test_nothing_of_a_plan_that_is_repeated_is_left_out():
    with running() as (told, address):
        plan = dataclasses.replace(plan_for(address), deadline=20)
        run(plan, Feed(np.array([3, 2, 9])))
    assert [request.collection_name for request in told.seen] == ["q3", "q2", "q1"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"code": 8, "reason": "rate limit exceeded"}, True),
        ({"error_code": common_pb2.RateLimit, "reason": "r" * 300}, True),
        ({"code": 0}, False),
        ({"code": 65535, "reason": "\x18\x08"}, False),
        ({"code": 2200, "retriable": True}, False),
    ],
)
def test_a_rate_limit_is_read_from_the_bytes_of_a_reply(status, said):
    reply = milvus_pb2.SearchResults(status=common_pb2.Status(**status), collection_name="c")
    reply.results.topks.append(8)
    assert rate_limited(reply.SerializeToString()) == said


@pytest.mark.parametrize(
    "reply", [b"", b"\n", b"\n\xff", b"\n\x05\x18", b"\x12\x00", b"\n\x01\x1d"]
)
def test_bytes_that_are_no_reply_are_no_rate_limit(reply):
    assert not rate_limited(reply)
