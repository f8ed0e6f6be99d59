"""One cold load: a collection is released, so that the query nodes free it, and loaded again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from validation.attribution import flight
from validation.attribution.model import ColdLoad
from validation.attribution.watch import Watch
from validation.errors import MeasurementError
from validation.milvus.connection import Connection
from validation.milvus.loading import load_for_search
from validation.milvus.objects import Stored
from validation.milvus.waiting import LIMIT_SECONDS

_ASK_SECONDS = 0.05
_SEGMENTS = "milvus_querynode_load_segment_latency_count"


def cold_load(
    connection: Connection, name: str, watch: Watch, objects: Sequence[Stored]
) -> ColdLoad:
    """Release a collection and load it again; it is loaded in the end, however this ends.

    Args:
        connection: Milvus.
        name: Of the collection.
        watch: Of the same.
        objects: What lies in the bucket of it.

    Raises:
        MeasurementError: It cannot be released or loaded.
    """
    with connection.explained(f"release {name}"):
        connection.client.release_collection(name, timeout=connection.timeout)
    ended = False
    try:
        with (
            watch.watching(),
            flight.sampled(connection.target.milvus, watch.addresses) as recording,
        ):
            began, not_yet, done = _loaded(connection, name)
            ended = True
    finally:
        if not ended:
            load_for_search(connection, name)
    reads, unknown = watch.reads()
    return ColdLoad(
        seconds=done - began,
        seconds_low=not_yet - began,
        index_bytes=sum(one.size for one in objects if one.kind == "index_files"),
        row_bytes=sum(one.size for one in objects if one.kind == "insert_log"),
        stored_bytes=sum(one.size for one in objects),
        in_flight=flight.within(recording.under_way(), began, not_yet),
        segments=watch.gain(_SEGMENTS),
        reads=reads,
        unknown=unknown,
    )


def _loaded(connection: Connection, name: str) -> tuple[float, float, float]:
    """Load it; return when that was ordered, was not done yet, and was done.

    The time between the last two answers may or may not have been the load's, so both are kept.
    """
    began = not_yet = time.monotonic()
    doing = f"load {name}"
    with connection.explained(doing):
        connection.client.load_collection(name, timeout=connection.timeout, _async=True)
        while True:
            asked = time.monotonic()
            state = connection.client.get_load_state(name, timeout=connection.timeout)
            if state["state"].name == "Loaded":
                return began, not_yet, time.monotonic()
            not_yet = asked
            if asked - began > LIMIT_SECONDS:
                break
            time.sleep(_ASK_SECONDS)
    raise MeasurementError(
        f"not done within {LIMIT_SECONDS:g} s: {doing}", where=connection.endpoint.name
    )
