"""The faults: each says what it breaks, and which gates have to turn red for it.

A fault is planted where it would happen: in what the server is sent, in what it answers, on the
line between, or in what the suite compares with. The checks themselves are not touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from validation import workload
from validation.datasets.generated import selecting
from validation.datasets.ground_truth import GroundTruth, exact
from validation.datasets.model import Dataset
from validation.local import stack
from validation.milvus import loading, manifest, searching
from validation.milvus.connection import Connection, connect
from validation.milvus.searching import Answers
from validation.selftest.slow_link import stalling
from validation.target import Target
from validation.verdict import Rule

ROWS = 7
WIDEST_FILTER = 0.5
STALL_EVERY = 10
STALL_SECONDS = 0.6

Plant = Callable[[Target], AbstractContextManager[Target]]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One planted fault.

    Args:
        name: As in ``milvus-kit selftest --fault NAME``.
        story: What goes wrong, in a reader's words.
        turns_red: Whether a gate of this rule has to turn red; all others must not.
        plant: Plants it, yields the target to run the suite on, and takes it away again.
    """

    name: str
    story: str
    turns_red: Callable[[Rule], bool]
    plant: Plant


def metrics(*names: str) -> Callable[[Rule], bool]:
    """Return whether a rule is of one of these metrics."""
    return lambda rule: rule.metric in names


def tails(*names: str) -> Callable[[Rule], bool]:
    """Return whether a rule is of the slowest answers of one of these metrics."""
    return lambda rule: rule.metric in names and rule.statistic in {"p99", "p99.9", "max"}


@contextlib.contextmanager
def replaced(module: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put what ``make`` makes of a module's function in its place for a while."""
    original = getattr(module, name)
    setattr(module, name, make(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def _patch(module: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    @contextlib.contextmanager
    def plant(target: Target) -> Iterator[Target]:
        with replaced(module, name, make):
            yield target

    return plant


def _shuffled_truth(original: Callable[..., GroundTruth]) -> Callable[..., GroundTruth]:
    def truth(*args: Any, **named: Any) -> GroundTruth:
        found = original(*args, **named)
        return dataclasses.replace(
            found, rows=np.roll(found.rows, 1, axis=0), distances=found.distances / 1e3
        )

    return truth


def _shuffled_judgements(original: Callable[..., Dataset]) -> Callable[..., Dataset]:
    def corpus(*args: Any) -> Dataset:
        dataset = original(*args)
        judged = dataset.qrels or {}
        grades = [*judged.values()]
        half = len(grades) // 2
        others = [*grades[half:], *grades[:half]]
        return dataclasses.replace(dataset, qrels=dict(zip(judged, others, strict=True)))

    return corpus


def _unsought_rows(dataset: Dataset) -> np.ndarray:
    """Return positions of rows that are nobody's neighbour, so that no recall changes with them."""
    neighbours = exact(dataset.vectors, dataset.queries.vectors, workload.K, dataset.metric).rows
    unfiltered = np.flatnonzero(~selecting(WIDEST_FILTER).mask(dataset.scalars))
    return np.setdiff1d(unfiltered, neighbours)[:ROWS]


def _sent_otherwise(change: Callable[[Dataset], Dataset]) -> Callable[[Any], Any]:
    """Send other rows of the generated dataset than the suite believes."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def insert(connection: Connection, name: str, dataset: Dataset, **options: Any) -> Any:
            if dataset.texts is not None:
                return original(connection, name, dataset, **options)
            original(connection, name, change(dataset), **options)
            return dataset.ids

        return insert

    return make


def _taken(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Return a dataset with these rows only."""
    return dataclasses.replace(
        dataset,
        ids=np.asarray(dataset.ids)[rows],
        vectors=np.ascontiguousarray(dataset.vectors[rows]),
        scalars={
            name: column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
            for name, column in dataset.scalars.items()
        },
    )


def _without_rows(dataset: Dataset) -> Dataset:
    return _taken(dataset, np.setdiff1d(np.arange(dataset.rows), _unsought_rows(dataset)))


def _with_foreign_rows(dataset: Dataset) -> Dataset:
    taken = _taken(dataset, np.concatenate([np.arange(dataset.rows), _unsought_rows(dataset)]))
    ids = np.asarray(taken.ids).copy()
    ids[-ROWS:] = int(ids.max()) + 1 + np.arange(ROWS)
    return dataclasses.replace(taken, ids=ids)


def _with_changed_rows(dataset: Dataset) -> Dataset:
    """Change one bit of one value in a few vectors."""
    vectors = dataset.vectors.copy()
    for row in _unsought_rows(dataset):
        vectors[row, 0] = np.nextafter(vectors[row, 0], np.float32(np.inf))
    return dataclasses.replace(dataset, vectors=vectors)


def _stale_count(original: Callable[..., int]) -> Callable[..., int]:
    def count(*args: Any, **named: Any) -> int:
        return original(*args, **named) - ROWS

    return count


def _leaking_filter(original: Callable[..., Answers]) -> Callable[..., Answers]:
    """Put a row that the filter forbids in the last place of one answer."""

    def search(connection: Connection, name: str, vectors: np.ndarray, **options: Any) -> Answers:
        answers = original(connection, name, vectors, **options)
        condition = options.get("filter")
        if isinstance(condition, str) and answers.found[0]:
            everything = original(connection, name, vectors[:1], **{**options, "filter": None})
            forbidden = [one for one in everything.of(0) if one not in answers.of(0)]
            if forbidden:
                answers.ids[0, answers.found[0] - 1] = forbidden[0]
        return answers

    return search


@contextlib.contextmanager
def _stalling_line(target: Target) -> Iterator[Target]:
    parts = urlsplit(target.milvus.uri)
    with stalling(
        parts.hostname or "", parts.port or 0, every=STALL_EVERY, seconds=STALL_SECONDS
    ) as port:
        yield _with_milvus(target, uri=f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def _other_version(target: Target) -> Iterator[Target]:
    yield _with_milvus(target, version="2.99.0")


@contextlib.contextmanager
def _other_root(target: Target) -> Iterator[Target]:
    storage = target.storage
    assert storage is not None  # noqa: S101  (the embedded stack always has a store)
    elsewhere = storage.model_copy(update={"root_path": "elsewhere"})
    yield target.model_copy(update={"storage": elsewhere})


def _with_milvus(target: Target, **changes: Any) -> Target:
    return target.model_copy(update={"milvus": target.milvus.model_copy(update=changes)})


def _forgetful_restart(original: Callable[..., float]) -> Callable[..., float]:
    """Lose rows of the generated dataset while the server is away."""

    def restart(target: Target, **options: Any) -> float:
        with connect(target) as connection:
            for name in _generated_collections(connection):
                connection.client.delete(name, filter=f"id < {ROWS}", timeout=30)
        return original(target, **options)

    return restart


def _generated_collections(connection: Connection) -> list[str]:
    names: Mapping[str, Any] = dict.fromkeys(connection.client.list_collections())
    return [name for name in names if name.startswith("mk_") and "generated" in name]


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "shuffled-ground-truth",
            "the exact neighbours that results are compared with belong to other queries",
            metrics("ann_overlap@10", "filtered_ann_overlap@10"),
            _patch(workload, "truth", _shuffled_truth),
        ),
        Fault(
            "dropped-rows",
            f"{ROWS} rows are acknowledged and not stored",
            metrics("data.rows_missing", "data.row_count_error"),
            _patch(loading, "insert", _sent_otherwise(_without_rows)),
        ),
        Fault(
            "delayed-replies",
            f"every {STALL_EVERY}th piece of an answer is {STALL_SECONDS:g} s late",
            tails("search.latency.serial", "search.latency.open_loop"),
            _stalling_line,
        ),
        Fault(
            "leaking-filter",
            "one result of a filtered search breaks its filter",
            metrics("filter.violations"),
            _patch(searching, "search", _leaking_filter),
        ),
        Fault(
            "stale-row-count",
            f"the server counts {ROWS} rows too few",
            metrics("data.row_count_error"),
            _patch(manifest, "count", _stale_count),
        ),
        Fault(
            "foreign-rows",
            f"{ROWS} rows are stored that nobody sent",
            metrics("data.rows_unexpected", "data.row_count_error"),
            _patch(loading, "insert", _sent_otherwise(_with_foreign_rows)),
        ),
        Fault(
            "changed-rows",
            f"one bit differs in {ROWS} stored vectors",
            metrics("data.rows_changed"),
            _patch(loading, "insert", _sent_otherwise(_with_changed_rows)),
        ),
        Fault(
            "shuffled-judgements",
            "the relevance judgements belong to other queries",
            metrics("ndcg@10", "mrr@10", "qrels_recall@10"),
            _patch(workload, "corpus", _shuffled_judgements),
        ),
        Fault(
            "other-version",
            "another version answers than was declared",
            metrics("identity.mismatches"),
            _other_version,
        ),
        Fault(
            "empty-bucket",
            "the declared bucket and path hold nothing of Milvus",
            metrics("storage.persisted_ratio", "storage.index_objects"),
            _other_root,
        ),
        Fault(
            "forgetful-restart",
            f"{ROWS} rows are gone after a restart",
            metrics("restart.rows_lost"),
            _patch(stack, "restart", _forgetful_restart),
        ),
    )
}
