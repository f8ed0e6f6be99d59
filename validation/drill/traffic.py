"""Writes and searches that go on whatever happens, and what was promised and answered meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from validation.datasets.ground_truth import GroundTruth, distances_to
from validation.datasets.model import Dataset
from validation.errors import MilvusKitError
from validation.milvus import loading, searching
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.searching import Answers

K = 10
BATCH = 25
WRITE_PAUSE = 0.1
SEARCH_PAUSE = 0.05
SEARCH_SECONDS = 5.0
EXAMPLES = 5
_RELATIVE = 1e-4
_JOIN_SECONDS = 130.0


def what_is_wrong(
    dataset: Dataset, query: int, answers: Answers, at: int, truth: GroundTruth, *, rows: int
) -> str:
    """Return what is wrong with the answer to an exact search; empty if nothing is.

    An answer is wrong if it is incomplete, names a row twice or one that was never sent, gives a
    distance that is not the row's, is out of order, or leaves out a nearer row that is surely
    there. No answer at all is not wrong: it is a failure, and is counted as such.

    Args:
        dataset: Rows and queries; primary keys are positions; compared by L2.
        query: Position of the query.
        answers: What was answered.
        at: Which of the answers is the query's.
        truth: Exact neighbours among the rows that are surely there.
        rows: How many of the dataset's rows may have been sent by now.
    """
    found = int(answers.found[at])
    if found < min(K, truth.matches):
        return f"{found} of {min(K, truth.matches)} hits"
    ids = np.asarray(answers.ids[at, :found], dtype=np.int64)
    if ids.min() < 0 or ids.max() >= rows:
        return "a row that was never sent"
    exactly = distances_to(dataset.queries.vectors[query], dataset.vectors[ids], dataset.metric)
    said = answers.distances[at, :found]
    slack = _RELATIVE * np.maximum(exactly, 1e-3)
    known = min(found, truth.matches)
    wrongs = {
        "a row twice": len(np.unique(ids)) < found,
        "a distance that is not the row's": not (np.abs(said - exactly) <= slack).all(),
        "out of order": (np.diff(exactly) < -slack[1:]).any(),
        "a nearer row is left out": (
            exactly[:known] > truth.distances[query, :known] + slack[:known]
        ).any(),
    }
    return next((text for text, is_so in wrongs.items() if is_so), "")


class _NoRowsLeftError(Exception):
    """It is the drill's end of its dataset, not a failure of Milvus's."""


class _Worker(threading.Thread):
    """Does something again and again until it is told to stop; failures are counted by kind."""

    def __init__(self, step: Callable[[], None], pause: float) -> None:
        super().__init__(daemon=True)
        self._step, self._pause = step, pause
        self.over = threading.Event()
        self.failures: Counter[str] = Counter()
        self.done = 0
        self.broken = ""
        self.last_good = 0.0

    def run(self) -> None:
        while not self.over.wait(self._pause):
            began = time.monotonic()
            try:
                self._step()
            except MilvusKitError as error:
                self.failures[error.what[:100]] += 1
            except _NoRowsLeftError:
                self.broken = "no rows are left to write"
                return
            except Exception as error:  # noqa: BLE001  (a thread that ends unseen proves nothing)
                self.broken = f"{type(error).__name__}: {error}"
                return
            else:
                self.done += 1
                self.last_good = began  # what began before a fault ended proves no recovery

    def stop(self) -> None:
        self.over.set()
        self.join(_JOIN_SECONDS)


class Traffic:
    """One writer and one searcher on one collection.

    Args:
        connection: Of their own.
        name: Of the collection.
        index: Its index, an exact one.
        dataset: Rows that may be sent, and queries.
        first: How many of its rows are in the collection already.
        truth: Exact neighbours among those.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        index: IndexSpec,
        dataset: Dataset,
        *,
        first: int,
        truth: GroundTruth,
    ) -> None:
        self._connection, self._name, self._index = connection, name, index
        self._dataset, self._truth = dataset, truth
        self.sent = first
        self.acknowledged: list[tuple[int, int]] = []
        self.wrong: list[str] = []
        self.examples: list[str] = []
        self._asked = 0
        self.writer = _Worker(self._write, WRITE_PAUSE)
        self.searcher = _Worker(self._search, SEARCH_PAUSE)

    def start(self) -> None:
        """Begin to write and to search."""
        self.writer.start()
        self.searcher.start()

    def stop(self) -> None:
        """Stop both and wait for what is under way."""
        self.writer.over.set()
        self.searcher.stop()
        self.writer.stop()

    @property
    def broken(self) -> str:
        """What ended the writer or the searcher before its time, by a defect of the drill's own."""
        return self.writer.broken or self.searcher.broken

    def count(self) -> tuple[int, int]:
        """Return how many searches and inserts have succeeded and failed so far."""
        both = (self.writer, self.searcher)
        return sum(one.done for one in both), sum(one.failures.total() for one in both)

    def good_since(self, when: float) -> bool:
        """Return whether both an insert and a search began after a time and succeeded."""
        return min(self.writer.last_good, self.searcher.last_good) > when

    def await_good(self, since: float, *, seconds: float) -> bool:
        """Wait until both have succeeded since a time; return whether they have."""
        end = time.monotonic() + seconds
        while not self.good_since(since):
            if self.broken or time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def _write(self) -> None:
        first, end = self.sent, self.sent + BATCH
        if end > self._dataset.rows:
            raise _NoRowsLeftError
        self.sent = end  # before it is sent: it may arrive though its answer does not
        batch = self._dataset.taken(np.arange(first, end))
        loading.insert(self._connection, self._name, batch)
        self.acknowledged.append((first, end))

    def _search(self) -> None:
        query = self._asked % len(self._dataset.queries)
        self._asked += 1
        answers = searching.search(
            self._connection,
            self._name,
            self._dataset.queries.vectors[query : query + 1],
            k=K,
            params=self._index.search,
            timeout=SEARCH_SECONDS,
        )
        wrong = what_is_wrong(self._dataset, query, answers, 0, self._truth, rows=self.sent)
        self.note(wrong, query, answers, 0)

    def note(self, wrong: str, query: int, answers: Answers, at: int) -> None:
        """Keep what was wrong with an answer; an empty text for a good one."""
        self.wrong.append(wrong)
        if wrong and len(self.examples) < EXAMPLES:
            self.examples.append(f"query {query}: {wrong}: {answers.of(at)}")
