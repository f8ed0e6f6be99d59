"""Searches sent one after the other while the processes that serve them are watched."""

from __future__ import annotations

import time

import grpc
import numpy as np

from validation.attribution import flight
from validation.attribution.model import Cost, Searches
from validation.attribution.watch import Watch
from validation.load.plan import Sender
from validation.target import Milvus

_SERVED = "milvus_querynode_sq_req_count"
_COST = ("scanned_remote_bytes", "scanned_total_bytes", "cache_hit_ratio")


def searches(state: str, sender: Sender, watch: Watch, milvus: Milvus, count: int) -> Searches:
    """Send searches one after the other between two readings of the metrics.

    Args:
        state: ``cold`` or ``warm``.
        sender: Of the searches.
        watch: Of their collection.
        milvus: Where the metrics are.
        count: How many searches.
    """
    latencies, began = np.full(count, np.inf), np.zeros(count)
    costs = np.full((len(_COST), count), np.nan)
    with watch.watching(), flight.sampled(milvus, watch.addresses) as recording:
        for number in range(count):
            began[number] = time.monotonic()
            reply = _asked(sender, number)
            took = time.monotonic() - began[number]
            if reply is not None:
                latencies[number] = took * 1e3
                costs[:, number] = _cost(reply)
    reads, unknown = watch.reads()
    return Searches(
        state,
        latencies,
        began=began,
        counted=watch.gain(_SERVED, query_type="search", scope="OnLeader", status="total"),
        reads=reads,
        under_way=recording.under_way(),
        cost=Cost(*costs),
        unknown=unknown,
    )


def _asked(sender: Sender, number: int) -> bytes | None:
    """Send one search; None if it failed or its answer is not complete."""
    plan = sender.plan
    try:
        reply = sender.method(
            plan.requests[number % len(plan.requests)],
            timeout=plan.deadline,
            metadata=sender.metadata,
        )
    except grpc.RpcError:
        return None
    return None if sender.check(number, reply) else reply


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
