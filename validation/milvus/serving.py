"""What the query nodes really search in: an index, or the plain vectors of a segment without one.

"Index finished" is not enough: Milvus builds none for a segment of fewer than 1,024 rows, says all
the same that it has finished, and searches such a segment exhaustively. Its recall is perfect then,
and says nothing of the index.
"""

from __future__ import annotations

from validation.milvus.connection import Connection

EXHAUSTIVE = ("FLAT",)


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
    from pymilvus.grpc_gen.milvus_pb2 import (  # noqa: PLC0415  (slow to import)
        GetQuerySegmentInfoRequest,
    )

    answer = connection.wire.call(
        "GetQuerySegmentInfo",
        GetQuerySegmentInfoRequest(dbName=connection.endpoint.database, collectionName=name),
        doing=f"list the segments of {name} in memory",
        timeout=connection.timeout,
    )
    total = sum(segment.num_rows for segment in answer.infos)
    plain = sum(segment.num_rows for segment in answer.infos if not segment.indexID)
    if not total:
        return "the query nodes report no segment with rows"
    if plain:
        return (
            f"{plain:,} of {total:,} rows are searched without an index: Milvus builds none for a "
            "segment of fewer than 1,024 rows"
        )
    return ""
