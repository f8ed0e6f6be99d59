"""Writers and readers at work on one collection, and the history of what they did and saw.

Each key has one writer. A row carries the version that wrote it and a vector that follows from key
and version, so that a row with other content than was written can be told. Operations go through
pymilvus: what an application would see is what is judged.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from validation.history.record import EVERYTHING, KEYS, History, Kind, Level, Recorder, Status
from validation.milvus.connection import Connection, connect
from validation.milvus.ownership import Mark, claim, drop_ours
from validation.milvus.schema import ID, VECTOR
from validation.target import Target

DIMENSION = 8
VERSION = "version"
KEYS_OF_A_WRITER = 1_000_000
LARGEST_SCAN = 10_000
"""Rows alive at once, at most: a scan asks for all of them, and Milvus answers 16,384."""
WRITERS, READERS = 2, 2
WRITE_PAUSE, READ_PAUSE = 0.02, 0.01
SECONDS_FOR_AN_ANSWER = 20.0
_RATE_LIMIT = 8
_LEVELS = {Level.STRONG: "Strong", Level.BOUNDED: "Bounded", Level.EVENTUAL: "Eventually"}


@dataclasses.dataclass(frozen=True)
class Driven:
    """What was done and seen.

    Args:
        history: Of all operations.
        write_ms: Milliseconds of each acknowledged write, by kind, shape (n,).
        longest_gap_s: The longest time in which no write was acknowledged, in seconds.
        errors: How often each error was answered.
    """

    history: History
    write_ms: dict[str, np.ndarray]
    longest_gap_s: float
    errors: dict[str, int]


def drive(target: Target, name: str, *, seconds: float, seed: int) -> Driven:
    """Write to a collection and read it at the same time.

    Args:
        target: Where it is.
        name: Of a collection that `collection` made.
        seconds: For how long.
        seed: Of what is written and asked.
    """
    work = _Work(name, seconds, seed)
    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        ends = [pool.submit(work.write, target, number) for number in range(WRITERS)]
        ends += [pool.submit(work.read, target, WRITERS + number) for number in range(READERS)]
        for end in ends:
            end.result()
    return work.driven()


@contextmanager
def collection(connection: Connection, name: str, *, run: str) -> Iterator[str]:
    """Make a collection for `drive`, loaded and empty; drop it in the end."""
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  (slow to import)

    drop_ours(connection, name)
    description = claim(connection, name, Mark(run, "history"))
    schema = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=description
    )
    schema.add_field(ID, DataType.INT64, is_primary=True)
    schema.add_field(VERSION, DataType.INT64)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=DIMENSION)
    index = MilvusClient.prepare_index_params()
    index.add_index(VECTOR, index_type="FLAT", metric_type="L2")
    with connection.explained(f"create collection {name}"):
        connection.client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong"
        )
    try:
        yield name
    finally:
        drop_ours(connection, name)


def vectors(keys: np.ndarray, versions: np.ndarray) -> np.ndarray:
    """Return the vectors that follow from keys and versions, float32, shape (n, 8)."""
    mixed = keys[:, None] * 2_654_435_761 + versions[:, None] * 40_503
    mixed = (mixed + np.arange(DIMENSION) * 97_003) % (1 << 20)
    return (mixed / (1 << 20)).astype(np.float32)


class _Work:
    def __init__(self, name: str, seconds: float, seed: int) -> None:
        self._name, self._seed = name, seed
        self._until = time.monotonic() + seconds
        self._recorder = Recorder()
        self._lock = threading.Lock()
        self._written: list[list[int]] = [[] for _ in range(WRITERS)]
        self._acknowledged: list[tuple[int, int, str]] = []
        self._errors: dict[str, int] = {}
        self._begun = time.monotonic_ns()

    def driven(self) -> Driven:
        ends = sorted(end for _, end, _ in self._acknowledged)
        moments = np.array([self._begun, *ends, time.monotonic_ns()])
        kinds = {kind for _, _, kind in self._acknowledged}
        took = {
            one: np.array([(b - a) / 1e6 for a, b, kind in self._acknowledged if kind == one])
            for one in sorted(kinds)
        }
        gap = float(np.max(np.diff(moments))) / 1e9
        return Driven(self._recorder.history(), took, gap, self._errors)

    def _draw(self, process: int) -> random.Random:
        return random.Random(f"{self._seed}/{process}")  # noqa: S311  (a workload, no secret)

    def write(self, target: Target, process: int) -> None:
        """Insert, upsert and delete, one write after the other, until the time is over."""
        draw = self._draw(process)
        first = process * KEYS_OF_A_WRITER
        alive: list[int] = []
        versions: dict[int, int] = {}
        with connect(target) as connection:
            while time.monotonic() < self._until:
                kind, keys = self._next(draw, first + len(versions), alive)
                for key in keys:
                    versions[key] = versions.get(key, 0) + 1
                status = self._one_write(connection, process, kind, keys, versions)
                alive = [key for key in alive if key not in set(keys)]
                if status is Status.OK and kind is not Kind.DELETE:
                    alive += keys
                self._written[process] += keys if kind is Kind.INSERT else []
                time.sleep(WRITE_PAUSE)

    def _next(
        self, draw: random.Random, unused: int, alive: Sequence[int]
    ) -> tuple[Kind, list[int]]:
        few = len(alive) < 100  # noqa: PLR2004  (of enough rows to choose from)
        full = len(alive) * WRITERS > LARGEST_SCAN // 2
        kind = Kind.INSERT if few else draw.choice([Kind.DELETE] if full else [*Kind])
        if kind is Kind.INSERT:
            return kind, list(range(unused, unused + 10))
        return kind, sorted(draw.sample(list(alive), 5))

    def _one_write(
        self,
        connection: Connection,
        process: int,
        kind: Kind,
        keys: list[int],
        versions: dict[int, int],
    ) -> Status:
        mine = np.array([versions[key] for key in keys])
        rows = [
            {ID: key, VERSION: int(version), VECTOR: vector}
            for key, version, vector in zip(
                keys, mine, vectors(np.array(keys), mine).tolist(), strict=True
            )
        ]

        def send() -> Any:
            client = connection.client
            if kind is Kind.DELETE:
                return client.delete(self._name, ids=keys, timeout=SECONDS_FOR_AN_ANSWER)
            act = client.insert if kind is Kind.INSERT else client.upsert
            return act(self._name, rows, timeout=SECONDS_FOR_AN_ANSWER)

        invoked, completed, status, _ = self._timed(send)
        if status is Status.OK:
            with self._lock:
                self._acknowledged.append((invoked, completed, kind.name.lower()))
        self._recorder.write(
            kind,
            keys,
            mine,
            process=process,
            invoked=invoked,
            completed=completed,
            status=status,
        )
        return status

    def read(self, target: Target, process: int) -> None:
        """Look keys up, scan and count, at each level in turn, until the time is over."""
        draw = self._draw(process)
        with connect(target) as connection:
            while time.monotonic() < self._until:
                level = draw.choice([*_LEVELS])
                way = draw.choices([self._look_up, self._scan, self._count], [8, 1, 1])[0]
                way(connection, process, level, draw)
                time.sleep(READ_PAUSE)
            # What is lost shows in the end: a last look at everything, as strong as there is.
            self._scan(connection, process, Level.STRONG, draw)
            self._count(connection, process, Level.STRONG, draw)

    def _look_up(
        self, connection: Connection, process: int, level: Level, draw: random.Random
    ) -> None:
        written = draw.choice(self._written)
        # The newest are where something happens.
        some = sorted({draw.choice(written[-500:]) for _ in range(30)}) if written else []
        if some:
            self._query(connection, process, level, f"{ID} in {some}", asked=some)

    def _scan(self, connection: Connection, process: int, level: Level, _: random.Random) -> None:
        self._query(connection, process, level, f"{ID} >= 0", scope=EVERYTHING)

    def _query(
        self,
        connection: Connection,
        process: int,
        level: Level,
        condition: str,
        *,
        asked: Sequence[int] = (),
        scope: int = KEYS,
    ) -> None:
        limit = {"limit": 16_384} if scope == EVERYTHING else {}
        fields = [ID, VERSION, VECTOR]
        found = self._timed(
            lambda: connection.client.query(
                self._name,
                filter=condition,
                output_fields=fields,
                consistency_level=_LEVELS[level],
                timeout=SECONDS_FOR_AN_ANSWER,
                **limit,
            )
        )
        invoked, completed, status, rows = found
        keys = np.array([row[ID] for row in rows or ()], dtype=np.int64)
        versions = np.array([row[VERSION] for row in rows or ()], dtype=np.int64)
        seen = np.array([row[VECTOR] for row in rows or ()], dtype=np.float32)
        self._recorder.read(
            level,
            process=process,
            invoked=invoked,
            completed=completed,
            keys=keys,
            versions=versions,
            genuine=(seen.reshape(-1, DIMENSION) == vectors(keys, versions)).all(axis=1),
            asked=asked,
            scope=scope,
            status=status,
        )

    def _count(self, connection: Connection, process: int, level: Level, _: random.Random) -> None:
        invoked, completed, status, rows = self._timed(
            lambda: connection.client.query(
                self._name,
                filter="",
                output_fields=["count(*)"],
                consistency_level=_LEVELS[level],
                timeout=SECONDS_FOR_AN_ANSWER,
            )
        )
        self._recorder.read(
            level,
            process=process,
            invoked=invoked,
            completed=completed,
            scope=EVERYTHING,
            status=status,
            count=rows[0]["count(*)"] if rows else 0,
        )

    def _timed(self, ask: Callable[[], Any]) -> tuple[int, int, Status, Any]:
        """Ask, and return when it was asked and answered, what became of it, and the answer."""
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415  (slow to import)

        invoked = time.monotonic_ns()
        try:
            answer, status = ask(), Status.OK
        except MilvusException as error:
            # Of all errors this alone says that nothing was done.
            refused = getattr(error, "code", None) == _RATE_LIMIT
            answer, status = None, Status.FAILED if refused else Status.UNKNOWN
            with self._lock:
                said = str(error)[:160]
                self._errors[said] = self._errors.get(said, 0) + 1
        return invoked, time.monotonic_ns(), status, answer
