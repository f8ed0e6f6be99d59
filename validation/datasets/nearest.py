"""Exact nearest neighbours by brute force, ties and rounding treated right.

A block of scores comes from one matrix product in float32. A bound on the k-th best score is found
from minima over short stretches of rows; every row within that bound plus twice the worst rounding
error is a candidate, so no true neighbour can be missed. Candidates are ranked again in float64.
Blocks of queries go through the rows side by side, one thread a core.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from validation.common import host
from validation.datasets import threads
from validation.datasets.model import Metric

_QUERY_BLOCK = 512
_BLOCK_SCORES = 2**20  # 4 MB of scores a block: they stay near the processor
_EXTENDED_ROWS = 2**16  # rows that are copied with their norms at a time
_STRETCH = 32
_UNIT_ROUNDOFF = 2.0**-24
_LEAST_SCALE = 1e-30


class Nearest:
    """The k nearest rows of each query, of rows that come one piece after the other.

    Args:
        queries: Float32, shape (q, d).
        k: Number of neighbours.
        metric: L2 (squared), IP or COSINE.

    Attributes:
        rows: Int64, shape (q, k): which rows, numbered from 0 in the order in which they came,
            nearest first, among equals the one that came first; -1 beyond the last.
        distances: Float64, shape (q, k): smaller is nearer for every metric (IP and cosine are
            negated); ``inf`` beyond the last.
        keys: Objects, shape (q, k): the keys of these rows, as far as there are any.
        count: How many rows have come.
    """

    def __init__(self, queries: np.ndarray, k: int, metric: Metric) -> None:
        self.k = k
        self.metric: Metric = metric
        self.rows = np.full((len(queries), k), -1, dtype=np.int64)
        self.distances = np.full((len(queries), k), np.inf)
        self.keys = np.full((len(queries), k), None, dtype=object)
        self.count = 0
        self._queries = np.ascontiguousarray(queries)
        compared = unit(queries) if metric == "COSINE" else self._queries
        # L2 differs from this score by the query's own norm, which changes no order.
        ones = np.ones((len(queries), 1), dtype=np.float32)
        self._weights = (
            np.hstack([compared * np.float32(-2), ones]) if metric == "L2" else -compared
        )
        self._norms = np.sqrt(np.einsum("ij,ij->i", compared, compared)).astype(np.float64)
        self._largest = 0.0
        self._best = np.full((len(queries), k), np.inf, dtype=np.float32)

    def add(self, rows: np.ndarray, keys: np.ndarray | None = None) -> None:
        """Take further rows into account.

        Args:
            rows: Float32, shape (n, d).
            keys: Of the rows, shape (n,), if they have any.
        """
        if not len(rows) or not len(self._queries):
            return
        base = np.ascontiguousarray(rows)
        who, which = self._candidates(unit(base) if self.metric == "COSINE" else base)
        exactly = distances_of_pairs(base[which], self._queries[who], self.metric)
        kept, place = np.nonzero(self.rows >= 0)
        fresh = np.full(len(which), None) if keys is None else keys[which].astype(object)
        named = np.concatenate([self.keys[kept, place], fresh])
        who = np.concatenate([kept, who])
        which = np.concatenate([self.rows[kept, place], which + self.count])
        exactly = np.concatenate([self.distances[kept, place], exactly])
        order = np.lexsort((which, exactly, who))
        who = who[order]
        # How many of the same query stand before each.
        rank = np.arange(len(who)) - np.searchsorted(who, who)
        first = rank < self.k
        self.rows[who[first], rank[first]] = which[order][first]
        self.distances[who[first], rank[first]] = exactly[order][first]
        self.keys[who[first], rank[first]] = named[order][first]
        self.count += len(base)
        if (self.rows[:, : min(self.k, self.count)] < 0).any():
            raise IndexError("candidates were lost")

    def _candidates(self, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (query, row) pairs that hold all of these rows that are among the k nearest."""
        squares = np.einsum("ij,ij->i", base, base)
        # The largest of all so far: the best scores may be of earlier rows, and as far off.
        self._largest = largest = max(self._largest, float(np.sqrt(squares.max())))
        terms = base.shape[1] + 2
        rounding = terms * _UNIT_ROUNDOFF * (largest * largest + 2 * self._norms * largest)
        found: list[_Pairs] = []
        with threads.pool() as pool:
            size = min(_QUERY_BLOCK, -(-len(self._weights) // host.cores()))
            blocks = [slice(at, at + size) for at in range(0, len(self._weights), size)]
            for at in range(0, len(base), _EXTENDED_ROWS):
                stretch = slice(at, at + _EXTENDED_ROWS)
                extended = base[stretch]
                if self.metric == "L2":
                    extended = np.hstack([extended, squares[stretch, None]])
                jobs = [
                    pool.submit(
                        _near, self._weights[block], extended, self._best[block], rounding[block]
                    )
                    for block in blocks
                ]
                for block, job in zip(blocks, jobs, strict=True):
                    found += [
                        (who + block.start, which + at, score) for who, which, score in job.result()
                    ]
        who, which, score = (np.concatenate(part) for part in zip(*found, strict=True))
        # Early stretches were held against a looser bound than the last one.
        near = score <= (self._best.max(axis=1) + 2 * rounding)[who]
        return who[near], which[near]


def distances_of_pairs(rows: np.ndarray, queries: np.ndarray, metric: Metric) -> np.ndarray:
    """Return the distances of pairs in float64, smaller is nearer.

    Args:
        rows: Shape (m, d).
        queries: Of the same shape.
        metric: L2 (squared), IP or COSINE.

    Returns:
        Float64, shape (m,).
    """
    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    if metric == "L2":
        return np.square(wide - asked).sum(axis=1)
    products = np.einsum("ij,ij->i", wide, asked)
    if metric == "COSINE":
        norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(asked, axis=1)
        products = products / np.where(norms > 0, norms, 1)
    return -products


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise to float32; what that rounds off is far below a score's own rounding."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    scale = (1 / np.where(norms > 0, norms, 1))[:, None]
    if scale.min() > _LEAST_SCALE and scale.max() < 1 / _LEAST_SCALE:
        return vectors * scale.astype(np.float32)
    return (vectors * scale).astype(np.float32)  # float32 does not hold such a factor well


_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def _near(
    weights: np.ndarray, extended: np.ndarray, best: np.ndarray, rounding: np.ndarray
) -> list[_Pairs]:
    """Return candidates of one block of queries among some rows: query, row, score."""
    return [
        (who, which + at, scores[which, who])
        for at, scores in _scores(weights, extended)
        for who, which in [_candidates(scores, best, rounding)]
    ]


def _scores(weights: np.ndarray, extended: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield scores block by block, shape (rows, queries), always in the same memory.

    Rows come first: the product is a tenth faster so, and minima over rows are of whole lines.
    """
    size = max(_STRETCH, _BLOCK_SCORES // len(weights))
    memory = np.empty(len(weights) * min(size, len(extended)), dtype=np.float32)
    for at in range(0, len(extended), size):
        part = extended[at : at + size]
        scores = memory[: len(weights) * len(part)].reshape(len(part), len(weights))
        yield at, np.matmul(part, weights.T, out=scores)


def _candidates(
    scores: np.ndarray, best: np.ndarray, rounding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, row) pairs that may be among the k best so far.

    Args:
        scores: Float32, shape (m, q): one stretch of rows.
        best: Float32, shape (q, k): the scores of k different rows seen so far; updated in place.
            No true neighbour scores worse than the worst of them by more than rounding.
        rounding: Float64, shape (q,): largest error of a score.
    """
    width, count = scores.shape
    k, groups = best.shape[1], width // _STRETCH
    # Rows that lie far apart are folded onto each other: minima then run at memory speed, and only
    # the few groups whose minimum is good enough are looked into.
    folded = scores[: groups * _STRETCH].reshape(_STRETCH, groups, count)
    rest = scores[groups * _STRETCH :]
    minima = folded.min(axis=0) if groups else rest[:0]
    # A short stretch is taken whole: it may hold several of the k best in one group.
    fresh = np.hstack([best, minima.T, rest.T] if groups >= 2 * k else [best, scores.T])
    best[:] = np.partition(fresh, k - 1, axis=1)[:, :k]
    limit = best.max(axis=1) + 2 * rounding
    group, who = np.nonzero(minima <= limit)
    layer, pair = np.nonzero(folded[:, group, who] <= limit[who])
    rest_row, rest_who = np.nonzero(rest <= limit)
    return (
        np.concatenate([who[pair], rest_who]),
        np.concatenate([layer * groups + group[pair], rest_row + groups * _STRETCH]),
    )
