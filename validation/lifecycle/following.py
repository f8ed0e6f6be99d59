"""Drives rows through the life of a segment, and times what the server says of it.

A collection is loaded with half of its rows under an index; that is *quiet*. The other half is
inserted (*growing*), flushed, indexed and handed over to the query nodes (*flushing*, *indexed*);
some rows are deleted, and all segments compacted (*compacting*, *compacted*). In each stage
searches have one set of rows to find.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from validation.datasets.model import Dataset
from validation.lifecycle.searches import Searches
from validation.lifecycle.watching import Watcher
from validation.milvus import indexing, loading
from validation.milvus.columns import rows_of
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import IndexSpec
from validation.milvus.segments import Segment
from validation.target import Target

ENOUGH_SEARCHES = 100
"""In a stage that is as long as one likes, so that its median is known."""
DELETED = 20
"""Every so many rows are deleted before the compaction."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A time in which the same rows were there.

    Args:
        name: ``quiet``, ``growing`` ...
        began: On the monotonic clock.
        ended: The same.
        present: Bool, shape (rows,): those that searches have to find.
    """

    name: str
    began: float
    ended: float
    present: np.ndarray


@dataclasses.dataclass(frozen=True)
class Followed:
    """What was seen.

    Args:
        stages: In their order.
        seconds: How long each change took; infinity if it did not end in time.
        searches: All of them.
        named: Numbers of all segments that the server named meanwhile.
        states: The states in which it told segments to be.
        not_done: What the server did not do at all, and why that is no fault of its.
    """

    stages: list[Stage]
    seconds: dict[str, float]
    searches: Searches
    named: frozenset[int]
    states: frozenset[str]
    not_done: str = ""


def begin(
    connection: Connection, dataset: Dataset, index: IndexSpec, *, name: str, run: str, rows: int
) -> None:
    """Make a collection with the first rows of a dataset, indexed and loaded."""
    loading.create(connection, dataset, name=name, run=run)
    loading.insert(connection, name, part(dataset, slice(0, rows)))
    loading.flush(connection, name)
    indexing.build(connection, name, index, dataset)
    loading.load_for_search(connection, name)


def follow(
    connection: Connection,
    target: Target,
    dataset: Dataset,
    index: IndexSpec,
    *,
    name: str,
    stage_seconds: float,
    limit: float,
) -> Followed:
    """Let segments grow, be flushed, indexed and compacted while searches go on.

    Args:
        connection: An open connection to the server.
        target: The same, for those that work beside it.
        dataset: Rows and queries.
        index: Of the vectors.
        name: Of a collection that `begin` made.
        stage_seconds: How long a stage lasts that ends when one likes.
        limit: Seconds after which a change that has not come never comes.
    """
    with (
        Watcher(target, name) as watcher,
        Searches(target, name, dataset, index) as searches,
        connect(target) as another,
        ThreadPoolExecutor(1) as pool,
    ):
        not_done = ""
        course = _Course(watcher, searches, stage_seconds, limit)
        half = np.arange(dataset.rows) < dataset.rows // 2
        everything = np.ones(dataset.rows, dtype=bool)
        course.rest("quiet", half)

        loading.insert(connection, name, part(dataset, slice(dataset.rows // 2, None)))
        course.rest("growing", everything)

        began = time.monotonic()
        flushing = pool.submit(loading.flush, another, name, seconds=limit)
        sealed = course.seen(_sealed(dataset.rows), since=began)
        flushing.result()
        flushed = max(course.seen(_flushed(dataset.rows), since=began), time.monotonic())
        course.took("sealed", began, sealed)
        course.took("flushed", began, flushed)
        handed = course.seen(_served(dataset.rows), since=flushed)
        course.took("indexed", flushed, handed)
        course.stage("flushing", began, handed, everything)
        course.rest("indexed", everything)

        left = everything & (np.arange(dataset.rows) % DELETED > 0)
        keys = np.asarray(dataset.ids)[~left].tolist()
        with connection.explained(f"delete rows of {name}"):
            connection.client.delete(name, ids=keys, timeout=connection.timeout)
        loading.flush(connection, name, seconds=limit)
        before = {one.number for one in watcher.looks[-1][1]}
        began = time.monotonic()
        with connection.explained(f"compact {name}"):
            connection.client.compact(name, timeout=connection.timeout)
        merged = course.seen(_merged(before), since=began)
        if math.isinf(merged) and len(before) == 1:
            not_done = "compaction: the server had merged all segments by itself before"
        else:
            course.took("compacted", began, merged)
            served = course.seen(_merged_served(before), since=merged)
            course.took("served again", merged, served)
            course.stage("compacting", began, served, left)
            course.rest("compacted", left)
        states = {one.state for _, stored, _ in watcher.looks for one in stored}
    return Followed(
        course.stages,
        course.seconds,
        searches,
        frozenset(watcher.named),
        frozenset(states),
        not_done,
    )


def part(dataset: Dataset, rows: slice) -> Dataset:
    """Return some rows of a dataset."""
    return dataclasses.replace(
        dataset,
        ids=rows_of(dataset.ids, rows),
        vectors=dataset.vectors[rows],
        scalars={name: rows_of(column, rows) for name, column in dataset.scalars.items()},
    )


class _Course:
    """Notes stages and times."""

    def __init__(
        self, watcher: Watcher, searches: Searches, stage_seconds: float, limit: float
    ) -> None:
        self.stages: list[Stage] = []
        self.seconds: dict[str, float] = {}
        self._watcher, self._searches = watcher, searches
        self._stage_seconds, self._limit = stage_seconds, limit

    def rest(self, name: str, present: np.ndarray) -> None:
        """Let a stage last until there are enough searches in it."""
        began = time.monotonic()
        while time.monotonic() - began < self._limit:
            time.sleep(self._stage_seconds)
            if len(self._searches.within(began, time.monotonic())) >= ENOUGH_SEARCHES:
                break
        self.stage(name, began, time.monotonic(), present)

    def stage(self, name: str, began: float, ended: float, present: np.ndarray) -> None:
        """Note a stage; one whose end never came ends now."""
        self.stages.append(Stage(name, began, min(ended, time.monotonic()), present))

    def took(self, name: str, began: float, ended: float) -> None:
        """Note how long a change took."""
        self.seconds[name] = math.inf if math.isinf(ended) else ended - began

    def seen(
        self, holds: Callable[[Sequence[Segment], Sequence[Segment]], bool], *, since: float
    ) -> float:
        """Return when something was seen; infinity if never, or if what came before never was."""
        if math.isinf(since):
            return math.inf
        return self._watcher.until(holds, since=since, seconds=self._limit)


def _rows(found: Sequence[Segment]) -> int:
    return sum(one.rows for one in found)


def _sealed(rows: int) -> Callable[[Sequence[Segment], Sequence[Segment]], bool]:
    """Whether all rows are in segments that the data coordinator names: no growing one is."""
    return lambda stored, _: _rows(stored) >= rows


def _flushed(rows: int) -> Callable[[Sequence[Segment], Sequence[Segment]], bool]:
    return lambda stored, _: _rows(stored) >= rows and all(one.state == "Flushed" for one in stored)


def _served(rows: int) -> Callable[[Sequence[Segment], Sequence[Segment]], bool]:
    """Whether the query nodes hold all rows, through indexes."""
    return lambda _, held: _rows(held) >= rows and all(one.indexed for one in held)


def _merged(before: set[int]) -> Callable[[Sequence[Segment], Sequence[Segment]], bool]:
    return lambda stored, _: bool(stored) and not before & {one.number for one in stored}


def _merged_served(before: set[int]) -> Callable[[Sequence[Segment], Sequence[Segment]], bool]:
    return lambda stored, held: (
        {one.number for one in held} == {one.number for one in stored}
        and not before & {one.number for one in held}
        and all(one.indexed for one in held)
    )
