"""Steady writes, searches beside them, and how soon what was acknowledged is seen at each level.

For each search there are rows that it has to know (acknowledged before it began, and not being
deleted before it ended) and rows that it may know (sent before it ended). Its exact neighbours
follow from both.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from validation.datasets.ground_truth import distances_to
from validation.datasets.model import Dataset
from validation.errors import MilvusKitError
from validation.lifecycle.searches import K, Search, Searches
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import IndexSpec
from validation.milvus.schema import ID, VECTOR
from validation.target import Target

LEVELS = ("Strong", "Session", "Bounded", "Eventually")
ROWS_OF_A_WRITE = 10
LIMIT_SECONDS = 15.0
"""How long a row is looked for before it counts as never visible."""
_PROBE_PAUSE = 0.01
_TIES = 1e-5
"""By which share distances of float32 may differ that are equal."""


@dataclasses.dataclass
class Rows:
    """When each row was sent, acknowledged, and deleted, on the monotonic clock; each shape (n,).

    Args:
        sent: When it was sent; infinity if it was not.
        acknowledged: When that was answered; infinity if it was refused or not answered.
        leaving: When its delete was sent.
        gone: When that was answered.
    """

    sent: np.ndarray
    acknowledged: np.ndarray
    leaving: np.ndarray
    gone: np.ndarray

    @classmethod
    def none_of(cls, count: int) -> Rows:
        """Return rows none of which was sent."""
        return cls(*(np.full(count, math.inf) for _ in range(4)))

    def known(self, began: float, ended: float) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows a strong read must know and which it may know, bool, shape (n,)."""
        must = (self.acknowledged <= began) & (self.leaving > ended)
        may = (self.sent <= ended) & (self.gone > began)
        return must, may


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What was done and seen.

    Args:
        rows: When rows came and went.
        searches: Beside the writes.
        write_ms: Milliseconds of each acknowledged write, by kind.
        longest_gap_s: The longest time in which no write was acknowledged.
        visible_ms: Milliseconds from acknowledgement to sight, by level; infinity beyond the limit.
        errors: How often each error was answered to a write.
    """

    rows: Rows
    searches: Sequence[Search]
    write_ms: dict[str, list[float]]
    longest_gap_s: float
    visible_ms: dict[str, list[float]]
    errors: dict[str, int]


def ingest(
    target: Target,
    dataset: Dataset,
    index: IndexSpec,
    *,
    name: str,
    loaded: int,
    rate: float,
    seconds: float,
) -> Ingested:
    """Insert, upsert and delete at a steady rate while searches and look-ups go on.

    Args:
        target: Where.
        dataset: Its first rows are there; the others are inserted.
        index: What is searched through.
        name: Of the loaded collection.
        loaded: How many rows are there.
        rate: Writes a second.
        seconds: For how long.
    """
    work = _Work(dataset, name, loaded, rate, seconds)
    with (
        Searches(target, name, dataset, index) as searches,
        ThreadPoolExecutor(1 + len(LEVELS)) as pool,
    ):
        ends = [pool.submit(work.write, target)]
        ends += [pool.submit(work.look, target, level) for level in LEVELS]
        for end in ends:
            end.result()
    return Ingested(
        work.rows, searches.done, work.write_ms, work.longest_gap(), work.visible_ms, work.errors
    )


def overlap(search: Search, rows: Rows, dataset: Dataset) -> float:
    """Return the share of exact neighbours in an answer, by what was there then; 0 of a failed one.

    A hit counts if it may be known and is no farther than the last neighbour that must be.
    """
    if search.answer is None:
        return 0.0
    must, may = rows.known(search.began, search.ended)
    query = dataset.queries.vectors[search.query]
    distances = distances_to(query, dataset.vectors, dataset.metric)
    wanted = min(K, int(must.sum()))
    if not wanted:
        return 1.0
    farthest = np.partition(distances[must], wanted - 1)[wanted - 1]
    found = search.answer.ids[0][: search.answer.found[0]]
    hits = np.isin(np.asarray(dataset.ids), found)
    near = hits & may & (distances <= farthest + _TIES * abs(farthest))
    return min(1.0, float(near.sum()) / wanted)


class _Work:
    def __init__(
        self, dataset: Dataset, name: str, loaded: int, rate: float, seconds: float
    ) -> None:
        self._dataset, self._name, self._rate = dataset, name, rate
        self._begun = time.monotonic()
        self._until = self._begun + seconds
        self.rows = Rows.none_of(dataset.rows)
        self.rows.sent[:loaded] = self.rows.acknowledged[:loaded] = self._begun - 1
        self._next = loaded
        self._alive: list[int] = []
        self._newest: tuple[int, float] | None = None
        self._lock = threading.Lock()
        self._acknowledged: list[float] = []
        self.write_ms: dict[str, list[float]] = {}
        self.visible_ms: dict[str, list[float]] = {level: [] for level in LEVELS}
        self.errors: dict[str, int] = {}

    def longest_gap(self) -> float:
        """Return the longest time without an acknowledged write, in seconds."""
        moments = [self._begun, *self._acknowledged, max(self._until, self._begun)]
        return float(np.max(np.diff(sorted(moments))))

    def write(self, target: Target) -> None:
        """Write at the rate, whatever becomes of each write, until the time is over."""
        kinds = (self._insert, self._insert, self._upsert, self._delete)
        number = 0
        with connect(target) as connection:
            while (due := self._begun + number / self._rate) < self._until:
                time.sleep(max(0.0, due - time.monotonic()))
                if time.monotonic() > self._until:
                    break
                enough = len(self._alive) > 2 * ROWS_OF_A_WRITE
                kind = kinds[number % len(kinds)] if enough else self._insert
                kind(connection)
                number += 1

    def _insert(self, connection: Connection) -> None:
        rows = np.arange(self._next, min(self._next + ROWS_OF_A_WRITE, self._dataset.rows))
        if not len(rows):
            return self._upsert(connection)
        self._next += len(rows)
        self.rows.sent[rows] = time.monotonic()
        answered = self._send("insert", connection, connection.client.insert, rows)
        if answered:
            self.rows.acknowledged[rows] = answered
            self._alive += rows.tolist()
            with self._lock:
                self._newest = int(rows[-1]), answered
        return None

    def _upsert(self, connection: Connection) -> None:
        """Send rows again as they are: they have to be found all the time."""
        rows = np.array(self._alive[:ROWS_OF_A_WRITE])
        self._send("upsert", connection, connection.client.upsert, rows)

    def _delete(self, connection: Connection) -> None:
        rows, self._alive = np.array(self._alive[:3]), self._alive[3:]
        keys = np.asarray(self._dataset.ids)[rows].tolist()
        self.rows.leaving[rows] = time.monotonic()

        def delete(name: str, _: Any, **more: Any) -> None:
            connection.client.delete(name, ids=keys, **more)

        answered = self._send("delete", connection, delete, rows)
        if answered:
            self.rows.gone[rows] = answered

    def _send(
        self, kind: str, connection: Connection, act: Callable[..., Any], rows: np.ndarray
    ) -> float:
        """Write, and return when it was acknowledged; 0 if it was not."""
        data = self._dataset
        sent = [
            {
                ID: int(np.asarray(data.ids)[row]),
                VECTOR: data.vectors[row],
                **{key: _plain(values[row]) for key, values in data.scalars.items()},
            }
            for row in rows
        ]
        began = time.monotonic()
        try:
            with connection.explained(f"{kind} rows of {self._name}"):
                act(self._name, sent, timeout=LIMIT_SECONDS)
        except MilvusKitError as error:
            said = error.sentence().partition("\n")[0][:160]
            self.errors[said] = self.errors.get(said, 0) + 1
            return 0.0
        ended = time.monotonic()
        self._acknowledged.append(ended)
        self.write_ms.setdefault(kind, []).append((ended - began) * 1e3)
        return ended

    def look(self, target: Target, level: str) -> None:
        """Look for the newest row until it is seen, again and again, until the time is over."""
        last = -1
        with connect(target) as connection:
            while time.monotonic() < self._until:
                with self._lock:
                    newest = self._newest
                if newest is None or newest[0] == last:
                    time.sleep(_PROBE_PAUSE)
                    continue
                last, acknowledged = newest
                self.visible_ms[level].append(
                    self._until_seen(connection, level, last, acknowledged)
                )

    def _until_seen(
        self, connection: Connection, level: str, row: int, acknowledged: float
    ) -> float:
        key = int(np.asarray(self._dataset.ids)[row])
        while time.monotonic() - acknowledged < LIMIT_SECONDS:
            with connection.explained(f"look a row of {self._name} up"):
                found = connection.client.query(
                    self._name,
                    filter=f"{ID} in [{key}]",
                    output_fields=[ID],
                    consistency_level=level,
                    timeout=LIMIT_SECONDS,
                )
            if found:
                return (time.monotonic() - acknowledged) * 1e3
            time.sleep(_PROBE_PAUSE)
        return math.inf


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
