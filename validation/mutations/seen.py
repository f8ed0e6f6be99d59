"""What the server says of changed rows in every way there is to ask, against what must be so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from validation.answers.model import Answers, Expected
from validation.milvus import manifest, reading
from validation.milvus.connection import Connection
from validation.milvus.manifest import Manifest
from validation.mutations.plan import DROPPED, PARTITIONS, Plan

EXAMPLES = 3
_LOOKUP = 500
"""Keys in one look-up."""


@dataclasses.dataclass(frozen=True)
class Held:
    """Rows that came back in one way of asking, held against those that must be there.

    Args:
        back: Keys that are there though they were deleted, or dropped, or never sent.
        stale: Keys whose content is not what was sent last.
        missing: Keys that are not there.
        doubled: Keys that came more than once.
    """

    back: np.ndarray
    stale: np.ndarray
    missing: np.ndarray
    doubled: np.ndarray


@dataclasses.dataclass(frozen=True)
class Astray:
    """Hits from other partitions: of each answer, int64, shape (q,), and the first few."""

    counts: np.ndarray
    examples: list[dict[str, Any]]


def held(
    keys: np.ndarray,
    wanted: np.ndarray,
    hashes: np.ndarray | None = None,
    wanted_hashes: np.ndarray | None = None,
) -> Held:
    """Return how rows that came back differ from those that must be there.

    Args:
        keys: Their primary keys, int64, shape (n,).
        wanted: Keys that must be there, ascending, shape (w,).
        hashes: Of the content of those that came back, uint64, shape (n, 2); None where only keys
            were asked for.
        wanted_hashes: Of what must be there, uint64, shape (w, 2).
    """
    once, times = np.unique(keys, return_counts=True)
    known = np.isin(keys, wanted)
    stale = np.empty(0, dtype=np.int64)
    if hashes is not None and wanted_hashes is not None:
        place = np.searchsorted(wanted, keys[known])
        other = (hashes[known] != wanted_hashes[place]).any(axis=1)
        stale = np.unique(keys[known][other])
    return Held(
        back=np.unique(keys[~known]),
        stale=stale,
        missing=np.setdiff1d(wanted, once),
        doubled=once[times > 1],
    )


def pages(connection: Connection, plan: Plan, name: str) -> Held:
    """Read all rows in order of their keys."""
    wanted = manifest.sent(plan.now)
    parts = reading.read(connection, name, manifest.hashed, expected=wanted.keys)
    return _held(parts, wanted)


def lookups(connection: Connection, plan: Plan, name: str) -> Held:
    """Look up the rows that something was done to by their keys."""
    there = plan.touched[plan.present[plan.touched]]
    parts = []
    for at in range(0, len(plan.touched), _LOOKUP):
        keys = plan.keys[plan.touched[at : at + _LOOKUP]]
        rows = reading.lookup(connection, name, keys)
        if rows:
            parts.append(manifest.hashed(rows))
    return _held(parts, manifest.sent(plan.content(there)))


def _held(parts: list[tuple[np.ndarray, np.ndarray]], wanted: Manifest) -> Held:
    keys, hashes = np.empty(0, np.int64), np.empty((0, 2), np.uint64)
    if parts:
        keys, hashes = (np.concatenate(some) for some in zip(*parts, strict=True))
    return held(keys, wanted.keys, hashes, wanted.hashes)


def iterated(connection: Connection, name: str, *, batch: int) -> np.ndarray:
    """Return all primary keys that pymilvus's query iterator yields, int64, in its order.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        batch: Rows in a page.
    """
    with connection.explained(f"iterate over {name}"):
        pages = connection.client.query_iterator(
            name,
            batch_size=batch,
            output_fields=["id"],
            consistency_level="Strong",
            timeout=connection.timeout,
        )
        try:
            keys: list[int] = []
            while page := pages.next():
                keys += [row["id"] for row in page]
        finally:
            pages.close()
    return np.array(keys, dtype=np.int64)


def counts(connection: Connection, plan: Plan, name: str) -> dict[str, int]:
    """Return by how many rows the server's counts are off: of all rows, and of each partition."""
    off = {"": abs(reading.count(connection, name) - plan.now.rows)}
    for at, partition in enumerate(PARTITIONS):
        if at != DROPPED:
            counted = reading.count(connection, name, partition=partition)
            off[partition] = abs(counted - int(plan.inside(at).sum()))
    return off


def astray(plan: Plan, answers: Answers, basis: Expected, partition: int) -> Astray:
    """Return which hits of a search in one partition are rows of another one.

    Args:
        plan: What was done.
        answers: To the queries of ``plan.now``.
        basis: What its answers are held against.
        partition: The partition's place in `PARTITIONS`.
    """
    rows = basis.positions(answers)
    other = (rows >= 0) & ~plan.inside(partition)[np.maximum(rows, 0)]
    examples = [
        {
            "query": plan.now.queries.ids[at],
            "id": answers.ids[at, hit],
            "asked_in": PARTITIONS[partition],
        }
        for at, hit in np.argwhere(other)[:EXAMPLES].tolist()
    ]
    return Astray(other.sum(axis=1), examples)
