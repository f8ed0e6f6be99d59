"""How long the first search takes after a collection was loaded again."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from validation.datasets.model import Dataset
from validation.milvus import loading, searching
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec

ROUNDS = 3
_STEADY = 20
K = 10


@dataclasses.dataclass(frozen=True)
class Reloaded:
    """Of several loads of one collection.

    Args:
        load_seconds: How long each took until the server said that all is loaded, shape (n,).
        first_ms: How long the first search after each took, shape (n,).
        steady_ms: The median of some that followed.
    """

    load_seconds: np.ndarray
    first_ms: np.ndarray
    steady_ms: float


def reload(connection: Connection, dataset: Dataset, index: IndexSpec, *, name: str) -> Reloaded:
    """Release a collection and load it again, a few times, and search it at once.

    Args:
        connection: An open connection to the server.
        dataset: Its queries.
        index: What is searched through.
        name: Of the collection.

    Raises:
        MeasurementError: A load or a search failed.
    """
    load, first, steady = [], [], []
    for number in range(ROUNDS):
        with connection.explained(f"release {name}"):
            connection.client.release_collection(name, timeout=connection.timeout)
        began = time.monotonic()
        loading.load_for_search(connection, name)
        load.append(time.monotonic() - began)
        took = [
            _search_ms(connection, dataset, index, name, number + at) for at in range(_STEADY + 1)
        ]
        first.append(took[0])
        steady += took[1:]
    return Reloaded(np.array(load), np.array(first), float(np.median(steady)))


def _search_ms(
    connection: Connection, dataset: Dataset, index: IndexSpec, name: str, at: int
) -> float:
    query = at % len(dataset.queries)
    vectors = dataset.queries.vectors[query : query + 1]
    began = time.monotonic()
    searching.search(connection, name, vectors, k=K, params=index.search)
    return (time.monotonic() - began) * 1e3
