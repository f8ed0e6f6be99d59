"""The exact nearest neighbours of a dataset's queries, all of them or under a filter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from validation.datasets.model import Dataset, Filter, Metric
from validation.datasets.nearest import Nearest, distances_of_pairs, unit


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The exact neighbours of each query.

    Args:
        rows: Int64, shape (q, k): positions in the dataset, nearest first; -1 beyond the last
            match.
        distances: Float64, shape (q, k): smaller is nearer for every metric (IP and cosine are
            negated); ``inf`` beyond the last match.
        matches: How many rows there were to choose from, int64, shape (q,).
        k: Number of neighbours.
    """

    rows: np.ndarray
    distances: np.ndarray
    matches: np.ndarray
    k: int


def exact(
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    metric: Metric = "L2",
    *,
    mask: np.ndarray | None = None,
) -> GroundTruth:
    """Return the k exact nearest rows of each query.

    Args:
        vectors: Float32, shape (n, d).
        queries: Float32, shape (q, d).
        k: Number of neighbours.
        metric: L2 (squared), IP or COSINE.
        mask: Bool, shape (n,): rows that may be found.
    """
    positions = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
    nearest = Nearest(queries, k, metric)
    nearest.add(vectors if mask is None else vectors[positions])
    rows = nearest.rows
    if positions.size:
        rows = np.where(rows >= 0, positions[rows], -1)
    return GroundTruth(rows, nearest.distances, np.full(len(queries), positions.size), k)


def exact_under(
    dataset: Dataset,
    k: int,
    filters: Filter | Sequence[Filter | None] | None = None,
    *,
    present: np.ndarray | None = None,
) -> GroundTruth:
    """Return the k exact nearest rows of each of a dataset's queries under the query's own filter.

    Args:
        dataset: Rows and queries.
        k: Number of neighbours.
        filters: One for all queries, or one each.
        present: Bool, shape (n,): rows that are there; all if left out.
    """
    count = len(dataset.queries)
    each = list(filters) if isinstance(filters, Sequence) else [filters] * count
    places: dict[str, list[int]] = {}
    for at, one in enumerate(each):
        places.setdefault(one.expression() if one else "", []).append(at)
    rows = np.full((count, k), -1, dtype=np.int64)
    distances = np.full((count, k), np.inf)
    matches = np.zeros(count, dtype=np.int64)
    for at in places.values():
        condition = each[at[0]]
        mask = present if condition is None else condition.mask(dataset.scalars)
        if mask is not None and present is not None:
            mask = mask & present
        found = exact(dataset.vectors, dataset.queries.vectors[at], k, dataset.metric, mask=mask)
        rows[at], distances[at], matches[at] = found.rows, found.distances, found.matches
    return GroundTruth(rows, distances, matches, k)


def joined(
    truth: GroundTruth, dataset: Dataset, queries: np.ndarray, rows: np.ndarray
) -> GroundTruth:
    """Return the truth with further rows that are there now, for some of the queries.

    Args:
        truth: Without these rows.
        dataset: Rows and queries.
        queries: Positions of the queries, int64, shape (m,); the others stay as they were.
        rows: Positions of the rows, int64, shape (r,).
    """
    if not rows.size:
        return truth
    found, distances, matches = truth.rows.copy(), truth.distances.copy(), truth.matches.copy()
    for query in queries.tolist():
        asked, some = dataset.queries.vectors[query], rows
        if rows.size > 2 * truth.k:
            # Rough distances find the few that matter among thousands; k more than are needed make
            # up for their rounding.
            rough = _rough(asked, dataset.vectors[rows], dataset.metric)
            some = rows[np.argpartition(rough, 2 * truth.k - 1)[: 2 * truth.k]]
        near = distances_to(asked, dataset.vectors[some], dataset.metric)
        both = np.concatenate([truth.rows[query], some])
        far = np.concatenate([truth.distances[query], near])
        order = np.lexsort((both, far))[: truth.k]
        found[query], distances[query] = both[order], far[order]
        matches[query] += rows.size
    return GroundTruth(found, distances, matches, truth.k)


def _rough(query: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    """Return distances in float32, smaller is nearer, for a first choice among many."""
    if metric == "L2":
        return np.square(rows - query).sum(axis=1)
    return -(unit(rows) if metric == "COSINE" else rows) @ query


def distances_to(query: np.ndarray, rows: np.ndarray, metric: Metric = "L2") -> np.ndarray:
    """Return the distances of rows to a query in float64, smaller is nearer.

    Args:
        query: Shape (d,).
        rows: Shape (m, d).
        metric: L2 (squared), IP or COSINE.
    """
    return distances_of_pairs(rows, np.broadcast_to(query, rows.shape), metric)
