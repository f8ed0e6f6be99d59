"""How each fault is planted: where it would happen, and nowhere else."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from validation import workload
from validation.datasets.generated import selecting
from validation.datasets.ground_truth import GroundTruth, exact
from validation.datasets.model import Dataset
from validation.load.plan import Plan
from validation.milvus.connection import Connection, connect
from validation.milvus.searching import Answers
from validation.selftest.slow_link import stalling
from validation.target import Target

ROWS = 7
"""How many rows a fault concerns."""

WIDEST_FILTER = 0.5
SLOW_SECONDS = 35
FAILING_EVERY = 20

Plant = Callable[[Target], AbstractContextManager[Target]]
Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


@contextlib.contextmanager
def replaced(module: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put what ``make`` makes of a module's function in its place for a while."""
    original = getattr(module, name)
    setattr(module, name, make(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def patched(module: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """Return a plant that replaces a module's function and leaves the target as it is."""

    @contextlib.contextmanager
    def plant(target: Target) -> Iterator[Target]:
        with replaced(module, name, make):
            yield target

    return plant


def shuffled_truth(original: Callable[..., GroundTruth]) -> Callable[..., GroundTruth]:
    """Give every query the neighbours of another one."""

    def truth(*args: Any, **named: Any) -> GroundTruth:
        found = original(*args, **named)
        return dataclasses.replace(
            found, rows=np.roll(found.rows, 1, axis=0), distances=found.distances / 1e3
        )

    return truth


def shuffled_judgements(original: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Give every query the judgements of another one."""

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


def sent_otherwise(change: Callable[[Dataset], Dataset]) -> Callable[[Any], Any]:
    """Send other rows of the generated dataset than the suite believes."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def insert(connection: Connection, name: str, dataset: Dataset, **options: Any) -> Any:
            if dataset.texts is not None:
                return original(connection, name, dataset, **options)
            original(connection, name, change(dataset), **options)
            return dataset.ids

        return insert

    return make


def without_rows(dataset: Dataset) -> Dataset:
    """Leave a few rows out."""
    return dataset.taken(np.setdiff1d(np.arange(dataset.rows), _unsought_rows(dataset)))


def with_foreign_rows(dataset: Dataset) -> Dataset:
    """Add a few rows under keys of their own."""
    taken = dataset.taken(np.concatenate([np.arange(dataset.rows), _unsought_rows(dataset)]))
    ids = np.asarray(taken.ids).copy()
    ids[-ROWS:] = int(ids.max()) + 1 + np.arange(ROWS)
    return dataclasses.replace(taken, ids=ids)


def with_changed_rows(dataset: Dataset) -> Dataset:
    """Change one bit of one value in a few vectors."""
    vectors = dataset.vectors.copy()
    for row in _unsought_rows(dataset):
        vectors[row, 0] = np.nextafter(vectors[row, 0], np.float32(np.inf))
    return dataclasses.replace(dataset, vectors=vectors)


def stale_count(original: Callable[..., int]) -> Callable[..., int]:
    """Count too few rows."""

    def count(*args: Any, **named: Any) -> int:
        return original(*args, **named) - ROWS

    return count


def leaking_filter(original: Callable[..., Answers]) -> Callable[..., Answers]:
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


def stalling_line(*, every: int, seconds: float) -> Plant:
    """Hold back every n-th piece of what the server answers."""

    @contextlib.contextmanager
    def plant(target: Target) -> Iterator[Target]:
        parts = urlsplit(target.milvus.uri)
        host, port = parts.hostname or "", parts.port or 0
        with stalling(host, port, every=every, seconds=seconds) as slow:
            yield _with_milvus(target, uri=f"http://127.0.0.1:{slow}")

    return plant


def failing_searches(original: Callable[..., Plan]) -> Callable[..., Plan]:
    """Let some of the prepared searches ask for a collection that is not there."""

    def search_plan(connection: Connection, name: str, vectors: np.ndarray, **named: Any) -> Plan:
        made = original(connection, name, vectors, **named)
        lost = original(connection, name + "_lost", vectors[:1], **named).requests[0]
        requests = tuple(
            lost if at % FAILING_EVERY == 0 else request for at, request in enumerate(made.requests)
        )
        return dataclasses.replace(made, requests=requests)

    return search_plan


def ignored_filter(original: Callable[..., Answers]) -> Callable[..., Answers]:
    """Search as if there were no filter."""

    def search(*args: Any, **named: Any) -> Answers:
        return original(*args, **{**named, "filter": None})

    return search


def blind_search(original: Callable[..., Answers]) -> Callable[..., Answers]:
    """Miss a neighbour in a few exhaustive searches, as if a segment was not loaded."""

    def search(*args: Any, **named: Any) -> Answers:
        answers = original(*args, **named)
        exhaustive = not named.get("params") and named.get("filter") is None
        if exhaustive and answers.ids.dtype != object:
            answers.found[:ROWS] -= 1
            answers.ids[np.arange(ROWS), answers.found[:ROWS]] = -1
        return answers

    return search


@contextlib.contextmanager
def other_version(target: Target) -> Iterator[Target]:
    """Declare a version that nobody has."""
    yield _with_milvus(target, version="2.99.0")


@contextlib.contextmanager
def other_root(target: Target) -> Iterator[Target]:
    """Declare a root path where nothing is."""
    storage = target.storage
    assert storage is not None  # noqa: S101  (the embedded stack always has a store)
    elsewhere = storage.model_copy(update={"root_path": "elsewhere"})
    yield target.model_copy(update={"storage": elsewhere})


def _with_milvus(target: Target, **changes: Any) -> Target:
    return target.model_copy(update={"milvus": target.milvus.model_copy(update=changes)})


def forgetful_restart(kind: str, condition: Callable[[], str]) -> Wrapper:
    """Lose rows of one dataset while the server is away.

    Args:
        kind: Part of the collection's name.
        condition: Which rows, as a filter expression.
    """

    def make(original: Callable[..., float]) -> Callable[..., float]:
        def restart(target: Target, **options: Any) -> float:
            with connect(target) as connection:
                for name in connection.client.list_collections():
                    if name.startswith("mk_") and kind in name:
                        connection.client.delete(name, filter=condition(), timeout=30)
            return original(target, **options)

        return restart

    return make


def first_passages() -> str:
    """Return a filter for the passages that the first queries find first."""
    dataset = workload.corpus()
    queries = dataset.queries.vectors[:ROWS]
    best = exact(dataset.vectors, queries, 1, dataset.metric).rows[:, 0]
    return "id in [" + ", ".join(f'"{dataset.ids[row]}"' for row in best) + "]"


def slow_restart(original: Callable[..., float]) -> Callable[..., float]:
    """Take longer to come back."""

    def restart(target: Target, **options: Any) -> float:
        time.sleep(SLOW_SECONDS)
        return original(target, **options) + SLOW_SECONDS

    return restart
