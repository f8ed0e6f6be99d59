"""Watch one collection warm, released and loaded again, with Milvus's metrics and a raw S3 probe.

Cold means: the collection was released, so the query nodes have freed it, and was loaded again.
That the load really read from the store is checked afterwards by the bytes Milvus counted. The
store's own caches stay as warm as they are.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.attribution import probe
from validation.attribution.answer import answer
from validation.attribution.bounds import load_part, search_part
from validation.attribution.cold import cold_load
from validation.attribution.model import Answer, ColdLoad, Part, Replay, Searches
from validation.attribution.searching import searches
from validation.attribution.slo import Slo
from validation.attribution.watch import Watch
from validation.errors import MilvusKitError, UnsupportedError
from validation.load.engine import Engine
from validation.load.plan import Plan
from validation.load.record import Feed
from validation.milvus.connection import Connection
from validation.milvus.objects import Stored, listed, of_segments
from validation.milvus.ownership import require_ours
from validation.target import Storage

WARM_SEARCHES = 400
"""A p99 has an upper end from 368 samples on."""
COLD_SEARCHES = 20
_WARMUP = 20


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
            "cold": search_part(self.cold),
            "warm": search_part(self.warm),
        }

    def answer(self, slo: Slo | None) -> Answer:
        """Return the one-line answer, at the latency rule in force."""
        latencies = self.warm.latencies_ms
        text = slo.text(latencies) if slo and len(latencies) else ""
        return answer(list(self.parts().values()), slo=text)


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
        raise UnsupportedError(
            "the target declares no storage", where="storage", remedy="declare it in the target"
        )
    require_ours(connection, name)
    watch = Watch(connection, name)
    objects = of_segments(listed(connection, name, target.storage)[1], watch.segments())
    with (
        Engine(plan) as engine,
        probe.companion(target.storage, objects) as beside,
    ):
        engine.run(Feed(np.arange(_WARMUP)))
        began = time.monotonic()
        warm_seen = searches("warm", engine, watch, target.milvus, warm)
        middle = time.monotonic()
        load = cold_load(connection, name, watch, objects)
        loaded = time.monotonic()
        cold_seen = searches("cold", engine, watch, target.milvus, cold)
    stretches = {
        "warm searches": beside.within(began, middle),
        "cold load": beside.within(middle, loaded),
        "cold searches": beside.within(loaded, time.monotonic()),
        "failed": beside.failed,
    }
    again, why = _replayed(target.storage, objects, load)
    return Measured(load, cold_seen, warm_seen, again, why, stretches)


def _replayed(
    storage: Storage, objects: Sequence[Stored], load: ColdLoad
) -> tuple[Replay | None, str]:
    """Read what the load read, without Milvus; or say why that cannot be done."""
    wanted = load.reads.bytes if load.reads and load.reads.bytes else load.index_bytes
    try:
        return probe.replay(storage, objects, wanted=wanted), ""
    except MilvusKitError as error:
        return None, error.what
