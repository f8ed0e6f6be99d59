"""What a Milvus process reads from its store, by its own account: its metrics of its S3 clients.

Two of them are counted with times: ``milvus_storage_*`` is the Go half, ``internal_storage_*`` the
C++ half of query, data and index nodes (seen on 2.3.5; the names of the latter are the same on
2.6). Each has ``op_count``, ``request_latency`` in whole milliseconds and ``kv_size`` in bytes, by
``persistent_data_op_type``.

From 2.6 on there is a third client, the filesystem of the milvus-storage library, which reads rows
and later also indexes. Its ``milvus_storage_filesystem_*`` are numbers of operations and bytes
without times, not all operations are counted, and some versions renew them only when certain tasks
end (read in Milvus's source). So from 2.6 on the other two say what was read at least, never what
was read at most.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from validation.errors import UnsupportedError
from validation.milvus.metrics import Delta, Snapshot

HALVES = ("milvus_storage", "internal_storage")
"""Prefixes of the two S3 clients in a Milvus process whose times are counted."""
READS = ("get", "stat", "list")
"""Values of ``persistent_data_op_type`` that a load or a search can wait for."""
FILESYSTEM = "milvus_storage_filesystem_"
"""Prefix of the client whose times are not counted."""
FILESYSTEM_SINCE = (2, 6)
_FILESYSTEM_READS = ("read_count", "get_file_info_count")
_OPERATION = "persistent_data_op_type"
_TICK_MS = 1.0
"""Latencies are cut to whole milliseconds before they are added up."""


@dataclasses.dataclass(frozen=True)
class StorageReads:
    """What Milvus processes read from their store between two scrapes, by their own account.

    Args:
        requests: How many requests succeeded.
        failed: How many failed; how long those took is not counted by every version.
        seconds_low: Their durations added up, at least: each was cut to whole milliseconds.
        seconds_high: At most: a millisecond more for each.
        bytes: Of the bodies it got; None if the server does not count them.
        untimed: Whether there is a client beside these whose reads are counted without times, or
            not at all: all that is above is then no more than a part.
        untimed_reads: How many of its reads were counted.
        by_client: The same of each S3 client, for evidence.
    """

    requests: int
    failed: int
    seconds_low: float
    seconds_high: float
    bytes: int | None
    untimed: bool = False
    untimed_reads: int = 0
    by_client: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)


def storage_reads(delta: Delta, version: tuple[int, ...] = ()) -> StorageReads:
    """Return what one process read from its store in the meantime.

    Args:
        delta: What its counters gained.
        version: The server's, as numbers; an unknown one is judged by its metrics alone.

    Raises:
        UnsupportedError: It does not count requests to its store.
        MeasurementError: A counter ran backwards.
    """
    halves = [
        half for half in HALVES if delta.after.total(f"{half}_request_latency_count") is not None
    ]
    if not halves:
        raise UnsupportedError(
            "this server does not count its requests to the store",
            where=delta.after.source,
            seen=f"no {' and no '.join(f'{half}_request_latency' for half in HALVES)}",
            remedy="give the metrics address of the query nodes or of a standalone server as"
            " milvus.metrics_uri",
        )
    parts = {half: _reads_of(delta, half) for half in halves}
    sums = {name: sum(part[name] for part in parts.values()) for name in parts[halves[0]]}
    sized = any(delta.after.total(f"{half}_kv_size_sum") is not None for half in halves)
    untimed = [delta.gain(FILESYSTEM + name) or 0.0 for name in _FILESYSTEM_READS]
    return StorageReads(
        requests=round(sums["requests"]),
        failed=round(sums["failed"]),
        seconds_low=sums["milliseconds"] / 1e3,
        seconds_high=(sums["milliseconds"] + _TICK_MS * sums["timed"]) / 1e3,
        bytes=round(sums["bytes"]) if sized else None,
        untimed=delta.after.has(FILESYSTEM) or version >= FILESYSTEM_SINCE,
        untimed_reads=round(sum(untimed)),
        by_client=parts,
    )


def together(each: Sequence[StorageReads]) -> StorageReads:
    """Return what several processes read, added up. Bytes are known only if all count them."""
    sizes = [one.bytes for one in each]
    parts: dict[str, dict[str, float]] = {}
    for one in each:
        for half, figures in one.by_client.items():
            total = parts.setdefault(half, dict.fromkeys(figures, 0.0))
            for name, value in figures.items():
                total[name] += value
    return StorageReads(
        requests=sum(one.requests for one in each),
        failed=sum(one.failed for one in each),
        seconds_low=sum(one.seconds_low for one in each),
        seconds_high=sum(one.seconds_high for one in each),
        bytes=None if None in sizes else sum(size or 0 for size in sizes),
        untimed=any(one.untimed for one in each),
        untimed_reads=sum(one.untimed_reads for one in each),
        by_client=parts,
    )


def _reads_of(delta: Delta, half: str) -> dict[str, float]:
    """Return what one S3 client of a process did: requests, failures, times and bytes."""
    found = dict.fromkeys(("requests", "failed", "timed", "milliseconds"), 0.0)
    for operation in READS:
        label = {_OPERATION: operation}
        timed = delta.gain(f"{half}_request_latency_count", **label) or 0.0
        ended = delta.gain(f"{half}_op_count", **label, status="success")
        # The Go half times a GET twice, its answer and its body, and counts it once.
        found["requests"] += timed if ended is None else ended
        found["failed"] += delta.gain(f"{half}_op_count", **label, status="fail") or 0.0
        found["timed"] += timed
        found["milliseconds"] += delta.gain(f"{half}_request_latency_sum", **label) or 0.0
    return {**found, "bytes": delta.gain(f"{half}_kv_size_sum", **{_OPERATION: "get"}) or 0.0}


@dataclasses.dataclass(frozen=True)
class Ended:
    """Reads of one kind that have ended since the process started.

    Args:
        count: How many.
        seconds: Their durations added up, each cut to whole milliseconds.
        within: How many of them took no longer than so many seconds, by that limit.
    """

    count: float
    seconds: float
    within: dict[float, float] = dataclasses.field(default_factory=dict)


def reads_so_far(seen: Snapshot) -> dict[tuple[str, str], Ended]:
    """Return by S3 client and operation which reads have ended."""
    found = {}
    for half, operation in itertools.product(HALVES, READS):
        name, label = f"{half}_request_latency", {_OPERATION: operation}
        count = seen.total(f"{name}_count", **label)
        if count is None:
            continue
        within: dict[float, float] = {}
        for key, value in seen.matching(f"{name}_bucket", **label).items():
            limit = float(dict(key)["le"]) / 1e3
            within[limit] = within.get(limit, 0.0) + value
        seconds = (seen.total(f"{name}_sum", **label) or 0.0) / 1e3
        found[half, operation] = Ended(count, seconds, within)
    return found
