"""Watch one collection warm, released and loaded again, with Milvus's metrics and a raw S3 probe.

Cold means: the collection was released, so the query nodes have freed it, and was loaded again.
That the load really read from the store is checked afterwards by the bytes Milvus counted. The
store's own caches stay as warm as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np

from validation.attribution import flight, probe
from validation.attribution.answer import answer, load_part, search_part
from validation.attribution.model import Answer, ColdLoad, Part, Replay, Searches, Slo
from validation.errors import MeasurementError, MilvusKitError, UnsupportedError
from validation.load.plan import Plan, Sender
from validation.milvus import metrics
from validation.milvus.connection import Connection
from validation.milvus.loading import load_for_search
from validation.milvus.metrics import Delta, Snapshot
from validation.milvus.objects import Stored, listed
from validation.milvus.ownership import require_ours
from validation.milvus.storage_reads import StorageReads, storage_reads
from validation.target import Storage, Target
from validation.verdict import Rule

WARM_SEARCHES = 200
COLD_SEARCHES = 20
_WARMUP = 20
_QUERYNODES = "milvus_querynode_"
_SEARCHES = "milvus_querynode_sq_req_count"
_SEGMENTS = "milvus_querynode_load_segment_latency_count"
"""Proof that the process watched is the one that served the searches and loaded the segments."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Everything that was seen, nothing made of it yet.

    Args:
        load: The cold load.
        cold: The searches right after it.
        warm: The searches before it.
        replay: Reading the same objects without Milvus; None with the reason in ``no_replay``.
        no_replay: Why there is no replay.
        beside: What the small reads beside Milvus took, by stretch.
    """

    load: ColdLoad
    cold: Searches
    warm: Searches
    replay: Replay | None
    no_replay: str = ""
    beside: dict[str, Any] = dataclasses.field(default_factory=dict)

    def parts(self) -> dict[str, Part]:
        """Return what the store explains, by stretch: ``load``, ``cold`` and ``warm``."""
        return {
            "load": load_part(self.load, self.replay),
            "cold": search_part(self.cold, self.replay),
            "warm": search_part(self.warm, self.replay),
        }

    def answer(self, slo: Slo | None) -> Answer:
        """Return the one-line answer, at the latency rule in force."""
        latencies = self.warm.latencies_ms
        text = slo.text(latencies) if slo and len(latencies) else ""
        return answer(list(self.parts().values()), slo=text)


def slo_of(rules: Sequence[Rule], target: Target) -> Slo | None:
    """Return the latency rule that a target is held to: the serial one's highest percentile.

    The rule for the offered rate is taken where there is none for serial searches.
    """
    for metric in ("search.latency.serial", "search.latency.open_loop"):
        found = [
            Slo(rule.gate, rule.statistic, rule.threshold)
            for rule in rules
            if rule.metric == metric
            and rule.statistic.startswith("p")
            and rule.where.get("target", target.name) == target.name
        ]
        if found:
            return max(found, key=lambda slo: float(slo.statistic.removeprefix("p")))
    return None


def measure(
    connection: Connection,
    name: str,
    plan: Plan,
    *,
    warm: int = WARM_SEARCHES,
    cold: int = COLD_SEARCHES,
) -> Measured:
    """Measure warm searches, a cold load and cold searches of one of our collections.

    Args:
        connection: Milvus; its target must declare the metrics' address and the store.
        name: Of a loaded collection with our mark. It is released, and loaded when this returns.
        plan: Searches in it.
        warm: How many warm searches.
        cold: How many searches right after the load.

    Raises:
        UnsupportedError: The target declares no metrics or no store, or the server counts neither.
        UnreachableError: The metrics or the store do not answer.
        MeasurementError: The collection cannot be released or loaded.
    """
    target = connection.target
    if target.storage is None:
        raise UnsupportedError("the target declares no storage", where="storage")
    require_ours(connection, name)
    watch = _Watch(target)
    _, objects = listed(connection, name, target.storage)
    with (
        contextlib.closing(Sender(plan)) as sender,
        probe.companion(target.storage, objects) as beside,
    ):
        for number in range(_WARMUP):
            sender.send(number)
        began = time.monotonic()
        warm_seen = _searches("warm", sender, watch, warm)
        middle = time.monotonic()
        load = _cold_load(connection, name, watch, objects)
        loaded = time.monotonic()
        cold_seen = _searches("cold", sender, watch, cold)
    stretches = {
        "warm searches": beside.within(began, middle),
        "cold load": beside.within(middle, loaded),
        "cold searches": beside.within(loaded, time.monotonic()),
        "failed": beside.failed,
    }
    again, why = _replayed(target.storage, objects, load)
    return Measured(load, cold_seen, warm_seen, again, why, stretches)


class _Watch:
    """Scrapes Milvus before and after, and knows when what it sees is not all there is."""

    def __init__(self, target: Target) -> None:
        self._milvus = target.milvus
        declared = [role.replicas for role in target.milvus.roles if role.name == "querynode"]
        self._declared = sum(declared) if target.milvus.deployment == "cluster" else 1
        self.delta: Delta | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Keep what the process gained in the block as ``delta``."""
        before = metrics.scrape(self._milvus)
        yield
        self.delta = metrics.between(before, metrics.scrape(self._milvus))

    def reads(self) -> tuple[StorageReads | None, str]:
        """Return what was read from the store in the last block, or why that is not known."""
        assert self.delta is not None  # noqa: S101  (only called after a block)
        missing = self._missing(self.delta.after)
        if missing:
            return None, missing
        try:
            return storage_reads(self.delta), ""
        except MeasurementError as error:
            return None, error.what

    def gain(self, name: str, **labels: str) -> float | None:
        """Return what a counter gained in the last block."""
        assert self.delta is not None  # noqa: S101
        return self.delta.gain(name, **labels)

    def _missing(self, seen: Snapshot) -> str:
        nodes = seen.values_of("node_id", prefix=_QUERYNODES)
        if not nodes:
            return "what answers at milvus.metrics_uri is no query node"
        there = max(self._declared, round(seen.total("milvus_querycoord_querynode_num") or 1))
        if len(nodes) < there:
            return f"milvus.metrics_uri shows {len(nodes)} of {there} query nodes"
        return ""


def _searches(state: str, sender: Sender, watch: _Watch, count: int) -> Searches:
    """Send searches one after the other between two scrapes."""
    latencies, remote = np.full(count, np.inf), np.zeros(count)
    reported = False
    with watch.watching():
        for number in range(count):
            began = time.perf_counter()
            reply = _asked(sender, number)
            took = (time.perf_counter() - began) * 1e3
            if reply is not None:
                latencies[number] = took
                said = _remote_bytes(reply)
                reported = reported or said is not None
                remote[number] = said or 0.0
    reads, unknown = watch.reads()
    return Searches(
        state,
        latencies,
        counted=watch.gain(_SEARCHES, query_type="search", scope="OnLeader", status="total"),
        reads=reads,
        remote_bytes=remote if reported else None,
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


def _remote_bytes(reply: bytes) -> float | None:
    """Return what a search says it read from the store (Milvus 2.6); None if it says nothing."""
    from pymilvus.grpc_gen.milvus_pb2 import SearchResults  # noqa: PLC0415  (slow to import)

    said = SearchResults.FromString(reply).status.extra_info.get("scanned_remote_bytes")
    return float(said) if said is not None and said.isdecimal() else None


def _cold_load(
    connection: Connection, name: str, watch: _Watch, objects: Sequence[Stored]
) -> ColdLoad:
    """Release a collection and load it again; it is loaded in the end, however this ends."""
    with connection.explained(f"release {name}"):
        connection.client.release_collection(name, timeout=connection.timeout)
    seconds = 0.0
    try:
        with watch.watching(), flight.sampled(connection.target.milvus) as samples:
            began = time.monotonic()
            load_for_search(connection, name)
            seconds = time.monotonic() - began
    finally:
        if not seconds:
            load_for_search(connection, name)
    reads, unknown = watch.reads()
    return ColdLoad(
        seconds=seconds,
        index_bytes=sum(one.size for one in objects if one.kind == "index_files"),
        stored_bytes=sum(one.size for one in objects),
        in_flight=flight.least(samples, began, began + seconds),
        segments=watch.gain(_SEGMENTS),
        reads=reads,
        unknown=unknown,
    )


def _replayed(
    storage: Storage, objects: Sequence[Stored], load: ColdLoad
) -> tuple[Replay | None, str]:
    """Read what the load read, without Milvus; or say why that cannot be done."""
    wanted = load.reads.bytes if load.reads and load.reads.bytes else load.index_bytes
    try:
        return probe.replay(storage, objects, wanted=wanted), ""
    except MilvusKitError as error:
        return None, error.what
