"""Measure one side: rounds of everything that users wait for, each beside its controls."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from validation.answers.checking import check
from validation.answers.model import Expected
from validation.attribution.probe import PIECE_BYTES, read_object
from validation.common.progress import Progress
from validation.datasets.generated import selecting
from validation.datasets.ground_truth import exact
from validation.datasets.model import Dataset
from validation.errors import MilvusKitError
from validation.load.loops import closed_loop
from validation.load.plan import Plan as Searches
from validation.load.plan import search_plan
from validation.load.slo import null_server
from validation.load.slo.calibration import reply_of
from validation.milvus import indexing, loading, objects, searching
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec, index_named
from validation.milvus.ownership import collection_name, drop_ours
from validation.milvus.wire import Endpoint
from validation.s3.client.boto import connect as connect_store
from validation.s3.client.failures import translated
from validation.upgrade.plan import NAME, SEARCHES, K, Plan
from validation.upgrade.side import Measured

INDEX = index_named("HNSW")
SHARE = 0.5
SCRATCH = collection_name("upgrade", "scratch")
BATCH, BATCHES = 200, 5
READS = 20
NULL, STORE = "null server", "s3"
NO_CONTROL = "the target declares no storage with a key, or its bucket holds nothing of the rows"
STORE_BOUND = frozenset({"flush", "load", "cold search"})
_TRIES = 3
CREATING_SECONDS = 180.0
_PAUSE_SECONDS = 1.0


def prepare(connection: Connection, plan: Plan, dataset: Dataset, progress: Progress) -> None:
    """Load the rows that both sides are measured with."""
    with progress.step(f"load {dataset.rows:,} rows into {NAME}") as step:
        loading.load(connection, dataset, name=NAME, index=INDEX, run=plan.digest[:16], report=step)


def await_creating(
    connection: Connection, dataset: Dataset, *, seconds: float = CREATING_SECONDS
) -> None:
    """Wait until a collection can be created; a server that serves searches may not do that yet.

    (2.3.3 answers no such request for most of a minute after it was started on data of before.)
    What still cannot be created then, `measure` will tell.

    Args:
        connection: An open connection to the server.
        dataset: Of its rows.
        seconds: Time limit.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            drop_ours(connection, SCRATCH)
            loading.create(connection, dataset, name=SCRATCH, run="upgrade")
            drop_ours(connection, SCRATCH)
        except MilvusKitError:
            if time.monotonic() > deadline:
                return
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def measure(connection: Connection, plan: Plan, dataset: Dataset, progress: Progress) -> Measured:
    """Measure a side; the rows are loaded and the server is at rest.

    Raises:
        MilvusKitError: What is measured with cannot be prepared.
    """
    found = Measured(server=connection.server_version)
    _quality(connection, dataset, found)
    with contextlib.ExitStack() as cleanup:
        round_ = _Round(connection, dataset, found, *_controls(connection, cleanup))
        cleanup.callback(tidy, connection)
        round_.begin()
        with progress.step(f"measure {plan.rounds} rounds") as step:
            for number in range(plan.rounds):
                step(f"round {number + 1} of {plan.rounds}")
                round_.run(number)
    return found


def _quality(connection: Connection, dataset: Dataset, found: Measured) -> None:
    """Look at the answers to every query as a whole."""
    truth = exact(dataset.vectors, dataset.queries.vectors, K)
    answers = searching.search(connection, NAME, dataset.queries.vectors, k=K, params=INDEX.search)
    seen = check(answers, Expected(dataset, truth))
    found.overlap = seen.overlap.tolist()
    found.wrong = int(np.count_nonzero(seen.wrong))


def _controls(
    connection: Connection, cleanup: contextlib.ExitStack
) -> tuple[str, Callable[[], list[float]] | None]:
    """Start what is no Milvus: a server that answers at once, and plain reads of the bucket."""
    address = cleanup.enter_context(null_server.running(reply_of(K)))
    storage = connection.target.storage
    if storage is None or storage.access_key is None:
        return address, None
    chosen = objects.listed(connection, NAME, storage)[1]
    if not chosen:
        return address, None
    with translated(storage):
        client = connect_store(storage, connections=1)

    def reads() -> list[float]:
        taken = []
        try:
            with translated(storage):
                for at in range(READS):
                    began = time.monotonic()
                    read_object(client, storage, chosen[at % len(chosen)].key, piece=PIECE_BYTES)
                    taken.append(1e3 * (time.monotonic() - began))
        except MilvusKitError:  # what was measured before stands
            return [math.inf]
        return taken

    reads()  # connects
    return address, reads


@dataclasses.dataclass
class _Round:
    connection: Connection
    dataset: Dataset
    found: Measured
    nowhere: str
    reads: Callable[[], list[float]] | None

    def begin(self) -> None:
        """Prepare searches, and the collection that is written to."""
        vectors = self.dataset.queries.vectors
        self.plain = search_plan(self.connection, NAME, vectors, k=K, params=INDEX.search)
        self.filtered = search_plan(
            self.connection,
            NAME,
            vectors,
            k=K,
            params=INDEX.search,
            condition=selecting(SHARE).expression(),
        )
        self.null = dataclasses.replace(self.plain, endpoint=Endpoint(NULL, self.nowhere))
        self.rows = self.dataset.taken(np.arange(min(BATCH, self.dataset.rows)))
        drop_ours(self.connection, SCRATCH)
        loading.create(self.connection, self.rows, name=SCRATCH, run="upgrade")
        indexing.build(self.connection, SCRATCH, IndexSpec("FLAT"), self.rows)
        loading.load_for_search(self.connection, SCRATCH)

    def run(self, number: int) -> None:
        """Measure each operation once or some times, after the controls."""
        self.found.controls.setdefault(NULL, []).append(self._searches(NULL, self.null))
        if self.reads is not None:
            self.found.controls.setdefault(STORE, []).append(self.reads())
        self._note("search", self._searches("search", self.plain))
        self._note("filtered search", self._searches("filtered search", self.filtered))
        batches = [self._batch(number * BATCHES + at) for at in range(BATCHES)]
        for of, act in (
            ("insert", self._insert),
            ("upsert", self._upsert),
            ("delete", self._delete),
        ):
            self._note(of, [self._timed(act, batch) for batch in batches])
        self._note("flush", [self._timed(loading.flush, self.connection, SCRATCH)])
        released = math.isfinite(self._timed(self._release))
        for of, act in (
            ("load", lambda: loading.load_for_search(self.connection, NAME)),
            ("cold search", self._search),
        ):
            self._note(of, [self._timed(act) if released else math.inf])

    def _note(self, of: str, latencies: list[float]) -> None:
        self.found.rounds.setdefault(of, []).append(latencies)
        failed = sum(math.isinf(one) for one in latencies)
        self.found.failed[of] = self.found.failed.get(of, 0) + failed

    def _searches(self, of: str, plan: Searches) -> list[float]:
        """Search one after the other; again, where the client itself was held up."""
        tries = 0
        while True:
            seen, tries = closed_loop(plan, n=SEARCHES, under_way=1, warmup=20), tries + 1
            if seen.void is None or tries == _TRIES:
                break
            if of != NULL:  # a failure is one, whatever became of the latencies
                self.found.failed[of] = self.found.failed.get(of, 0) + int(seen.failed.sum())
        if seen.void is not None:
            self.found.void[of] = seen.void
        return seen.latencies_ms.tolist()

    def _timed(self, act: Callable[..., Any], *given: Any) -> float:
        """Return the milliseconds of an act, less what a limit of the server's own made us wait."""
        before, began = self._limited(), time.monotonic()
        try:
            act(*given)
        except MilvusKitError:
            return math.inf
        # More than nothing, also where clocks differ in their last digits.
        return max(1e-6, 1e3 * (time.monotonic() - began - (self._limited() - before)))

    def _limited(self) -> float:
        return sum(one.seconds for one in self.connection.wire.limited.values())

    def _batch(self, number: int) -> Dataset:
        ids = np.arange(self.rows.rows, dtype=np.int64) + number * self.rows.rows
        return dataclasses.replace(self.rows, ids=ids)

    def _insert(self, batch: Dataset) -> None:
        loading.insert(self.connection, SCRATCH, batch)

    def _upsert(self, batch: Dataset) -> None:
        loading.insert(self.connection, SCRATCH, batch, upsert=True)

    def _delete(self, batch: Dataset) -> None:
        keys = np.asarray(batch.ids)[: batch.rows // 2].tolist()
        with self.connection.explained(f"delete rows of {SCRATCH}"):
            self.connection.client.delete(SCRATCH, ids=keys, timeout=self.connection.timeout)

    def _release(self) -> None:
        with self.connection.explained(f"release {NAME}"):
            self.connection.client.release_collection(NAME, timeout=self.connection.timeout)

    def _search(self) -> None:
        vector = self.dataset.queries.vectors[:1]
        searching.search(self.connection, NAME, vector, k=K, params=INDEX.search)


def tidy(connection: Connection) -> None:
    """Drop what is written to while a side is measured."""
    with contextlib.suppress(MilvusKitError):
        drop_ours(connection, SCRATCH)


def medians(rounds: list[list[float]]) -> np.ndarray:
    """Return the median of each round, shape (n,)."""
    return np.array([float(np.median(one)) for one in rounds])


def operations(found: Measured) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what was done, and the median of each of its rounds."""
    for of, rounds in found.rounds.items():
        yield of, medians(rounds)
