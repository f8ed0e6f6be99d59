"""Requests as bytes, ready to be sent, and what a complete reply to each is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from validation.milvus.wire import Endpoint

if TYPE_CHECKING:  # a worker process has no use for them, and would wait for their import
    from validation.milvus.connection import Connection

SEARCH = "/milvus.proto.milvus.MilvusService/Search"
SEARCHES = (SEARCH, "/milvus.proto.milvus.MilvusService/HybridSearch")
# Bounded staleness is Milvus's default for searches. Strong would make every search wait for the
# next time tick, so that one would measure the tick and not the search.
CONSISTENCY = "Bounded"
DEADLINE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """Requests to repeat, in order, as often as needed. It can be sent to a worker process.

    Args:
        endpoint: The server, and how it is spoken to.
        requests: Serialised messages: ``SearchRequest`` with one query each, or changes of rows.
        hits: How many hits a complete reply to each has, or rows that were changed.
        deadline: Of each request, in seconds.
        methods: What each calls, ``/package.Service/Method``; all are searches if left out.
        fields: Output fields that any of them asks for.
        most: How many hits of a reply are looked at; the largest of `hits` if left out.
    """

    endpoint: Endpoint
    requests: tuple[bytes, ...] = dataclasses.field(repr=False)
    hits: tuple[int, ...] = dataclasses.field(repr=False)
    deadline: float = DEADLINE_SECONDS
    methods: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    most: int = 0

    def method(self, number: int) -> str:
        """Return what a request calls."""
        return self.methods[number % len(self.requests)] if self.methods else SEARCH


def search_plan(
    connection: Connection,
    name: str,
    vectors: np.ndarray,
    *,
    k: int = 10,
    params: Mapping[str, Any] | None = None,
    condition: str = "",
) -> Plan:
    """Prepare a search for each vector.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        vectors: Float32, shape (q, d).
        k: How many neighbours.
        params: Search parameters of the index.
        condition: Which rows may be found, in Milvus's filter language; all if empty.
    """
    requests = [
        search_request(connection, name, vector, k=k, params=params, condition=condition)
        for vector in np.asarray(vectors, dtype=np.float32)
    ]
    return Plan(connection.endpoint, tuple(requests), (k,) * len(requests))


def search_request(
    connection: Connection,
    name: str,
    vector: np.ndarray,
    *,
    k: int,
    params: Mapping[str, Any] | None = None,
    condition: str = "",
    fields: Sequence[str] = (),
) -> bytes:
    """Return one search as bytes.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        vector: Float32, shape (d,).
        k: How many neighbours.
        params: Search parameters of the index.
        condition: What it is filtered by.
        fields: Output fields.
    """
    request = _search_message(name, vector[None, :], k=k, params=params, condition=condition)
    request.output_fields.extend(fields)
    request.db_name = connection.endpoint.database
    return request.SerializeToString()


def hybrid_request(
    connection: Connection,
    name: str,
    vector: np.ndarray,
    text: str,
    *,
    k: int,
    params: Mapping[str, Any] | None = None,
) -> bytes:
    """Return one search by vector and by keyword as bytes, fused by reciprocal rank.

    Args:
        connection: An open connection to a server that can do it.
        name: Of a loaded collection with keywords.
        vector: Float32, shape (d,).
        text: Of the same query.
        k: How many hits.
        params: Search parameters of the vector index.
    """
    from pymilvus import RRFRanker  # noqa: PLC0415  (slow to import)
    from pymilvus.client.prepare import Prepare  # noqa: PLC0415

    from validation.milvus.schema import SPARSE  # noqa: PLC0415
    from validation.milvus.searching import HYBRID_CANDIDATES, RRF_CONSTANT  # noqa: PLC0415

    most = max(k, HYBRID_CANDIDATES)
    near = _search_message(name, vector[None, :], k=most, params=params)
    worded = _search_message(name, [text], k=most, field=SPARSE, metric="BM25")
    request = Prepare.hybrid_search_request_with_ranker(
        name, [near, worded], RRFRanker(RRF_CONSTANT), k, **_bounded()
    )
    request.db_name = connection.endpoint.database
    return request.SerializeToString()


def _search_message(
    name: str,
    data: Any,
    *,
    k: int,
    params: Mapping[str, Any] | None = None,
    condition: str = "",
    field: str = "",
    metric: str = "",
) -> Any:
    from pymilvus.client.prepare import Prepare  # noqa: PLC0415  (slow to import)

    from validation.milvus.schema import VECTOR  # noqa: PLC0415

    how: dict[str, Any] = {"params": dict(params or {})} | (
        {"metric_type": metric} if metric else {}
    )
    return Prepare.search_requests_with_expr(
        name, field or VECTOR, how, k, data=data, expr=condition or None, **_bounded()
    )


def _bounded() -> dict[str, Any]:
    from pymilvus.grpc_gen import common_pb2  # noqa: PLC0415  (slow to import)

    return {
        "use_default_consistency": False,
        "consistency_level": common_pb2.ConsistencyLevel.Value(CONSISTENCY),
        "guarantee_timestamp": 2,  # Milvus's own mark for "bounded"
    }
