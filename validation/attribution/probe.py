"""The raw probe: reads the objects of one collection as any S3 client would, beside Milvus.

It only ever reads, and only objects that belong to the collection it is given.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions as boto
import numpy as np

from validation.attribution.model import Replay
from validation.errors import MeasurementError
from validation.milvus.objects import Stored
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import READ_SECONDS
from validation.s3.client.failures import translated
from validation.target import Storage

CONNECTIONS = 16
MAX_BYTES = 256 << 20
MAX_SECONDS = 30.0
PAUSE_SECONDS = 0.05
PIECE_BYTES = 64 << 10
_ORDER = {"index_files": 0, "stats_log": 1, "insert_log": 2}


def replay(storage: Storage, objects: Sequence[Stored], *, wanted: int) -> Replay:
    """Read as many bytes of a collection's objects as Milvus did, whole objects in parallel.

    Args:
        storage: The storage contract; keys that may read are enough.
        objects: Of the collection.
        wanted: How many bytes, at least, as far as there are that many; `MAX_BYTES` at most.

    Raises:
        MeasurementError: There is nothing to read, or an object cannot be read.
        UnreachableError: The store does not answer.
    """
    chosen = choose(objects, wanted)
    if not chosen:
        raise MeasurementError(
            "the collection has no object in the bucket",
            where=f"{storage.endpoint}/{storage.bucket}/{storage.root}",
        )
    with translated(storage):
        client = connect(storage, connections=CONNECTIONS)
        read_object(client, storage, chosen[-1].key, piece=1)  # signs in and connects, unmeasured
        end = time.monotonic() + MAX_SECONDS

        def read(one: Stored) -> tuple[int, float]:
            if time.monotonic() > end:
                return 0, 0.0
            began = time.monotonic()
            return read_object(client, storage, one.key), time.monotonic() - began

        began = time.monotonic()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            results = list(pool.map(read, chosen))
        seconds = time.monotonic() - began
    done = [one for one in results if one[1]]
    return Replay(
        bytes=sum(size for size, _ in done),
        requests=len(done),
        seconds=seconds,
        request_seconds=sum(taken for _, taken in done),
    )


def choose(objects: Sequence[Stored], wanted: int) -> list[Stored]:
    """Return which objects to read: those that a load needs first, until there are enough bytes.

    A load reads index files and statistics, and of the rows' own files only some columns: the
    small ones are taken first.
    """
    chosen, total = [], 0
    for one in sorted(objects, key=lambda one: (_ORDER.get(one.kind, len(_ORDER)), one.size)):
        if total >= min(wanted, MAX_BYTES):
            break
        chosen.append(one)
        total += one.size
    return chosen


@dataclasses.dataclass
class Companion:
    """Small reads, one after the other, while something else goes on.

    Args:
        seconds: Duration of each, in the order in which they were made.
        ended: When each ended, on `time.monotonic`.
        failed: How many failed.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    ended: list[float] = dataclasses.field(default_factory=list)
    failed: int = 0

    def within(self, begin: float, end: float) -> dict[str, Any]:
        """Return figures of the reads that ended within an interval of `time.monotonic`."""
        pairs = zip(self.ended, self.seconds, strict=False)
        chosen = [1e3 * seconds for at, seconds in pairs if begin <= at <= end]
        if not chosen:
            return {"reads": 0}
        return {
            "reads": len(chosen),
            "p50_ms": round(float(np.median(chosen)), 3),
            "max_ms": round(max(chosen), 3),
        }


@contextlib.contextmanager
def companion(storage: Storage, objects: Sequence[Stored]) -> Iterator[Companion]:
    """Read the first 64 KiB of the collection's objects in turn, some twenty times a second.

    It is light on purpose: one connection, so that Milvus is watched and not slowed.
    """
    seen, over = Companion(), threading.Event()
    client = connect(storage, connections=1)

    def run() -> None:
        at = 0
        while not over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                read_object(client, storage, objects[at % len(objects)].key, piece=PIECE_BYTES)
            except (boto.ClientError, boto.BotoCoreError):
                seen.failed += 1
            else:
                seen.seconds.append(time.monotonic() - began)
                seen.ended.append(time.monotonic())
            at += 1

    thread = threading.Thread(target=run, daemon=True)
    if objects:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        if objects:
            thread.join(timeout=READ_SECONDS)


def read_object(client: Any, storage: Storage, key: str, *, piece: int = 0) -> int:
    """Read an object, or its first bytes, and return how many bytes came."""
    part = {"Range": f"bytes=0-{piece - 1}"} if piece else {}
    body = client.get_object(Bucket=storage.bucket, Key=key, **part)["Body"]
    with contextlib.closing(body):
        return sum(len(block) for block in body.iter_chunks(1 << 20))
