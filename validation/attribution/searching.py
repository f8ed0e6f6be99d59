"""Searches sent one after the other while the processes that serve them are watched."""

from __future__ import annotations

import time

import numpy as np

from validation.attribution import flight
from validation.attribution.model import Cost, Searches
from validation.attribution.watch import Watch
from validation.load.engine import Engine
from validation.load.record import Feed
from validation.load.replies import read
from validation.target import Milvus

_SERVED = "milvus_querynode_sq_req_count"
_COST = ("scanned_remote_bytes", "scanned_total_bytes", "cache_hit_ratio")


def searches(state: str, engine: Engine, watch: Watch, milvus: Milvus, count: int) -> Searches:
    """Send searches one after the other between two readings of the metrics.

    Args:
        state: ``cold`` or ``warm``.
        engine: Open, on the searches.
        watch: Of their collection.
        milvus: Where the metrics are.
        count: How many searches.
    """
    with watch.watching(), flight.sampled(milvus, watch.addresses) as recording:
        start = time.monotonic()
        record = engine.run(Feed(np.arange(count)), start=start)
    replies = read(engine.plan, np.arange(count), record.failures, record.replies)
    answered = np.array([not failure for failure in replies.failures], dtype=bool)
    costs = np.full((len(_COST), count), np.nan)
    for number in np.flatnonzero(answered):
        costs[:, number] = _cost(record.replies[number])
    reads, unknown = watch.reads()
    return Searches(
        state,
        np.where(answered, (record.done_s - record.due_s) * 1e3, np.inf),
        began=start + record.due_s,
        counted=watch.gain(_SERVED, query_type="search", scope="OnLeader", status="total"),
        reads=reads,
        under_way=recording.under_way(),
        cost=Cost(*costs),
        unknown=unknown,
        replies=replies,
    )


def _cost(reply: bytes) -> list[float]:
    """Return what a search says it read (Milvus 2.6): from the store, in all, and of it cached."""
    from pymilvus.grpc_gen.milvus_pb2 import SearchResults  # noqa: PLC0415  (slow to import)

    said = SearchResults.FromString(reply).status.extra_info
    return [_number(said.get(name)) for name in _COST]


def _number(text: str | None) -> float:
    """Return a number of a reply; what is none, or negative, is as good as not said."""
    try:
        value = float(text or "")
    except ValueError:
        return np.nan
    return value if value >= 0 and np.isfinite(value) else np.nan
