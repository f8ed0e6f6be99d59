"""What goes on beside a measurement: a collection that is loaded again and again."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from validation.datasets.model import Dataset
from validation.errors import MilvusKitError
from validation.milvus import loading
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.milvus.ownership import drop_ours
from validation.target import Target


@dataclasses.dataclass
class Background:
    """How far it is.

    Args:
        times: How often the collection was loaded whole.
        rows: How many rows that were.
        failure: Why it ended before it was told to; empty if it did not.
        phases: What was done, with its begin and end on the monotonic clock.
    """

    times: int = 0
    rows: int = 0
    failure: str = ""
    phases: list[tuple[str, float, float]] = dataclasses.field(default_factory=list)


@contextmanager
def loading_over_and_over(
    target: Target, dataset: Dataset, name: str, *, run: str
) -> Iterator[Background]:
    """Create, insert, flush, index, load and drop a collection until the block ends.

    All that Milvus does in the background goes on then: writing its log and segments, building
    indexes, reading them back from the store and removing them.

    Args:
        target: Where.
        dataset: What is loaded each time.
        name: Of the collection, which is none of those that are measured.
        run: Identity of the run.
    """
    done, told = Background(), threading.Event()

    def work() -> None:
        try:
            with connect(target) as connection:
                while not told.is_set():
                    index = index_named("HNSW", dataset.rows)
                    at = time.monotonic()
                    loaded = loading.load(connection, dataset, name=name, index=index, run=run)
                    for phase in loaded.phases:
                        done.phases.append((phase.name, at, at + phase.seconds))
                        at += phase.seconds
                    done.times += 1
                    done.rows += dataset.rows
                drop_ours(connection, name)
        except MilvusKitError as error:
            done.failure = str(error).splitlines()[0]

    worker = threading.Thread(target=work, name="loading beside", daemon=True)
    worker.start()
    try:
        yield done
    finally:
        told.set()
        worker.join()
