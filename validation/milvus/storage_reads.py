"""What a Milvus process reads from its store, by its own account: its metrics of its S3 clients.

A process has two of them and counts what each does: ``milvus_storage_*`` is the Go half,
``internal_storage_*`` the C++ half of query, data and index nodes (seen on 2.3.5; the names of the
latter are the same on 2.6). Each has ``op_count``, ``request_latency`` in whole milliseconds and
``kv_size`` in bytes, by ``persistent_data_op_type``.
"""

from __future__ import annotations

import dataclasses

from validation.errors import UnsupportedError
from validation.milvus.metrics import Delta, Snapshot

HALVES = ("milvus_storage", "internal_storage")
"""Prefixes of the two S3 clients in a Milvus process."""
READS = ("get", "stat", "list")
"""Values of ``persistent_data_op_type`` that a load or a search can wait for."""
_OPERATION = "persistent_data_op_type"
_TICK_MS = 1.0
"""Latencies are cut to whole milliseconds before they are added up."""


@dataclasses.dataclass(frozen=True)
class StorageReads:
    """What a Milvus process read from its store between two scrapes, by its own account.

    Args:
        requests: How many requests succeeded.
        failed: How many failed; how long those took is not counted by every version.
        seconds_low: Their durations added up, at least: each was cut to whole milliseconds.
        seconds_high: At most: a millisecond more for each.
        bytes: Of the bodies it got; None if the server does not count them.
        by_client: The same of each of its S3 clients, for evidence.
    """

    requests: int
    failed: int
    seconds_low: float
    seconds_high: float
    bytes: int | None
    by_client: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)


def storage_reads(delta: Delta) -> StorageReads:
    """Return what the process read from its store in the meantime.

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
            remedy="give the metrics address of a query node or standalone server as"
            " milvus.metrics_uri",
        )
    parts = {half: _reads_of(delta, half) for half in halves}
    sums = {name: sum(part[name] for part in parts.values()) for name in parts[halves[0]]}
    sized = any(delta.after.total(f"{half}_kv_size_sum") is not None for half in halves)
    return StorageReads(
        requests=round(sums["requests"]),
        failed=round(sums["failed"]),
        seconds_low=sums["milliseconds"] / 1e3,
        seconds_high=(sums["milliseconds"] + _TICK_MS * sums["timed"]) / 1e3,
        bytes=round(sums["bytes"]) if sized else None,
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


def reads_so_far(seen: Snapshot) -> dict[tuple[str, str], tuple[float, float]]:
    """Return by S3 client and operation how many reads have ended and their seconds together."""
    return {
        (half, operation): (count, (total or 0.0) / 1e3)
        for half in HALVES
        for operation in READS
        if (count := seen.total(f"{half}_request_latency_count", **{_OPERATION: operation}))
        is not None
        for total in [seen.total(f"{half}_request_latency_sum", **{_OPERATION: operation})]
    }
