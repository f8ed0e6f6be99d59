"""What the query nodes really search in: an index, or the plain vectors of a segment without one.

"Index finished" is not enough: Milvus builds none for a segment of fewer than 1,024 rows, says all
the same that it has finished, and searches such a segment exhaustively. Its recall is perfect then,
and says nothing of the index.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from validation.milvus import segments
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.schema import VECTOR

EXHAUSTIVE = ("FLAT",)
_LEVELS = {0: "Strong", 1: "Session", 2: "Bounded", 3: "Eventually", 4: "Customized"}
_NOT_BUILT = frozenset(
    {"params", "index_type", "metric_type", "field_name", "index_name", "total_rows"}
    | {"indexed_rows", "pending_index_rows", "state", "index_state_fail_reason", "search_params"}
)


def as_served(connection: Connection, name: str) -> dict[str, Any]:
    """Return what the server says of a loaded collection: what it did, not what it was asked.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.

    Returns:
        ``index`` and ``build`` of the vectors, the collection's ``consistency``, and of the
        ``segments`` in memory how many have an index and not; Milvus Lite tells none.

    Raises:
        MilvusKitError: The server cannot be asked.
    """
    with connection.explained(f"describe {name}"):
        index = connection.client.describe_index(name, VECTOR, timeout=connection.timeout) or {}
        collection = connection.client.describe_collection(name, timeout=connection.timeout)
    level = collection.get("consistency_level")
    found: dict[str, Any] = {
        "index": index.get("index_type"),
        "build": _build_of(index),
        "consistency": _LEVELS.get(level, level),
    }
    if not connection.is_lite:
        held = segments.in_memory(connection, name)
        indexed = [one for one in held if one.indexed]
        found["segments"] = {
            "indexed": len(indexed),
            "plain": len(held) - len(indexed),
            "rows": sum(one.rows for one in held),
        }
    return found


def asked_and_got(
    connection: Connection, name: str, index: IndexSpec, *, consistency: str = "Strong"
) -> tuple[dict[str, Any], str]:
    """Return what was asked of an index and what serves, and why the two are not one.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        index: As it was asked for.
        consistency: That the searches ask for; what was got is the collection's.

    Returns:
        Evidence for a reader, and the reason; empty if searches go through this index, wholly.

    Raises:
        MilvusKitError: The server cannot be asked.
    """
    got = as_served(connection, name)
    evidence = {"asked": {**index.describe(), "consistency": consistency}, "got": got}
    return evidence, differs(index, got) or why_not_indexed(connection, name, index.kind)


def differs(asked: IndexSpec, got: Mapping[str, Any]) -> str:
    """Return where the index that was built is not the one that was asked; empty if it is."""
    if got["index"] != asked.kind:
        return f"the index asked for is {asked.kind}, the server has {got['index']}"
    wrong = [
        f"{name} {value} was asked, the server has {got['build'].get(name, 'its own default')}"
        for name, value in asked.build.items()
        if str(got["build"].get(name)) != str(value)
    ]
    return "; ".join(wrong)


def _build_of(index: Mapping[str, Any]) -> dict[str, Any]:
    """Return the build parameters of a described index: entries, or JSON in one of them."""
    packed = index.get("params")
    with contextlib.suppress(ValueError, TypeError):
        packed = json.loads(packed or "{}") if isinstance(packed, str) else packed
    plain = {key: value for key, value in index.items() if key not in _NOT_BUILT}
    return {**plain, **(packed if isinstance(packed, Mapping) else {})}


def why_not_indexed(connection: Connection, name: str, kind: str) -> str:
    """Return why a search does not go through an index; empty if it does, wholly.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        kind: Of the index that was built.

    Raises:
        MilvusKitError: The server cannot be asked.
    """
    if kind in EXHAUSTIVE or connection.is_lite:
        return ""
    held = segments.in_memory(connection, name)
    total = sum(segment.rows for segment in held)
    plain = sum(segment.rows for segment in held if not segment.indexed)
    if not total:
        return "the query nodes report no segment with rows"
    if plain:
        return (
            f"{plain:,} of {total:,} rows are searched without an index: Milvus builds none for a "
            "segment of fewer than 1,024 rows"
        )
    return ""
