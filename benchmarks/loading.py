"""How fast the kit inserts beside a plain pymilvus column insert of the same batches, in turn.

    python benchmarks/loading.py [ROWS] [DIM]

Starts an embedded stack. Prints the seconds of every repeat and the ratio of
the medians; 1 means as fast, 2 twice as fast. Both fill collections of the kit's own, which are
dropped again.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from pymilvus import Collection, connections

from validation.datasets.generated import generate
from validation.datasets.model import Dataset
from validation.local.stack import EmbeddedStack
from validation.milvus import loading, ownership, schema
from validation.milvus.columns import rows_of
from validation.milvus.connection import Connection, connect
from validation.target import Target

REPEATS = 6
# Column inserts are only to be had from pymilvus's older interface, which says that it is older.
warnings.filterwarnings("ignore", category=FutureWarning)


def main(rows: int = 100_000, dim: int = 128) -> None:
    """Measure on a stack of its own and print."""
    with (
        tempfile.TemporaryDirectory(prefix="milvus-kit-bench-") as folder,
        EmbeddedStack(Path(folder) / "stack") as stack,
    ):
        measure(stack.target, rows, dim)


def measure(target: Target, rows: int, dim: int) -> None:
    """Insert in turn and print the ratio."""
    dataset = generate(rows, dim, queries=1)
    batch = loading.BATCH_BYTES // (dim * 4)
    connections.connect("bench", uri=target.milvus.uri)
    print(f"{rows:,} x {dim} and scalars, batches of {batch:,}; seconds of each repeat")
    with connect(target) as connection:

        def kit(name: str) -> None:
            loading.insert(connection, name, dataset, batch_rows=batch)

        def plain(name: str) -> None:
            collection = Collection(name, using="bench")
            columns = schema.columns(dataset)
            for at in range(0, rows, batch):
                part = slice(at, at + batch)
                collection.insert([rows_of(values, part) for values in columns.values()])

        seconds: dict[str, list[float]] = {"kit": [], "pymilvus": []}
        for repeat in range(REPEATS + 1):
            pairs = [("kit", kit), ("pymilvus", plain)]
            for name, insert in pairs if repeat % 2 else pairs[::-1]:
                taken = _timed(connection, dataset, name, insert)
                if repeat:  # the first of each only warms up
                    seconds[name].append(taken)
    for name, taken in seconds.items():
        print(f"{name:9}", " ".join(f"{second:.3f}" for second in taken))
    ratio = statistics.median(seconds["pymilvus"]) / statistics.median(seconds["kit"])
    print(f"speed relative to a plain pymilvus column insert: {ratio:.2f}")


def _timed(
    connection: Connection, dataset: Dataset, name: str, insert: Callable[[str], None]
) -> float:
    """Return the seconds of one insert into a fresh collection."""
    collection = ownership.collection_name("bench", name)
    ownership.drop_ours(connection, collection)
    loading.create(connection, dataset, name=collection, run="bench")
    started = time.perf_counter()
    insert(collection)
    taken = time.perf_counter() - started
    ownership.drop_ours(connection, collection)
    return taken


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:3]))
