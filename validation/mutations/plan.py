"""What is done to the rows of a collection, and which rows must be there afterwards.

Everything follows from the dataset alone. The new content of a row is the old one of another, so
that what is stale looks like any other row until it is held against what was sent last.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from validation.datasets.model import Condition, Dataset, Filter, Queries

PARTITIONS = ("even", "odd", "dropped")
DROPPED = PARTITIONS.index("dropped")
DELETED_BUCKETS = 20
"""Rows with a smaller ``bucket`` are deleted by a filter: two in a hundred."""
_DELETED, _UPSERTED = range(2), range(10, 15)
"""Of a hundred rows, which are deleted by their key and which are upserted."""
_STRETCH = 7
"""As many rows as this, one after the other, are in one partition."""
_DROPPED_EVERY = 20
_QUERIES = 40
"""Of each sort of query, at most."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Rows before and after; positions count the rows that come later, too.

    Args:
        start: The rows that are there first, with int64 keys.
        keys: Primary keys of all rows that are ever sent, int64, shape (m,).
        partition: Of each, its place in `PARTITIONS`, int64, shape (m,).
        source: Of each, the row of ``start`` whose content it has at the end, int64, shape (m,).
        deleted: Positions of rows that are deleted by their key.
        upserted: Of rows that are upserted, some of which were not there before.
        again: Of rows that are deleted and then inserted again with other content.
    """

    start: Dataset
    keys: np.ndarray
    partition: np.ndarray
    source: np.ndarray
    deleted: np.ndarray
    upserted: np.ndarray
    again: np.ndarray

    @property
    def filter(self) -> Filter:
        """By which further rows are deleted."""
        return Filter((Condition("bucket", "lt", DELETED_BUCKETS),))

    def content(self, positions: np.ndarray, *, first: bool = False) -> Dataset:
        """Return rows as they are at the end, or as they were first."""
        taken = self.start.taken(positions if first else self.source[positions])
        return dataclasses.replace(taken, ids=self.keys[positions])

    @functools.cached_property
    def present(self) -> np.ndarray:
        """Which rows are there at the end, bool, shape (m,)."""
        there = np.ones(len(self.keys), dtype=bool)
        there[: self.start.rows] = ~self.filter.mask(self.start.scalars)
        there[self.deleted] = False
        there[self.again] = True
        return there & (self.partition != DROPPED)

    @functools.cached_property
    def touched(self) -> np.ndarray:
        """Positions of rows that something was done to, ascending; none of an untouched row."""
        done = [self.deleted, self.upserted, self.again, np.flatnonzero(~self.present)]
        return np.unique(np.concatenate(done))

    @functools.cached_property
    def now(self) -> Dataset:
        """The rows that are there at the end, with queries for them and for those that are not.

        Beside the dataset's own queries, which are few here, each row that is gone and the content
        that an upsert replaced are searched for by their very vectors: they would come first.
        """
        gone = np.flatnonzero(~self.present[: self.start.rows])
        replaced = np.setdiff1d(self.upserted[self.upserted < self.start.rows], gone)
        newest = np.concatenate([self.upserted, self.again])
        newest = newest[self.present[newest]]
        sorts = {
            "gone": self.start.vectors[gone],
            "replaced": self.start.vectors[replaced],
            "new": self.start.vectors[self.source[newest]],
            "any": self.start.queries.vectors,
        }
        chosen = {name: vectors[_spread(len(vectors))] for name, vectors in sorts.items()}
        return dataclasses.replace(
            self.content(np.flatnonzero(self.present)),
            queries=Queries(
                ids=[f"{name} {at}" for name, some in chosen.items() for at in range(len(some))],
                vectors=np.concatenate(list(chosen.values())),
            ),
        )

    def inside(self, partition: int) -> np.ndarray:
        """Return which of the rows of ``now`` are in a partition, bool, shape (n,)."""
        return self.partition[self.present] == partition


def planned(dataset: Dataset, rows: int) -> Plan:
    """Return a plan for the first rows of a generated dataset.

    Of a hundred rows two are deleted by key, two by a filter and five upserted; a quarter of those
    deleted by key are inserted again, half as many new ones come by upsert, and a twentieth is in a
    partition that is dropped.

    Args:
        dataset: With int64 keys and the column ``bucket``.
        rows: How many of its rows, at least 200.
    """
    start = dataset.taken(np.arange(rows))
    start = dataclasses.replace(start, name=f"mutated_{rows}x{dataset.dim}")
    at = np.arange(rows)
    stays = ~Filter((Condition("bucket", "lt", DELETED_BUCKETS),)).mask(start.scalars)
    deleted = at[stays & np.isin(at % 100, _DELETED)]
    again = deleted[::4]
    upserted = at[stays & np.isin(at % 100, _UPSERTED)]
    fresh = np.arange(rows, rows + max(1, len(deleted) // 2))
    source = np.concatenate([at, deleted[1::2][: len(fresh)]])
    fresh = fresh[: len(source) - rows]
    for changed in (upserted, again):
        source[changed] = changed[::-1]
    stretch = np.arange(len(source)) // _STRETCH
    partition = np.where(stretch % _DROPPED_EVERY == _DROPPED_EVERY - 1, DROPPED, stretch % 2)
    partition[fresh] = 0
    largest = int(np.asarray(start.ids).max())
    return Plan(
        start=start,
        keys=np.concatenate([np.asarray(start.ids), largest + 1 + np.arange(len(fresh))]),
        partition=partition,
        source=source,
        deleted=deleted,
        upserted=np.concatenate([upserted, fresh]),
        again=again,
    )


def _spread(count: int) -> np.ndarray:
    """Return positions of a few among many, evenly spread, int64."""
    return np.unique(np.linspace(0, count - 1, min(count, _QUERIES)).astype(np.int64))
