"""Wait until a server seems to do nothing by itself: no index and no segment changes."""

from __future__ import annotations

import time
from typing import Any

from validation.errors import MeasurementError, MilvusKitError
from validation.milvus.connection import Connection
from validation.milvus.segments import stored
from validation.milvus.waiting import poll
from validation.upgrade import described

QUIET_SECONDS = 5.0
LIMIT_SECONDS = 600.0
SERVED_SECONDS = 300.0


def settle(connection: Connection, *, seconds: float = LIMIT_SECONDS) -> str:
    """Wait until nothing changes by itself; return in words what was waited for.

    After an upgrade a server may rewrite segments for minutes: to another version of the storage
    format, or to apply deletes. What is measured meanwhile is measured twice. A compaction shows
    only once it ends: `changed_since` sees one that had begun already.

    Raises:
        MeasurementError: It does not come to rest in time.
    """
    if connection.is_lite:
        return "Milvus Lite rewrites nothing by itself"
    began = since = time.monotonic()
    last: Any = None
    while True:
        now, building = _state(connection)
        if now != last or building:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= QUIET_SECONDS:
            waited = time.monotonic() - began
            return f"no segment and no index changed for {QUIET_SECONDS:g} s, after {waited:.0f} s"
        if time.monotonic() - began > seconds:
            raise MeasurementError(
                f"the server has not come to rest within {seconds:g} s",
                where=connection.endpoint.name,
                seen=building or "segments are still being rewritten",
                remedy="wait until compaction and index building are over, and start again",
            )
        time.sleep(0.5)


def segments(connection: Connection) -> dict[str, Any]:
    """Return the segments of every collection, by its name; none of Milvus Lite."""
    return {} if connection.is_lite else _state(connection)[0]


def changed_since(connection: Connection, before: dict[str, Any], *, but: str) -> str:
    """Return in words whose segments changed by themselves; wait until no others will.

    Args:
        connection: An open connection to the server.
        before: What `segments` returned.
        but: The collection that was written to.
    """
    try:
        settle(connection)
        now = segments(connection)
    except MilvusKitError as error:  # what was measured stands, and is told
        return error.sentence().partition("\n")[0]
    names = {*before, *now} - {but}
    changed = sorted(name for name in names if before.get(name) != now.get(name))
    return f"segments of {', '.join(changed)} changed" if changed else ""


def await_served(
    connection: Connection, names: list[str], *, seconds: float = SERVED_SECONDS
) -> None:
    """Wait until collections are loaded that were; a restart loads them by itself.

    What is not by then is not served: the manifest says so.
    """

    def served() -> bool:
        there = described.collections(connection)
        return all(described.is_loaded(connection, name) for name in names if name in there)

    try:
        poll(served, seconds=seconds, doing="load what was loaded", where=connection.endpoint.name)
    except MeasurementError:
        return


def _state(connection: Connection) -> tuple[Any, str]:
    """Return the segments of every collection, and which index is being built."""
    found = {}
    for name in described.collections(connection):
        there = stored(connection, name)
        found[name] = sorted((one.number, one.rows, one.state) for one in there)
        with connection.explained(f"describe the indexes of {name}"):
            for index in connection.client.list_indexes(name, timeout=connection.timeout):
                said = connection.client.describe_index(name, index, timeout=connection.timeout)
                if said and (said.get("pending_index_rows") or said.get("state") == "InProgress"):
                    return found, f"index {index} of {name} is being built"
    return found, ""
