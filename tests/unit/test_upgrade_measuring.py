"""Rounds where something is refused: what was measured stands, and every failure is counted."""

import contextlib
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from validation.datasets.generated import generate
from validation.errors import MeasurementError, UnreachableError
from validation.milvus import loading, searching
from validation.upgrade import measuring, settling
from validation.upgrade.measuring import NULL
from validation.upgrade.plan import OPERATIONS
from validation.upgrade.side import Measured


def stub(**held) -> Any:
    return SimpleNamespace(**held)


def samples(failed, void):
    latencies = np.r_[np.full(failed, np.inf), np.ones(5)]
    return stub(latencies_ms=latencies, failed=np.isinf(latencies), void=void)


@pytest.fixture
def round_(monkeypatch):
    """A round whose requests all succeed; what a test wants to fail it replaces."""
    client = stub(release_collection=lambda *_, **__: None, delete=lambda *_, **__: None)
    connection = stub(
        client=client,
        timeout=1,
        wire=stub(limited={}),
        explained=lambda _: contextlib.nullcontext(),
    )
    for module, name in (
        (loading, "insert"),
        (loading, "flush"),
        (loading, "load_for_search"),
        (searching, "search"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(measuring, "closed_loop", lambda *_, **__: samples(0, None))
    made = measuring._Round(connection, generate(100, 4, queries=2), Measured(server="v"), "", None)
    made.plain = made.filtered = made.null = stub()
    made.rows = made.dataset
    return made


def refuse(*_, **__):
    raise MeasurementError("refused")


def test_a_release_that_is_refused_leaves_the_rounds_before_and_counts_as_failed(round_):
    round_.run(0)
    round_.connection.client.release_collection = refuse
    round_.run(1)
    assert {of: len(rounds) for of, rounds in round_.found.rounds.items()} == dict.fromkeys(
        OPERATIONS, 2
    )
    for of in ("load", "cold search"):
        assert round_.found.failed[of] == 1
        assert [math.isinf(one) for (one,) in round_.found.rounds[of]] == [False, True]
    assert sum(round_.found.failed.values()) == 2


@pytest.mark.parametrize(("of", "failed"), [("search", 3), (NULL, 0)])
def test_searches_that_failed_in_a_try_that_was_not_kept_failed_all_the_same(
    round_, monkeypatch, of, failed
):
    tries = iter([samples(3, "starved"), samples(0, None)])
    monkeypatch.setattr(measuring, "closed_loop", lambda *_, **__: next(tries))
    assert round_._searches(of, round_.plain) == [1.0] * 5
    assert round_.found.failed.get(of, 0) == failed
    assert round_.found.void == {}


def test_a_store_that_refuses_is_a_control_that_failed(monkeypatch):
    storage = stub(access_key="a", bucket="b")
    connection = stub(target=stub(storage=storage))
    monkeypatch.setattr(measuring.objects, "listed", lambda *_: (None, [stub(key="one")]))
    monkeypatch.setattr(measuring, "connect_store", lambda *_, **__: None)
    monkeypatch.setattr(measuring, "translated", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(measuring, "read_object", refuse)
    monkeypatch.setattr(
        measuring.null_server, "running", lambda _: contextlib.nullcontext("nowhere")
    )
    with contextlib.ExitStack() as cleanup:
        _, reads = measuring._controls(connection, cleanup)
        assert reads is not None
        assert reads() == [math.inf]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"docs": [1], "scratch": [9]}, ""),
        ({"docs": [2], "scratch": [1]}, "segments of docs changed"),
        ({"docs": [1], "new": [1]}, "segments of new changed"),
        ({}, "segments of docs changed"),
    ],
)
def test_segments_that_changed_while_rounds_were_measured_are_named(monkeypatch, after, said):
    monkeypatch.setattr(settling, "settle", lambda _: "")
    monkeypatch.setattr(settling, "segments", lambda _: after)
    before = {"docs": [1], "scratch": [1]}
    assert settling.changed_since(stub(), before, but="scratch") == said


@pytest.mark.parametrize("error", [MeasurementError, UnreachableError])
def test_a_server_that_does_not_come_to_rest_after_the_rounds_is_told_and_they_stand(
    monkeypatch, error
):
    def restless(_):
        raise error("the server has not come to rest within 600 s")

    monkeypatch.setattr(settling, "settle", restless)
    assert "not come to rest" in settling.changed_since(stub(), {}, but="scratch")


@pytest.mark.parametrize(("refusals", "seconds", "tried"), [(2, 60, 3), (9, 0, 1)])
def test_a_collection_is_asked_for_until_it_can_be_created(monkeypatch, refusals, seconds, tried):
    asked = []

    def create(*_, **__):
        asked.append(1)
        if len(asked) <= refusals:
            raise UnreachableError("no answer in time")

    monkeypatch.setattr(loading, "create", create)
    monkeypatch.setattr(measuring, "drop_ours", lambda *_: None)
    monkeypatch.setattr(measuring, "_PAUSE_SECONDS", 0)
    measuring.await_creating(stub(), generate(100, 4, queries=1), seconds=seconds)
    assert len(asked) == tried
