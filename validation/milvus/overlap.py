"""How much of the exact nearest neighbours an approximate search found, ties treated right.

A returned row counts if its *exact* distance, computed here from the dataset, is no larger than
that of the k-th exact neighbour. So any of several rows at the same distance is as good as another,
and what the server claims about distances plays no part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from validation.datasets.ground_truth import GroundTruth, distances_to
from validation.datasets.model import Dataset, Filter
from validation.milvus.columns import key_array
from validation.milvus.searching import Answers

_UNIT_ROUNDOFF = 2.0**-24


def positions(answers: Answers, dataset: Dataset) -> np.ndarray:
    """Return where in the dataset the answers stand.

    Returns:
        Int64, shape (q, k): -1 for a primary key that is not in the dataset, -2 beyond the last
        hit.
    """
    known = key_array(dataset.ids)
    order = np.argsort(known, kind="stable")
    asked = answers.ids.astype(known.dtype, copy=False)
    place = np.minimum(np.searchsorted(known, asked.ravel(), sorter=order), len(known) - 1)
    rows = order[place].reshape(asked.shape)
    found = np.where(known[rows] == asked, rows, -1).astype(np.int64)
    found[np.arange(answers.k) >= answers.found[:, None]] = -2
    return found


def ann_overlap(
    answers: Answers,
    truth: GroundTruth,
    dataset: Dataset,
    k: int,
    *,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Return the share of the k exact nearest neighbours that each query found.

    A row that is returned twice counts once; an unknown primary key is wrong; fewer than k hits
    are misses, unless there are fewer than k rows to find. The only slack is the rounding of
    float32 arithmetic: rows whose exact distances differ by less cannot be told apart by a server
    that computes in float32.

    Args:
        answers: For the dataset's queries, in order.
        truth: Their exact neighbours, at least k of them.
        dataset: Rows and queries.
        k: How many neighbours.
        mask: Bool, shape (n,): rows that may be found; any other is wrong however near it is.

    Returns:
        Float64, shape (q,), from 0 to 1. NaN where there is nothing to find.

    Raises:
        ValueError: Truth and answers are of different queries, or k is larger than both hold.
    """
    if len(answers) != len(truth.rows) or k > truth.k or k > answers.k:
        raise ValueError(
            f"{len(answers)} answers of {answers.k} hits, truth for {len(truth.rows)} queries with "
            f"{truth.k} neighbours, k = {k}"
        )
    wanted = min(k, truth.matches)
    if not wanted:
        return np.full(len(answers), np.nan)
    rows = positions(answers, dataset)[:, :k]
    slack = _rounding(dataset)
    overlap = np.empty(len(answers))
    for query, row in enumerate(rows):
        vector = dataset.queries.vectors[query]
        unique = np.unique(row[row >= 0])
        if mask is not None:
            unique = unique[mask[unique]]
        exactly = distances_to(vector, dataset.vectors[unique], dataset.metric)
        border = truth.distances[query, wanted - 1]
        near = exactly <= border + slack(vector, border)
        overlap[query] = min(int(near.sum()), wanted) / wanted
    return overlap


@dataclasses.dataclass(frozen=True)
class Violations:
    """Results that break their filter.

    Args:
        counts: Of each query, int64, shape (q,).
        examples: A few of them: query, primary key, filter.
    """

    counts: np.ndarray
    examples: list[dict[str, object]]


def filter_violations(
    answers: Answers, dataset: Dataset, filters: Filter | Sequence[Filter | None]
) -> Violations:
    """Return the results that break their filter; a primary key that nobody sent breaks it, too.

    Args:
        answers: For queries in order.
        dataset: Where the rows' columns are looked up.
        filters: One for all queries, or one for each.
    """
    each = [filters] * len(answers) if isinstance(filters, Filter) else list(filters)
    masks: dict[str, np.ndarray] = {}
    counts = np.zeros(len(answers), dtype=np.int64)
    examples: list[dict[str, object]] = []
    for query, (row, filtered) in enumerate(zip(positions(answers, dataset), each, strict=True)):
        if filtered is None:
            continue
        condition = filtered.expression()
        if condition not in masks:
            masks[condition] = filtered.mask(dataset.scalars)
        hits = row[row != -2]  # noqa: PLR2004  (beyond the last hit, see positions)
        bad = (hits < 0) | ~masks[condition][hits]
        counts[query] = bad.sum()
        examples += [
            {"query": dataset.queries.ids[query], "id": answers.ids[query, at], "filter": condition}
            for at in np.flatnonzero(bad)[: max(0, 5 - len(examples))]
        ]
    return Violations(counts, examples)


def _rounding(dataset: Dataset) -> Callable[[np.ndarray, float], float]:
    """Return how far apart two exact distances may be and still be equal in float32.

    A sum of d products in float32 is off by at most d u times the sum of their magnitudes (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1); for L2 all terms are positive, so
    that sum is the distance itself, for inner products it is bounded by the norms.
    """
    relative = 2 * (dataset.dim + 2) * _UNIT_ROUNDOFF
    if dataset.metric == "L2":
        return lambda _, border: relative * border
    if dataset.metric == "COSINE":
        return lambda _, __: relative
    largest = float(np.sqrt(np.einsum("ij,ij->i", dataset.vectors, dataset.vectors).max()))
    return lambda vector, _: relative * largest * float(np.linalg.norm(vector.astype(np.float64)))
