"""Writes and searches that go on whatever happens, and what was promised and answered meanwhile."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np

from validation.answers.checking import check, told
from validation.answers.model import Expected
from validation.datasets.ground_truth import joined
from validation.datasets.model import Dataset
from validation.drill.collection import FIELDS, Collection, K
from validation.drill.workers import NoRowsLeftError, Worker
from validation.milvus import loading, searching
from validation.milvus.connection import Connection

BATCH = 25
WRITE_PAUSE = 0.1
SEARCH_PAUSE = 0.05
STATIC_PAUSE = 0.15
SEARCH_SECONDS = 5.0
NAMES = ("inserts into live", "searches of live", "searches of static")


class Writes:
    """What is sent to one collection, and what of it was acknowledged.

    Args:
        first: How many of the dataset's rows were sent already.
    """

    def __init__(self, first: int) -> None:
        self.sent = first
        self.acknowledged: list[tuple[int, int]] = []

    def newer(self) -> np.ndarray:
        """Return the rows that have been acknowledged by now."""
        ranges = [np.arange(*pair) for pair in self.acknowledged]
        return np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)


class Searches:
    """Searches of one collection, one after the other, and what was wrong with their answers.

    Args:
        connection: Where.
        collection: As it is before they begin.
        dataset: Rows and queries.
        writes: To the same collection meanwhile.
    """

    def __init__(
        self,
        connection: Connection,
        collection: Collection,
        dataset: Dataset,
        writes: Writes,
    ) -> None:
        self._connection, self._name, self._index = connection, collection.name, collection.index
        self._dataset, self._expected = dataset, collection.expected(dataset)
        self._writes, self._asked = writes, 0
        self.wrong: list[str] = []
        """Of each answer, what was wrong with it; empty if nothing was."""

    def ask(self) -> bool:
        """Ask the next query and note what is wrong with its answer."""
        query = self._asked % len(self._dataset.queries)
        self._asked += 1
        self._ask(np.array([query]))
        return True

    def ask_all(self) -> None:
        """Ask every query at once, and note the same of each answer."""
        self._ask(np.arange(len(self._dataset.queries)))

    def _ask(self, queries: np.ndarray) -> None:
        # What was acknowledged before a search with strong consistency begins must be found by it.
        newer = self._writes.newer()
        answers = searching.search(
            self._connection,
            self._name,
            self._dataset.queries.vectors[queries],
            k=K,
            params=self._index.search,
            fields=FIELDS,
            timeout=SEARCH_SECONDS,
        )
        found = check(answers, self._held_against(queries, newer), queries)
        for at, (query, wrong) in enumerate(zip(queries, found.wrong, strict=True)):
            where = f"{self._name}, query {query}"
            self.wrong.append(f"{where}: {told(found, at)}: {answers.of(at)}" if wrong else "")

    def _held_against(self, queries: np.ndarray, newer: np.ndarray) -> Expected:
        """Return what must be found by now, and what may be."""
        truth = self._expected.truth
        assert truth is not None  # noqa: S101  (a collection has one)
        return dataclasses.replace(
            self._expected,
            truth=joined(truth, self._dataset, queries, newer),
            allowed=np.arange(self._dataset.rows) < self._writes.sent,
        )


class Traffic:
    """One writer and one searcher of ``live``, and a searcher of ``static`` while it is loaded.

    Args:
        connection: Of their own.
        dataset: Rows that may be sent, and queries.
        live: Is written to.
        static: Is loaded.
    """

    def __init__(
        self,
        connection: Connection,
        dataset: Dataset,
        *,
        live: Collection,
        static: Collection,
    ) -> None:
        self._connection, self._dataset, self._name = connection, dataset, live.name
        self.writes = Writes(live.sent)
        self.live = Searches(connection, live, dataset, self.writes)
        self.static = Searches(connection, static, dataset, Writes(static.sent))
        self._static_loaded, self._static_lock = True, threading.Lock()
        self.writer = Worker(self._write, WRITE_PAUSE)
        self.searcher = Worker(self.live.ask, SEARCH_PAUSE)
        self.static_searcher = Worker(self._ask_static, STATIC_PAUSE)
        workers: tuple[Worker, ...] = (self.writer, self.searcher, self.static_searcher)
        self._workers: dict[str, Worker] = dict(zip(NAMES, workers, strict=True))

    def start(self) -> None:
        """Begin to write and to search."""
        for one in self._workers.values():
            one.start()

    def stop(self) -> None:
        """Stop all and wait for what is under way."""
        for one in self._workers.values():
            one.over.set()
        for one in self._workers.values():
            one.stop()

    def stop_writing(self) -> None:
        """Stop the writer alone, so that what is flushed then is all there is."""
        self.writer.stop()

    def leave_static(self) -> None:
        """Let ``static`` not be asked from now on; return once no search of it is under way."""
        with self._static_lock:
            self._static_loaded = False

    def ask_static(self) -> None:
        """Let ``static`` be asked from now on."""
        self._static_loaded = True

    @property
    def broken(self) -> str:
        """What ended one of them before its time, by a defect of the drill's own."""
        return next((one.broken for one in self._workers.values() if one.broken), "")

    def count(self) -> tuple[int, int]:
        """Return how many searches and inserts have succeeded and failed so far."""
        return (
            sum(one.done for one in self._workers.values()),
            sum(one.failures.total() for one in self._workers.values()),
        )

    def waiting_since(self, when: float) -> str:
        """Return what has not begun after a time and succeeded, in words; empty if all has.

        ``static`` is not waited for while it is not asked.
        """
        asked = [name for name in NAMES if name != NAMES[2] or self._static_loaded]
        late = [name for name in asked if self._workers[name].last_good <= when]
        said = [f"{name} ({self._workers[name].last_failure or 'no answer yet'})" for name in late]
        return f"still failing: {', '.join(said)}" if said else ""

    def await_good(self, since: float, *, seconds: float) -> bool:
        """Wait until all have succeeded since a time; return whether they have."""
        end = time.monotonic() + seconds
        while self.waiting_since(since):
            if self.broken or time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def failures(self) -> dict[str, str]:
        """Return what each of them was told last when it failed."""
        return {name: one.last_failure for name, one in self._workers.items()}

    def evidence(self) -> dict[str, object]:
        """Return what they did, for a reader."""
        return {
            name: {"succeeded": one.done, "failed": dict(one.failures)}
            for name, one in self._workers.items()
        }

    def _write(self) -> bool:
        first, end = self.writes.sent, self.writes.sent + BATCH
        if end > self._dataset.rows:
            raise NoRowsLeftError
        self.writes.sent = end  # before it is sent: it may arrive though its answer does not
        batch = self._dataset.taken(np.arange(first, end))
        loading.insert(self._connection, self._name, batch)
        self.writes.acknowledged.append((first, end))
        return True

    def _ask_static(self) -> bool:
        with self._static_lock:
            return self._static_loaded and self.static.ask()
