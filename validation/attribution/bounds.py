"""What the store explains of a load or of searches: two bounds, made of what was measured.

It is the time in which a read of the store was under way. That is never seen directly, since reads
overlap each other. So there are two bounds, and a word only where both are on one side:

- **at most**: all the time Milvus counted in reads of the store, as if no two had overlapped;
- **at least**: the time during which a read was certainly under way, however many there were.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from validation.attribution import flight
from validation.attribution.model import ColdLoad, Cost, Part, Replay, Searches
from validation.milvus.storage_reads import StorageReads

SLOWEST = 0.05
"""Which share of the searches counts as the slow ones."""
COLD_SHARE = 0.9
"""A load that read less than this of what it needs from the store was not cold."""
TRACKING = "queryNode.segcore.tieredStorage.storageUsageTrackingEnabled"
"""Milvus's setting (2.6 and later) that lets each search say what it read."""


def load_part(load: ColdLoad, replay: Replay | None) -> Part:
    """Return what the store explains of a cold load."""
    name, reads = "cold load", load.reads
    inputs = {
        "milvus_reads": dataclasses.asdict(reads) if reads else None,
        "replay": dataclasses.asdict(replay) if replay else None,
        "load_seconds": [load.seconds_low, load.seconds],
        "index_bytes": load.index_bytes,
        "row_bytes": load.row_bytes,
        "seconds_with_a_read_under_way": load.in_flight,
        "segments_loaded": load.segments,
    }
    reason = next(_doubts_of_load(load), "")
    if reason or reads is None:
        return Part(name, reason=reason, inputs=inputs)
    high = 1.0
    if not (reads.failed or reads.untimed) and load.seconds_low > 0:
        high = min(1.0, reads.seconds_high / load.seconds_low)
    low = min(high, load.in_flight / load.seconds) if load.seconds > 0 else 0.0
    arithmetic = (
        f"at most {_counted(reads)} / {load.seconds_low:.3g} s = {high:.3g};"
        f" at least {load.in_flight:.3g} s with a read certainly under way / {load.seconds:.3g} s"
        f" = {low:.3g}"
    )
    if replay is not None and replay.bytes:
        arithmetic += (
            f"; for comparison, a client that does nothing else read {replay.bytes:,} bytes of"
            f" the same objects in {replay.seconds:.3g} s"
        )
    return Part(name, low, high, arithmetic=arithmetic, inputs=inputs)


def _doubts_of_load(load: ColdLoad) -> Iterator[str]:
    """Yield why nothing is known of a load; the first is the one to say."""
    reads = load.reads
    if reads is None:
        yield load.unknown or "Milvus's reads of the store are not known"
        return
    if not load.stored_bytes:
        yield "the declared bucket holds nothing of this collection, so Milvus reads elsewhere"
    if load.segments is not None and load.segments < 1:
        yield "the watched processes loaded no segment: another query node did"
    needed, what = (load.index_bytes, "index") if load.index_bytes else (load.row_bytes, "rows")
    if not needed:
        yield "the bucket holds neither an index nor rows of this collection to be read"
    if reads.bytes is None:
        yield "the server does not count the bytes it reads: whether the load was cold is unknown"
    elif reads.bytes < COLD_SHARE * needed:
        otherwise = (
            "they were read by a client whose reads Milvus does not time"
            if reads.untimed
            else "another query node did part of it"
        )
        yield (
            f"the watched processes read {reads.bytes:,} of the {needed:,} bytes of the {what}:"
            f" the load was not cold, or {otherwise}"
        )
    if not reads.requests:
        yield "the watched processes counted no read during a load"


def search_part(searches: Searches) -> Part:
    """Return what the store explains of the slowest searches, the slowest twentieth."""
    latencies, reads, cost = searches.latencies_ms, searches.reads, searches.cost
    slow = slowest(latencies)
    name = f"slowest {len(slow)} of {len(latencies)} {searches.state} searches"
    inputs = {
        "milvus_reads": dataclasses.asdict(reads) if reads else None,
        "searches": len(latencies),
        "searches_counted": searches.counted,
        "slow_searches_ms": [round(float(one), 3) for one in latencies[slow]],
        **_said(cost),
    }
    reason = next(_doubts_of_searches(searches), "")
    if reason or reads is None:
        return Part(name, reason=reason, inputs=inputs)
    waited = float(latencies[slow].sum()) / 1e3
    # A search that proves to have read nothing did not wait for any read that went on meanwhile.
    readers = [at for at in slow if not (cost.tracked.all() and cost.remote_bytes[at] == 0)]
    unseen = float(latencies[readers].sum()) / 1e3 if reads.untimed else 0.0
    high = 1.0 if reads.failed else min(1.0, (reads.seconds_high + unseen) / waited)
    certain = sum(
        flight.within(searches.under_way, float(began), float(began + took))
        for began, took in zip(searches.began[readers], latencies[readers] / 1e3, strict=True)
    )
    low = min(high, certain / waited)
    more = f" and {unseen:.3g} s of searches that read by a client without times" if unseen else ""
    arithmetic = (
        f"at most {_counted(reads, timed_alone=True)}{more} / {waited:.3g} s = {high:.3g};"
        f" at least {certain:.3g} s with a read certainly under way / {waited:.3g} s = {low:.3g}"
    )
    return Part(name, low, high, arithmetic=arithmetic, inputs=inputs)


def slowest(latencies_ms: np.ndarray) -> np.ndarray:
    """Return the positions of the slowest twentieth, at least one, slowest first."""
    count = min(len(latencies_ms), max(1, math.ceil(SLOWEST * len(latencies_ms))))
    return np.argsort(-np.asarray(latencies_ms), kind="stable")[:count]


def _doubts_of_searches(searches: Searches) -> Iterator[str]:
    """Yield why nothing is known of searches; the first is the one to say."""
    latencies, reads, counted = searches.latencies_ms, searches.reads, searches.counted
    if not len(latencies):
        yield "no search was measured"
    failed = int((~np.isfinite(latencies)).sum())
    if failed:
        yield f"{failed} of {len(latencies)} searches failed"
    if reads is None:
        yield searches.unknown or "Milvus's reads of the store are not known"
        return
    if counted is None or counted < len(latencies):
        yield (
            f"the watched processes counted {counted or 0:g} of {len(latencies)} searches:"
            " other query nodes served the rest"
        )
    silent = int((~searches.cost.tracked).sum())
    if reads.untimed and silent:
        yield (
            "this Milvus also reads by a client whose reads it does not time, and"
            f" {silent} of {len(latencies)} searches do not say what they read: set {TRACKING}"
        )
    if not reads.untimed and not reads.requests and np.nansum(searches.cost.remote_bytes) > 0:
        yield "searches report bytes from the store that the processes' counters do not show"


def _said(cost: Cost) -> dict[str, Any]:
    """Return what the searches said of their own reading, for evidence."""
    tracked = cost.tracked
    ratios = cost.hit_ratio[tracked & np.isfinite(cost.hit_ratio)]
    return {
        "searches_that_say_what_they_read": int(tracked.sum()),
        "scanned_remote_bytes": float(cost.remote_bytes[tracked].sum()) if tracked.any() else None,
        "scanned_total_bytes": float(cost.total_bytes[tracked].sum()) if tracked.any() else None,
        "cache_hit_ratio": float(ratios.mean()) if len(ratios) else None,
    }


def _counted(reads: StorageReads, *, timed_alone: bool = False) -> str:
    if reads.failed:
        return f"everything, since {reads.failed} reads failed and their time is not counted,"
    if reads.untimed and not timed_alone:
        seen = f", {reads.untimed_reads} of them counted," if reads.untimed_reads else ""
        return f"everything, since Milvus does not time the reads of one of its clients{seen}"
    return f"{reads.seconds_high:.3g} s in {reads.requests} reads of the store, none overlapping,"
