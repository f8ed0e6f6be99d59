"""Search a collection and return plain arrays: by vector, by keyword, and both together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# pymilvus imports it at the first request. Done by several threads at once, that can hand one of
# them a module that is half imported, and its search fails: so it is imported here, by one.
import scipy.sparse  # noqa: F401

from validation.datasets.model import Filter
from validation.errors import UnsupportedError
from validation.milvus.connection import Connection
from validation.milvus.schema import ID, SPARSE, VECTOR

BATCH = 100
CONCURRENT = 8
"""Requests under way at once. Correctness is asked here, not latency (`validation.load`)."""

RRF_CONSTANT = 60
"""Of reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009."""
HYBRID_CANDIDATES = 50
KEYWORDS_SINCE = "2.5"

Filters = Filter | str | None | Sequence[Filter | str | None]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was found for each query.

    Args:
        ids: Primary keys, nearest first, int64 or objects, shape (q, k); -1 or an empty string
            beyond the last hit.
        distances: As Milvus returns them, float64, shape (q, k); NaN beyond the last hit. Smaller
            is nearer for L2 (squared), larger for everything else.
        found: How many hits each query has, int64, shape (q,).
    """

    ids: np.ndarray
    distances: np.ndarray
    found: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def k(self) -> int:
        """How many hits were asked for."""
        return int(self.ids.shape[1])

    def of(self, query: int) -> list[Any]:
        """Return the primary keys found for one query, best first."""
        return self.ids[query, : self.found[query]].tolist()


def search(
    connection: Connection,
    name: str,
    vectors: np.ndarray,
    *,
    k: int,
    params: Mapping[str, Any] | None = None,
    filter: Filters = None,  # noqa: A002  (Milvus's own word for it)
    batch: int = BATCH,
    timeout: float = 60,
) -> Answers:
    """Search by vector, with strong consistency.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        vectors: Float32, shape (q, d).
        k: How many neighbours.
        params: Search parameters of the index, such as ``{"ef": 128}``.
        filter: One for all queries, or one for each.
        batch: Queries in one request.
        timeout: Of a request, in seconds.
    """

    def ask(rows: np.ndarray, condition: str) -> Any:
        return connection.client.search(
            name,
            data=vectors[rows],
            anns_field=VECTOR,
            limit=k,
            filter=condition,
            search_params={"params": dict(params or {})},
            timeout=timeout,
            consistency_level="Strong",
        )

    return _asked(
        connection, f"search {name}", ask, queries=len(vectors), k=k, filters=filter, batch=batch
    )


def keyword_search(
    connection: Connection,
    name: str,
    texts: Sequence[str],
    *,
    k: int,
    filter: Filters = None,  # noqa: A002
    timeout: float = 60,
) -> Answers:
    """Search by keyword: BM25 over the collection's texts.

    Raises:
        UnsupportedError: The server cannot do it.
    """
    require_keywords(connection)

    def ask(rows: np.ndarray, condition: str) -> Any:
        return connection.client.search(
            name,
            data=[texts[row] for row in rows],
            anns_field=SPARSE,
            limit=k,
            filter=condition,
            search_params={"metric_type": "BM25", "params": {}},
            timeout=timeout,
            consistency_level="Strong",
        )

    return _asked(
        connection, f"search {name} by keyword", ask, queries=len(texts), k=k, filters=filter
    )


def hybrid_search(
    connection: Connection,
    name: str,
    vectors: np.ndarray,
    texts: Sequence[str],
    *,
    k: int,
    params: Mapping[str, Any] | None = None,
    filter: Filters = None,  # noqa: A002
    candidates: int = HYBRID_CANDIDATES,
    timeout: float = 60,
) -> Answers:
    """Search by vector and by keyword and fuse both by reciprocal rank.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection with keywords.
        vectors: Float32, shape (q, d).
        texts: Of the same queries.
        k: How many hits.
        params: Search parameters of the vector index.
        filter: One for all queries, or one for each.
        candidates: Taken from each of the two searches before they are fused.
        timeout: Of a request, in seconds.

    Raises:
        UnsupportedError: The server cannot do it.
    """
    require_keywords(connection)
    from pymilvus import AnnSearchRequest, RRFRanker  # noqa: PLC0415  (slow to import)

    def ask(rows: np.ndarray, condition: str) -> Any:
        common = {"limit": max(k, candidates), "expr": condition or None}
        near = AnnSearchRequest(
            data=vectors[rows], anns_field=VECTOR, param={"params": dict(params or {})}, **common
        )
        worded = AnnSearchRequest(
            data=[texts[row] for row in rows],
            anns_field=SPARSE,
            param={"metric_type": "BM25", "params": {}},
            **common,
        )
        return connection.client.hybrid_search(
            name,
            [near, worded],
            RRFRanker(RRF_CONSTANT),
            limit=k,
            timeout=timeout,
            consistency_level="Strong",
        )

    return _asked(connection, f"search {name} hybrid", ask, queries=len(texts), k=k, filters=filter)


def require_keywords(connection: Connection) -> None:
    """Make sure that the server is one that has BM25.

    Raises:
        UnsupportedError: It is older than 2.5, which brought it.
    """
    if not connection.is_lite and connection.version < (2, 5):
        raise UnsupportedError(
            f"keyword search needs Milvus {KEYWORDS_SINCE} or later",
            where=connection.endpoint.name,
            seen=connection.server_version,
            remedy="upgrade Milvus; until then this is not measured",
        )


def _asked(
    connection: Connection,
    doing: str,
    ask: Callable[[np.ndarray, str], Any],
    *,
    queries: int,
    k: int,
    filters: Filters,
    batch: int = BATCH,
) -> Answers:
    """Ask in batches, queries of the same filter together; put the answers back in order."""
    ids: list[list[Any]] = [[] for _ in range(queries)]
    distances = np.full((queries, k), np.nan)
    parts = [
        (np.array(rows[at : at + batch]), condition)
        for condition, rows in _by_condition(filters, queries).items()
        for at in range(0, len(rows), batch)
    ]

    def answer(part: tuple[np.ndarray, str]) -> None:
        with connection.explained(doing):
            for row, hits in zip(part[0], ask(*part), strict=True):
                ids[row] = [hit[ID] for hit in hits][:k]
                distances[row, : len(ids[row])] = [hit["distance"] for hit in hits][:k]

    # Each request with strong consistency waits for the next time tick: several wait together.
    with ThreadPoolExecutor(1 if connection.is_lite else CONCURRENT) as pool:
        list(pool.map(answer, parts))
    found = np.array([len(one) for one in ids], dtype=np.int64)
    texts = any(isinstance(key, str) for one in ids for key in one)
    keys = np.full((queries, k), "" if texts else -1, dtype=object if texts else np.int64)
    for row, one in enumerate(ids):
        keys[row, : len(one)] = one
    return Answers(keys, distances, found)


def _by_condition(filters: Filters, queries: int) -> dict[str, list[int]]:
    each = [filters] * queries if isinstance(filters, (Filter, str, type(None))) else list(filters)
    if len(each) != queries:
        raise ValueError(f"{len(each)} filters for {queries} queries")
    grouped: dict[str, list[int]] = {}
    for row, one in enumerate(each):
        condition = one.expression() if isinstance(one, Filter) else one or ""
        grouped.setdefault(condition, []).append(row)
    return grouped
