"""The segments of a collection by the server's own account: those stored, and those in memory.

Seen on Milvus 2.3.5: neither list shows a growing segment; one that was flushed is in the first at
once, and in the second once its index is built and the query coordinator has taken notice, which
takes up to 10 s. The rows of a segment in memory are those that the data coordinator knows of it:
the second list says which segments the query nodes hold, and not how they counted them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from validation.milvus.connection import Connection


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment.

    Args:
        number: Its own, as it stands in the keys of its objects.
        rows: How many were inserted into it; deleted ones count.
        state: ``Flushed``, ``Sealed`` ...: Milvus's ``SegmentState``.
        nodes: Numbers of the query nodes that hold it; none of one that is only stored.
        index: Number of the index that the nodes search it through; 0: none.
    """

    number: int
    rows: int
    state: str
    nodes: frozenset[int] = frozenset()
    index: int = 0

    @property
    def indexed(self) -> bool:
        """Whether the nodes search it through an index."""
        return bool(self.index)

    def describe(self) -> dict[str, Any]:
        """Return it for evidence."""
        return {
            "segment": self.number,
            "rows": self.rows,
            "state": self.state,
            **({"nodes": sorted(self.nodes), "indexed": self.indexed} if self.nodes else {}),
        }


def stored(connection: Connection, name: str) -> list[Segment]:
    """Return the segments of a collection that the data coordinator names.

    Raises:
        MilvusKitError: The server cannot be asked, or does not say.
    """
    from pymilvus.grpc_gen import common_pb2, milvus_pb2  # noqa: PLC0415  (slow to import)

    found = connection.wire.call(
        "GetPersistentSegmentInfo",
        milvus_pb2.GetPersistentSegmentInfoRequest(
            dbName=connection.endpoint.database, collectionName=name
        ),
        doing=f"list the stored segments of {name}",
        timeout=connection.timeout,
    )
    state = common_pb2.SegmentState.Name
    return [Segment(one.segmentID, one.num_rows, state(one.state)) for one in found.infos]


def in_memory(connection: Connection, name: str) -> list[Segment]:
    """Return the segments of a collection that the query nodes hold.

    Of one that several replicas hold there may be several.

    Raises:
        MilvusKitError: The server cannot be asked, or does not say.
    """
    from pymilvus.grpc_gen import common_pb2, milvus_pb2  # noqa: PLC0415  (slow to import)

    found = connection.wire.call(
        "GetQuerySegmentInfo",
        milvus_pb2.GetQuerySegmentInfoRequest(
            dbName=connection.endpoint.database, collectionName=name
        ),
        doing=f"list the segments of {name} in memory",
        timeout=connection.timeout,
    )
    state = common_pb2.SegmentState.Name
    return [
        Segment(
            one.segmentID,
            one.num_rows,
            state(one.state),
            frozenset(one.nodeIds),
            one.indexID,
        )
        for one in found.infos
    ]


def replicas(connection: Connection, name: str) -> dict[int, frozenset[int]]:
    """Return a loaded collection's replicas by their numbers, each with its query nodes.

    Raises:
        MilvusKitError: The server cannot be asked, or does not say.
    """
    from pymilvus.grpc_gen.milvus_pb2 import GetReplicasRequest  # noqa: PLC0415  (slow to import)

    found = connection.wire.call(
        "GetReplicas",
        GetReplicasRequest(collection_name=name, db_name=connection.endpoint.database),
        doing=f"list the replicas of {name}",
        timeout=connection.timeout,
    )
    return {one.replicaID: frozenset(one.node_ids) for one in found.replicas}
