"""Faults of segments that change: late, slow, incomplete, refused, and what they leave behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from validation.milvus import objects
from validation.runs.profiles import Profile
from validation.selftest.fault import Fault, Wire, metrics, on
from validation.selftest.plants import patched
from validation.selftest.scene import SEGMENTS
from validation.selftest.wire import lifecycle
from validation.selftest.wire.answers import Rearranged, failed, first_five
from validation.selftest.wire.fault import WireFault

_TIMES = 20


def _growing(**how: Any) -> Wire:
    """Return a fault of searches while rows are in growing segments."""
    methods = frozenset({"Insert", "Flush", "Search"})
    return lambda _: WireFault(methods, when=lifecycle.WhileGrowing(), **how)


def _heap(original: Callable[..., Any], _: Profile) -> Callable[..., Any]:
    """Let a bucket hold many times the objects that there are, of a segment of nobody's."""

    def listed(*args: Any) -> tuple[int, list[objects.Stored]]:
        number, stored = original(*args)
        heap = [
            dataclasses.replace(
                one,
                key=one.key.replace(f"/{objects.segment_of(one)}/", "/999999/"),
                size=_TIMES * one.size,
            )
            for one in stored
        ]
        return number, stored + heap

    return listed


FAULTS = (
    Fault(
        "never-indexed",
        "flushed segments are served, but the query nodes get no index of them",
        metrics("segments.seconds"),
        wire=(
            lambda _: WireFault(
                frozenset({"GetQuerySegmentInfo", "ManualCompaction"}),
                when=lifecycle.UntilCompaction(),
                answer=lifecycle.without_index,
            ),
        ),
        scene=SEGMENTS,
    ),
    Fault(
        "slow-while-growing",
        "searches take 300 ms longer while there are growing segments",
        metrics("segments.slowdown"),
        wire=(_growing(seconds=0.3),),
        scene=SEGMENTS,
    ),
    Fault(
        "blind-to-growing-rows",
        "searches find half of what there is while there are growing segments",
        metrics("segments.recall"),
        wire=(_growing(answer=Rearranged(first_five)),),
        scene=SEGMENTS,
    ),
    Fault(
        "failing-while-growing",
        "one search in ten fails while there are growing segments",
        metrics("segments.searches_failed"),
        wire=(_growing(answer=failed, every=10),),
        scene=SEGMENTS,
    ),
    Fault(
        "cold-first-search",
        "the first search after a load takes 3 s longer",
        metrics("search.latency.first"),
        wire=(
            on(
                "LoadCollection",
                "Search",
                when=lifecycle.FirstAfterLoad(),
                seconds=3.0,
            ),
        ),
        scene=SEGMENTS,
    ),
    Fault(
        "heap-of-garbage",
        f"the bucket holds {_TIMES} times as much again of a segment that nobody names",
        metrics("storage.growth"),
        plant=patched(objects, "listed", _heap),
        scene=SEGMENTS,
    ),
)
