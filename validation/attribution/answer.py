"""From measurements to the answer: compute-bound, storage-bound or undecided. Nothing is measured.

What the store explains of a stretch of time is never seen directly: requests overlap each other and
the server's own work. So each part has two bounds, and a word only where both are on one side:

- **at most**: all the time Milvus counted in reads of the store, as if nothing had overlapped;
- **at least**: the time during which a read was certainly under way, or what a client needs that
  does nothing but read the same bytes in parallel, no slower than Milvus's own requests were.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.attribution.model import Answer, Bound, ColdLoad, Part, Replay, Searches
from validation.milvus.storage_reads import StorageReads

SLOWEST = 0.05
"""Which share of the searches counts as the slow ones."""
COLD_SHARE = 0.9
"""A load that read less than this of the index from the store was not cold."""


def answer(parts: Sequence[Part], *, slo: str = "") -> Answer:
    """Return the answer that the parts give together.

    It is storage-bound if any part is, compute-bound only if every part is, else undecided.

    Args:
        parts: Of `load_part` and `search_part`.
        slo: The rule in force and how the searches stand to it; empty if there is none.
    """
    bounds = [part.bound for part in parts]
    if Bound.STORAGE in bounds:
        bound = Bound.STORAGE
    elif bounds and all(one is Bound.COMPUTE for one in bounds):
        bound = Bound.COMPUTE
    else:
        bound = Bound.UNDECIDED
    # What decides comes first.
    ordered = sorted(parts, key=lambda part: part.bound is not bound)
    said = "; ".join(part.text() for part in ordered) or "nothing was measured"
    at = f"at its SLO ({slo})" if slo else "(no latency rule is in force)"
    return Answer(bound, f"this stack is {bound.value} {at}: {said}", tuple(parts))


def load_part(load: ColdLoad, replay: Replay | None) -> Part:
    """Return what the store explains of a cold load."""
    name, reads = "cold load", load.reads
    inputs = _inputs(load.reads, replay) | {
        "load_seconds": load.seconds,
        "index_bytes": load.index_bytes,
        "seconds_with_a_read_under_way": load.in_flight,
        "segments_loaded": load.segments,
    }
    reason = ""
    if reads is None:
        reason = load.unknown or "Milvus's reads of the store are not known"
    elif not load.stored_bytes:
        reason = "the declared bucket holds nothing of this collection, so Milvus reads elsewhere"
    elif load.segments is not None and load.segments < 1:
        reason = "the watched process loaded no segment: another query node did"
    elif reads.bytes is not None and reads.bytes < COLD_SHARE * load.index_bytes:
        reason = (
            f"the watched process read {reads.bytes:,} of the index's {load.index_bytes:,} bytes:"
            " the load was not cold, or another query node did part of it"
        )
    elif not reads.requests:
        reason = "the watched process counted no read of the store during a load"
    if reason or reads is None:
        return Part(name, reason=reason, inputs=inputs)
    wall = load.seconds
    high = 1.0 if reads.failed else min(1.0, reads.seconds_high / wall)
    floor, how = _floor(reads, replay)
    if load.in_flight > floor:
        floor, how = load.in_flight, f"{load.in_flight:.3g} s with a read certainly under way"
    low = min(high, floor / wall)
    arithmetic = (
        f"at most {_counted(reads)} / {wall:.3g} s = {high:.3g};"
        f" at least {how} / {wall:.3g} s = {low:.3g}"
    )
    return Part(name, low, high, arithmetic=arithmetic, inputs=inputs)


def search_part(searches: Searches, replay: Replay | None) -> Part:
    """Return what the store explains of the slowest searches, the slowest twentieth."""
    latencies = searches.latencies_ms
    slow = slowest(latencies)
    name = f"slowest {len(slow)} of {len(latencies)} {searches.state} searches"
    reads, remote = searches.reads, searches.remote_bytes
    inputs = _inputs(reads, replay) | {
        "searches": len(latencies),
        "searches_counted": searches.counted,
        "slow_searches_ms": [round(float(one), 3) for one in latencies[slow]],
        "remote_bytes_reported": None if remote is None else float(remote.sum()),
    }
    reason = _why_no_share(searches)
    if reason or reads is None:
        return Part(name, reason=reason, inputs=inputs)
    waited = float(latencies[slow].sum()) / 1e3
    high = 1.0 if reads.failed else min(1.0, reads.seconds_high / waited)
    low, how = 0.0, "nothing, since the server does not say which search read from the store"
    if remote is not None and remote[slow].sum() > 0 and replay and replay.bytes:
        read = float(remote[slow].sum())
        low = min(high, read * replay.seconds / replay.bytes / waited)
        how = (
            f"{read:,.0f} bytes it reports for them at {replay.bytes / replay.seconds / 1e6:.3g}"
            f" MB/s / {waited:.3g} s = {low:.3g}"
        )
    arithmetic = f"at most {_counted(reads)} / {waited:.3g} s = {high:.3g}; at least {how}"
    return Part(name, low, high, arithmetic=arithmetic, inputs=inputs)


def slowest(latencies_ms: np.ndarray) -> np.ndarray:
    """Return the positions of the slowest twentieth, at least one, slowest first."""
    count = min(len(latencies_ms), max(1, math.ceil(SLOWEST * len(latencies_ms))))
    return np.argsort(-np.asarray(latencies_ms), kind="stable")[:count]


def _why_no_share(searches: Searches) -> str:
    """Return why nothing is known of searches; empty if something is."""
    latencies, reads, counted = searches.latencies_ms, searches.reads, searches.counted
    if not len(latencies):
        return "no search was measured"
    failed = int((~np.isfinite(latencies)).sum())
    if failed:
        return f"{failed} of {len(latencies)} searches failed"
    if reads is None:
        return searches.unknown or "Milvus's reads of the store are not known"
    if counted is None or counted < len(latencies):
        return (
            f"the watched process counted {counted or 0:g} of {len(latencies)} searches:"
            " other query nodes served the rest"
        )
    remote = searches.remote_bytes
    if remote is not None and remote.sum() > 0 and not reads.requests:
        return "searches report bytes from the store that the process's counters do not show"
    return ""


def _floor(reads: StorageReads, replay: Replay | None) -> tuple[float, str]:
    """Return the least seconds that reading took Milvus, and how they come about."""
    if replay is None or not replay.bytes or not replay.request_seconds:
        return 0.0, "nothing, since the objects were not read beside Milvus"
    share = 1.0 if reads.bytes is None else min(1.0, reads.bytes / replay.bytes)
    # A client farther from the store than Milvus is would blame the store for its own way there.
    pace = min(1.0, reads.seconds_low / (replay.request_seconds * share)) if share else 0.0
    seconds = replay.seconds * share * pace
    how = f"{replay.seconds:.3g} s to read {replay.bytes:,} bytes of the same objects"
    if share < 1:
        how += f" x {share:.3g} of them read by Milvus"
    if pace < 1:
        how += f" x {pace:.3g} since Milvus's requests were faster"
    return seconds, how


def _counted(reads: StorageReads) -> str:
    if reads.failed:
        return f"everything, since {reads.failed} reads failed and their time is not counted,"
    return f"{reads.seconds_high:.3g} s in {reads.requests} reads of the store, none overlapping,"


def _inputs(reads: StorageReads | None, replay: Replay | None) -> dict[str, Any]:
    return {
        "milvus_reads": dataclasses.asdict(reads) if reads else None,
        "replay": dataclasses.asdict(replay) if replay else None,
    }
