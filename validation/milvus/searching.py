"""Search a collection and return plain arrays: by vector, by keyword, and both together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# pymilvus imports it at the first request. Done by several threads at once, that can hand one of
# them a module that is half imported, and its search fails: so it is imported here, by one.
import scipy.sparse  # noqa: F401

from validation.answers.model import Answers
from validation.datasets.model import Filter
from validation.errors import UnsupportedError
from validation.milvus.connection import Connection
from validation.milvus.schema import SPARSE, VECTOR

BATCH = 100
CONCURRENT = 8
"""Requests under way at once. Correctness is asked here, not latency (`validation.load`)."""

RRF_CONSTANT = 60
"""Of reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009."""
HYBRID_CANDIDATES = 50
KEYWORDS_SINCE = "2.5"

Filters = Filter | str | None | Sequence[Filter | str | None]


def search(
    connection: Connection,
    name: str,
    vectors: np.ndarray,
    *,
    k: int,
    params: Mapping[str, Any] | None = None,
    filter: Filters = None,  # noqa: A002  (Milvus's own word for it)
    fields: Sequence[str] = (),
    partition: str = "",
    vector: str = VECTOR,
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
        fields: Output fields to ask for.
        partition: Search in it alone; in all if left out.
        vector: Field of the vectors, in a collection that is not the kit's.
        batch: Queries in one request.
        timeout: Of a request, in seconds.
    """

    def ask(rows: np.ndarray, condition: str) -> Any:
        return connection.client.search(
            name,
            data=vectors[rows],
            anns_field=vector,
            limit=k,
            filter=condition,
            output_fields=list(fields),
            partition_names=[partition] if partition else None,
            search_params={"params": dict(params or {})},
            timeout=timeout,
            consistency_level="Strong",
        )

    return _asked(
        connection,
        f"search {name}",
        ask,
        queries=len(vectors),
        k=k,
        filters=filter,
        fields=fields,
        batch=batch,
    )


def keyword_search(
    connection: Connection,
    name: str,
    texts: Sequence[str],
    *,
    k: int,
    filter: Filters = None,  # noqa: A002
    fields: Sequence[str] = (),
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
            output_fields=list(fields),
            search_params={"metric_type": "BM25", "params": {}},
            timeout=timeout,
            consistency_level="Strong",
        )

    return _asked(
        connection,
        f"search {name} by keyword",
        ask,
        queries=len(texts),
        k=k,
        filters=filter,
        fields=fields,
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
    fields: Sequence[str] = (),
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
        fields: Output fields to ask for.
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
            output_fields=list(fields),
            timeout=timeout,
            consistency_level="Strong",
        )

    return _asked(
        connection,
        f"search {name} hybrid",
        ask,
        queries=len(texts),
        k=k,
        filters=filter,
        fields=fields,
    )


def require_keywords(connection: Connection) -> None:
    """Make sure that the server is one that has BM25; of an unknown version it may be.

    Raises:
        UnsupportedError: It is older than 2.5, which brought it.
    """
    if not connection.is_lite and () < connection.version < (2, 5):
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
    fields: Sequence[str],
    batch: int = BATCH,
) -> Answers:
    """Ask in batches, queries of the same filter together; put the answers back in order."""
    answered: list[list[Any]] = [[] for _ in range(queries)]
    parts = [
        (np.array(rows[at : at + batch]), condition)
        for condition, rows in _by_condition(filters, queries).items()
        for at in range(0, len(rows), batch)
    ]

    def answer(part: tuple[np.ndarray, str]) -> None:
        with connection.explained(doing):
            for row, hits in zip(part[0], ask(*part), strict=True):
                answered[row] = list(hits)

    # Each request with strong consistency waits for the next time tick: several wait together.
    with ThreadPoolExecutor(1 if connection.is_lite else CONCURRENT) as pool:
        list(pool.map(answer, parts))
    return _as_arrays(answered, k, fields)


def _as_arrays(answered: list[list[Any]], k: int, fields: Sequence[str]) -> Answers:
    """Return hits as arrays; those beyond k are counted alone."""
    shape = (len(answered), k)
    texts = any(isinstance(hit.pk, str) for hits in answered for hit in hits[:1])
    ids = np.full(shape, "" if texts else -1, dtype=object if texts else np.int64)
    distances = np.full(shape, np.nan)
    columns: dict[str, np.ndarray] = {name: np.full(shape, None, dtype=object) for name in fields}
    for row, hits in enumerate(answered):
        kept = hits[:k]
        ids[row, : len(kept)] = [hit.pk for hit in kept]
        distances[row, : len(kept)] = [hit["distance"] for hit in kept]
        for name, column in columns.items():
            for at, hit in enumerate(kept):
                column[row, at] = hit["entity"].get(name)
    if VECTOR in columns:
        columns[VECTOR] = _as_vectors(columns[VECTOR])
    found = np.array([len(hits) for hits in answered], dtype=np.int64)
    return Answers(ids, distances, found, columns)


def _as_vectors(cells: np.ndarray) -> np.ndarray:
    """Return vectors, each a list in a cell, as float32 of shape (q, k, d); NaN where is none."""
    dim = next((len(cell) for cell in cells.ravel() if cell is not None), 0)
    out = np.full((*cells.shape, dim), np.nan, dtype=np.float32)
    for place in zip(*np.nonzero(cells != None), strict=True):  # noqa: E711  (cell by cell)
        if len(cells[place]) == dim:
            out[place] = cells[place]
    return out


def _by_condition(filters: Filters, queries: int) -> dict[str, list[int]]:
    each = [filters] * queries if isinstance(filters, (Filter, str, type(None))) else list(filters)
    if len(each) != queries:
        raise ValueError(f"{len(each)} filters for {queries} queries")
    grouped: dict[str, list[int]] = {}
    for row, one in enumerate(each):
        condition = one.expression() if isinstance(one, Filter) else one or ""
        grouped.setdefault(condition, []).append(row)
    return grouped
