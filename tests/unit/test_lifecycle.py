"""Stages in a segment's life, and the faults that come only in one of them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2

from validation.answers.model import Answers
from validation.datasets.generated import generate
from validation.datasets.ground_truth import exact
from validation.lifecycle import following, growth
from validation.lifecycle.searches import Search, Searches, overlaps
from validation.lifecycle.watching import Watcher
from validation.milvus.indexes import index_named
from validation.milvus.objects import Stored
from validation.milvus.segments import Segment
from validation.selftest.wire import lifecycle
from validation.selftest.wire.fault import Exchange
from validation.suite.checks.test_segments import milliseconds, rounds

TARGET = SimpleNamespace()
OLD, NEW, MERGED = (
    Segment(1, 500, "Flushed"),
    Segment(2, 500, "Flushed"),
    Segment(3, 950, "Flushed"),
)


def held(segment, *, indexed=True):
    return Segment(segment.number, segment.rows, "Sealed", frozenset({1}), index=8 * indexed)


@pytest.mark.parametrize(
    ("test", "stored", "in_memory", "holds"),
    [
        (following._sealed(1_000), [OLD], [], False),
        (following._sealed(1_000), [OLD, Segment(2, 500, "Sealed")], [], True),
        (following._flushed(1_000), [OLD, Segment(2, 500, "Sealed")], [], False),
        (following._flushed(1_000), [OLD, NEW], [], True),
        (following._served(1_000), [], [held(OLD), held(NEW, indexed=False)], False),
        (following._served(1_000), [], [held(OLD)], False),
        (following._served(1_000), [], [held(OLD), held(NEW)], True),
        (following._merged({1, 2}), [], [], False),
        (following._merged({1, 2}), [OLD, MERGED], [], False),
        (following._merged({1, 2}), [MERGED], [held(OLD)], True),
        (following._merged_served({1, 2}), [MERGED], [held(OLD)], False),
        (following._merged_served({1, 2}), [MERGED], [held(MERGED, indexed=False)], False),
        (following._merged_served({1, 2}), [MERGED], [held(MERGED)], True),
    ],
)
def test_each_change_is_told_by_segments_alone(test, stored, in_memory, holds):
    assert test(stored, in_memory) is holds


def test_what_was_seen_before_its_time_does_not_count_and_what_never_is_takes_for_ever():
    watcher = Watcher(TARGET, "mk")  # pyright: ignore[reportArgumentType]
    watcher.looks = [(1.0, [OLD], []), (2.0, [OLD, NEW], []), (3.0, [MERGED], [])]
    assert watcher.until(lambda stored, _: len(stored) == 2, since=0, seconds=1) == 2.0
    assert watcher.until(lambda stored, _: OLD in stored, since=2.5, seconds=1) == math.inf


def test_only_searches_that_began_and_ended_in_a_stage_are_of_it():
    searches = Searches(TARGET, "mk", TARGET, TARGET)  # pyright: ignore[reportArgumentType]
    searches.done = [Search(at, at + 1.0, 0) for at in (0.5, 1.0, 2.0, 2.5)]
    assert [one.began for one in searches.within(1.0, 3.0)] == [1.0, 2.0]
    assert milliseconds(searches.within(1.0, 3.0)).tolist() == [1_000, 1_000]
    assert Search(1.0, 1.1, 0, failed="refused").milliseconds == math.inf


def test_recall_is_against_the_rows_that_were_there_then():
    dataset = generate(1_100, 8, queries=3, seed=1)
    present = np.arange(1_100) % 2 == 0
    truth = exact(dataset.vectors, dataset.queries.vectors, 10, dataset.metric, mask=present)
    ids = np.asarray(dataset.ids)[truth.rows]
    half = ids.copy()
    half[:, 5:] = np.asarray(dataset.ids)[np.flatnonzero(~present)[:5]]

    def answered(ids):
        found = np.array([10])
        return [
            Search(0.0, 1.0, at, Answers(ids[at : at + 1], truth.distances[at : at + 1], found))
            for at in range(3)
        ]

    index = index_named("HNSW")
    assert overlaps(answered(ids), dataset, index, present).tolist() == [1, 1, 1]
    assert overlaps([], dataset, index, present).size == 0


def test_stretches_of_a_stage_have_a_median_each():
    assert rounds(np.repeat(np.arange(20.0), 5)).tolist() == list(range(20))


def test_growth_is_all_bytes_over_those_that_are_named(monkeypatch):
    stored = [
        Stored("insert_log", f"files/insert_log/1/2/{segment}/100/5", size)
        for segment, size in ((31, 10), (30, 25))
    ]
    monkeypatch.setattr(growth.objects, "listed", lambda *_: (1, stored))
    monkeypatch.setattr(growth.segments, "stored", lambda *_: [Segment(31, 5, "Flushed")])
    found = growth.of(TARGET, "mk", TARGET)  # pyright: ignore[reportArgumentType]
    assert found.ratio == 3.5
    assert growth.Growth(10, 0).ratio == math.inf


def of(message, **fields):
    return getattr(milvus_pb2, f"{message}Request")(**fields)


def test_a_fault_of_growing_rows_begins_after_the_first_flush_and_ends_with_the_next():
    test = lifecycle.WhileGrowing()
    name = "mk_1_segments"
    search, insert = (of(kind, collection_name=name) for kind in ("Search", "Insert"))
    flush = of("Flush", collection_names=[name])
    asked = [insert, search, flush, search, insert, search, search, flush, search]
    assert [test(one) for one in asked] == [False] * 5 + [True] * 2 + [False] * 2
    test(insert)
    assert not test(of("Search", collection_name="mk_1_generated"))


def test_a_fault_of_first_searches_is_of_loads_after_a_search_alone():
    test = lifecycle.FirstAfterLoad()
    load, search = (of(kind, collection_name="mk") for kind in ("LoadCollection", "Search"))
    asked = [load, search, search, load, search, search]
    assert [test(one) for one in asked] == [False, False, False, False, True, False]


def test_a_fault_of_indexes_ends_with_the_compaction():
    test = lifecycle.UntilCompaction()
    ask = of("GetQuerySegmentInfo", collectionName="mk_1_segments")
    compact = of("ManualCompaction", collectionID=1)
    assert [test(one) for one in (ask, compact, ask)] == [True, False, False]
    reply = milvus_pb2.GetQuerySegmentInfoResponse()
    reply.infos.add(segmentID=1, indexID=8)
    assert lifecycle.without_index(Exchange("GetQuerySegmentInfo", None, None, reply))
    assert not reply.infos[0].indexID
