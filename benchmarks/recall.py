"""How long `milvus-kit recall` takes beside an iterator that reads the vectors, and its memory.

    python benchmarks/recall.py [ROWS] [DIM] [QUERIES] [INDEX]

Loads ROWS into a Milvus on this host, then reads them by pymilvus's query iterator and by the
command, in turn. Prints the seconds of each, the ratio (1.3 at most is promised) and the command's
peak memory (1.5 GiB at most). 1,000,000 x 768 needs 12 GB of memory for the server and 10 of disk.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from validation.datasets.model import Dataset, Queries
from validation.local.stack import EmbeddedStack
from validation.milvus import indexing, loading
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import index_named

REPEATS = 2
NAME = "mk_bench_recall"
CHUNK = 20_000
PAGE = 5_000
"""Rows of a page of the bare iterator: 15 MB at 768 dimensions."""


def main(rows: int, dim: int, queries: int, *, index: str) -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory(prefix="milvus-kit-bench-") as scratch,
        EmbeddedStack(Path(scratch) / "stack") as stack,
        connect(stack.target) as connection,
    ):
        fill(connection, rows, dim, index)
        print(f"{rows:,} x {dim}, {index}, {queries} queries; seconds of each repeat")
        bare, kit, peak = [], [], 0
        for _ in range(REPEATS):
            bare.append(iterate(connection, rows))
            seconds, bytes_ = recall(stack.status().target_file, queries)
            kit.append(seconds)
            peak = max(peak, bytes_)
    print("bare iterator", " ".join(f"{one:.1f}" for one in bare))
    print("recall       ", " ".join(f"{one:.1f}" for one in kit))
    print(f"recall over bare iterator: {min(kit) / min(bare):.2f}; peak {peak / 2**30:.2f} GiB")


def fill(connection: Connection, rows: int, dim: int, index: str) -> None:
    """Load clustered rows, a chunk at a time."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(max(1, rows // 500), dim)).astype(np.float32)

    def chunk(at: int) -> Dataset:
        count = min(CHUNK, rows - at)
        near = centres[random.integers(len(centres), size=count)]
        vectors = near + random.normal(size=(count, dim)).astype(np.float32)
        ids = np.arange(at, at + count)
        return Dataset("bench", ids, vectors, {}, Queries(["q"], vectors[:1]))

    first = chunk(0)
    loading.create(connection, first, name=NAME, run="bench")
    for at in range(0, rows, CHUNK):
        loading.insert(connection, NAME, first if at == 0 else chunk(at))
    loading.flush(connection, NAME)
    every = dataclasses.replace(first, ids=np.arange(rows))
    indexing.build(connection, NAME, index_named(index, rows), every)
    loading.load_for_search(connection, NAME)


def iterate(connection: Connection, rows: int) -> float:
    """Return how long pymilvus's query iterator takes over all vectors."""
    started, count = time.monotonic(), 0
    iterator = connection.client.query_iterator(NAME, batch_size=PAGE, output_fields=["vector"])
    while page := iterator.next():
        count += len(page)
    iterator.close()
    if count != rows:
        print(f"the bare iterator returned {count:,} rows")
    return time.monotonic() - started


def recall(target: Path, queries: int) -> tuple[float, int]:
    """Return how long the command takes, and its peak memory in bytes."""
    command = [
        *(Path(sys.executable).with_name("milvus-kit"), "recall", "--target", target),
        *("--collection", NAME, "--queries", str(queries)),
    ]
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        print(f"the command ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_maxrss * 1024


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:4]] + [50_000, 768, 200][len(sys.argv[1:4]) :]
    main(*numbers, index=sys.argv[4] if sys.argv[4:] else "FLAT")
