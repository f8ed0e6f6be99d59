"""What cannot be planted on the wire: in what the suite compares with, and around a restart."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from validation.datasets.generated import selecting
from validation.datasets.ground_truth import GroundTruth, exact
from validation.datasets.model import Dataset
from validation.load.samples import Samples
from validation.milvus.connection import connect
from validation.runs.profiles import Profile
from validation.s3.conformance.writing.conditional import EXISTS, WRITTEN
from validation.selftest.fault import Plant
from validation.selftest.held_up import busy_loops, stopped
from validation.selftest.wire.stalls import Stalls
from validation.suite import workload
from validation.target import Target, Wal

ROWS = 7
"""How many rows a fault concerns."""

WIDEST_FILTER = 0.5
SLOW_SECONDS = 35
RACES = 50

Maker = Callable[[Callable[..., Any], Profile], Callable[..., Any]]


def patched(module: Any, name: str, make: Maker) -> Plant:
    """Return a plant that puts what ``make`` makes of a module's function in its place."""

    @contextlib.contextmanager
    def plant(target: Target, profile: Profile) -> Iterator[Target]:
        original = getattr(module, name)
        setattr(module, name, make(original, profile))
        try:
            yield target
        finally:
            setattr(module, name, original)

    return plant


def together(*plants: Plant) -> Plant:
    """Return a plant of several in this process."""

    @contextlib.contextmanager
    def plant(target: Target, profile: Profile) -> Iterator[Target]:
        with contextlib.ExitStack() as stack:
            for one in plants:
                target = stack.enter_context(one(target, profile))
            yield target

    return plant


def shuffled_truth(original: Callable[..., GroundTruth], _: Profile) -> Callable[..., GroundTruth]:
    """Give every query the neighbours of another one."""

    def truth(*args: Any, **named: Any) -> GroundTruth:
        found = original(*args, **named)
        return dataclasses.replace(
            found, rows=np.roll(found.rows, 1, axis=0), distances=found.distances / 1e3
        )

    return truth


def shuffled_judgements(original: Callable[..., Dataset], _: Profile) -> Callable[..., Dataset]:
    """Give every query the judgements of another one."""

    def corpus(*args: Any) -> Dataset:
        dataset = original(*args)
        judged = dataset.qrels or {}
        grades = [*judged.values()]
        half = len(grades) // 2
        others = [*grades[half:], *grades[:half]]
        return dataclasses.replace(dataset, qrels=dict(zip(judged, others, strict=True)))

    return corpus


def unsought_keys(profile: Profile) -> frozenset[int]:
    """Return keys of rows that are nobody's neighbour, so that no answer changes with them."""
    dataset = workload.generated(profile)
    neighbours = exact(dataset.vectors, dataset.queries.vectors, workload.K, dataset.metric).rows
    unfiltered = np.flatnonzero(~selecting(WIDEST_FILTER).mask(dataset.scalars))
    return frozenset(int(row) for row in np.setdiff1d(unfiltered, neighbours)[:ROWS])


@contextlib.contextmanager
def log_on_the_store(target: Target, _: Profile) -> Iterator[Target]:
    """Declare that Milvus's log lies on the store, whose conditional writes it then relies on."""
    milvus = target.milvus.model_copy(update={"wal": Wal.WOODPECKER_EMBEDDED})
    yield target.model_copy(update={"milvus": milvus})


def two_winners(original: Callable[..., list[Any]], _: Profile) -> Callable[..., list[Any]]:
    """Tell a second writer that it won, in the last of `RACES` races."""

    def fire(volley: Any, requests: Sequence[Any]) -> list[Any]:
        replies = original(volley, requests)
        for at, (request, reply) in enumerate(zip(requests, replies, strict=True)):
            if request.key.endswith(f"race-{RACES - 1}") and getattr(reply, "status", 0) == EXISTS:
                replies[at] = dataclasses.replace(reply, status=WRITTEN, body=b"")
                break
        return replies

    return fire


@contextlib.contextmanager
def starved(target: Target, _: Profile) -> Iterator[Target]:
    """Let the suite share its core with busy loops."""
    with busy_loops():
        yield target


def standing_still(stalls: Stalls) -> Maker:
    """Let the processes that measure under load stand still at times."""

    def make(original: Callable[..., Any], _: Profile) -> Callable[..., Any]:
        @contextlib.contextmanager
        def worker(*args: Any) -> Iterator[Any]:
            with original(*args) as process, stopped(process, stalls):
                yield process

        return worker

    return make


def counted_from_sending(original: Callable[..., Samples], _: Profile) -> Callable[..., Samples]:
    """Let a latency begin when its request was sent, however late that was."""

    def samples(*args: Any) -> Samples:
        seen = original(*args)
        return dataclasses.replace(seen, latencies_ms=seen.latencies_ms - seen.lag_ms)

    return samples


def forgetful_restart(kind: str, condition: Callable[[Profile], str]) -> Maker:
    """Lose rows of one dataset while the server is away.

    Args:
        kind: Part of the collection's name.
        condition: Which rows, as a filter expression.
    """

    def make(original: Callable[..., float], profile: Profile) -> Callable[..., float]:
        def restart(target: Target, **options: Any) -> float:
            with connect(target) as connection:
                for name in connection.client.list_collections():
                    if name.startswith("mk_") and kind in name:
                        connection.client.delete(name, filter=condition(profile), timeout=30)
            return original(target, **options)

        return restart

    return make


def unsought_rows(profile: Profile) -> str:
    """Return a filter for rows that are nobody's neighbour."""
    return f"id in {sorted(unsought_keys(profile))}"


def first_passages(_: Profile) -> str:
    """Return a filter for the passages that the first queries find first."""
    dataset = workload.corpus()
    queries = dataset.queries.vectors[:ROWS]
    best = exact(dataset.vectors, queries, 1, dataset.metric).rows[:, 0]
    return "id in [" + ", ".join(f'"{dataset.ids[row]}"' for row in best) + "]"


def slow_restart(original: Callable[..., float], _: Profile) -> Callable[..., float]:
    """Take longer to come back."""

    def restart(target: Target, **options: Any) -> float:
        time.sleep(SLOW_SECONDS)
        return original(target, **options) + SLOW_SECONDS

    return restart
