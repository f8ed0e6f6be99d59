"""Exact nearest neighbours by brute force, ties and rounding treated right.

A block of scores comes from one matrix product in float32. A bound on the k-th best score is found
from minima over short stretches of rows; every row within that bound plus twice the worst rounding
error is a candidate, so no true neighbour can be missed. Candidates are ranked again in float64.
Blocks of queries go through the rows side by side, one thread a core.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from validation import host
from validation.datasets import threads
from validation.datasets.model import Metric

_QUERY_BLOCK = 128
_ROW_BLOCK = 8_192  # 4 MB of scores a block: they stay near the processor
_EXTENDED_ROWS = 8 * _ROW_BLOCK  # rows that are copied with their norms at a time
_STRETCH = 32
_UNIT_ROUNDOFF = 2.0**-24


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The exact neighbours of each query.

    Args:
        rows: Int64, shape (q, k): positions in the dataset, nearest first; -1 beyond the last
            match.
        distances: Float64, shape (q, k): smaller is nearer for every metric (IP and cosine are
            negated); ``inf`` beyond the last match.
        matches: How many rows there were to choose from.
        k: Number of neighbours.
    """

    rows: np.ndarray
    distances: np.ndarray
    matches: int
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
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    distances = np.full((len(queries), k), np.inf)
    if positions.size:
        base = np.ascontiguousarray(vectors if mask is None else vectors[positions])
        asked = np.ascontiguousarray(queries)
        count = min(k, len(base))
        who, which = _candidate_pairs(base, asked, count, metric)
        exactly = _exactly(base[which], asked[who], metric)
        # Among equals the lower position comes first.
        order = np.lexsort((which, exactly, who))
        starts = np.searchsorted(who[order], np.arange(len(asked)))
        first = order[starts[:, None] + np.arange(count)]
        rows[:, :count], distances[:, :count] = positions[which[first]], exactly[first]
    return GroundTruth(rows, distances, int(positions.size), k)


def distances_to(query: np.ndarray, rows: np.ndarray, metric: Metric = "L2") -> np.ndarray:
    """Return the distances of rows to a query in float64, smaller is nearer.

    Args:
        query: Shape (d,).
        rows: Shape (m, d).
        metric: L2 (squared), IP or COSINE.
    """
    return _exactly(rows, np.broadcast_to(query, rows.shape), metric)


def _exactly(rows: np.ndarray, queries: np.ndarray, metric: Metric) -> np.ndarray:
    """Return the distances of pairs in float64, smaller is nearer, shape (m,)."""
    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    if metric == "L2":
        return np.square(wide - asked).sum(axis=1)
    products = np.einsum("ij,ij->i", wide, asked)
    if metric == "COSINE":
        norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(asked, axis=1)
        products = products / np.where(norms > 0, norms, 1)
    return -products


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise to float32; what that rounds off is far below a score's own rounding."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _candidate_pairs(
    base: np.ndarray, queries: np.ndarray, k: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, row) pairs that hold at least the k nearest rows of each query."""
    squared = metric == "L2"
    if metric == "COSINE":
        base, queries = _unit(base), _unit(queries)
    squares = np.einsum("ij,ij->i", base, base)
    norms = np.sqrt(np.einsum("ij,ij->i", queries, queries)).astype(np.float64)
    largest = float(np.sqrt(squares.max()))
    rounding = (base.shape[1] + 2) * _UNIT_ROUNDOFF * (largest * largest + 2 * norms * largest)
    # L2 differs from this score by the query's own norm, which changes no order.
    ones = np.full((len(queries), 1), 1 if squared else 0, dtype=np.float32)
    weights = np.hstack([queries * np.float32(-2 if squared else -1), ones])
    best = np.full((len(queries), k), np.inf, dtype=np.float32)
    found: list[_Pairs] = []
    with threads.pool() as pool:
        size = min(_QUERY_BLOCK, -(-len(queries) // host.cores()))
        blocks = [slice(at, at + size) for at in range(0, len(queries), size)]
        for at in range(0, len(base), _EXTENDED_ROWS):
            stretch = slice(at, at + _EXTENDED_ROWS)
            extended = np.hstack([base[stretch], squares[stretch, None]])
            jobs = [
                pool.submit(_near, weights[block], extended, best[block], rounding[block])
                for block in blocks
            ]
            for block, job in zip(blocks, jobs, strict=True):
                found += [
                    (who + block.start, which + at, score) for who, which, score in job.result()
                ]
    who, which, score = (np.concatenate(part) for part in zip(*found, strict=True))
    # Early stretches were held against a looser bound than the last one.
    near = score <= (best.max(axis=1) + 2 * rounding)[who]
    return who[near], which[near]


_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def _near(
    weights: np.ndarray, extended: np.ndarray, best: np.ndarray, rounding: np.ndarray
) -> list[_Pairs]:
    """Return candidates of one block of queries among some rows: query, row, score."""
    return [
        (who, which + at, scores[who, which])
        for at, scores in _scores(weights, extended)
        for who, which in [_candidates(scores, best, rounding)]
    ]


def _scores(weights: np.ndarray, extended: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield scores block by block, always in the same memory."""
    memory = np.empty(len(weights) * min(_ROW_BLOCK, len(extended)), dtype=np.float32)
    for at in range(0, len(extended), _ROW_BLOCK):
        part = extended[at : at + _ROW_BLOCK]
        scores = memory[: len(weights) * len(part)].reshape(len(weights), len(part))
        yield at, np.matmul(weights, part.T, out=scores)


def _candidates(
    scores: np.ndarray, best: np.ndarray, rounding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, row) pairs that may be among the k best so far.

    Args:
        scores: Float32, shape (q, m): one stretch of rows.
        best: Float32, shape (q, k): the scores of k different rows seen so far; updated in place.
            No true neighbour scores worse than the worst of them by more than rounding.
        rounding: Float64, shape (q,): largest error of a score.
    """
    count, width = scores.shape
    k, groups = best.shape[1], width // _STRETCH
    # Rows that lie far apart are folded onto each other: minima then run at memory speed, and only
    # the few groups whose minimum is good enough are looked into.
    folded = scores[:, : groups * _STRETCH].reshape(count, _STRETCH, groups)
    rest = scores[:, groups * _STRETCH :]
    minima = folded.min(axis=1) if groups else rest[:, :0]
    # A short stretch is taken whole: it may hold several of the k best in one group.
    fresh = np.hstack([best, minima, rest] if groups >= 2 * k else [best, scores])
    best[:] = np.partition(fresh, k - 1, axis=1)[:, :k]
    limit = best.max(axis=1) + 2 * rounding
    who, group = np.nonzero(minima <= limit[:, None])
    pair, layer = np.nonzero(folded[who, :, group] <= limit[who][:, None])
    rest_who, rest_row = np.nonzero(rest <= limit[:, None])
    return (
        np.concatenate([who[pair], rest_who]),
        np.concatenate([layer * groups + group[pair], rest_row + groups * _STRETCH]),
    )
