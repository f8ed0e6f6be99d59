"""What is wrong with the answer to an exact search."""

from __future__ import annotations

import numpy as np

from validation.datasets.ground_truth import GroundTruth, distances_to
from validation.datasets.model import Dataset
from validation.milvus.searching import Answers

K = 10
_RELATIVE = 1e-4
_NO_ROWS = np.zeros(0, dtype=np.int64)


def what_is_wrong(
    dataset: Dataset,
    query: int,
    answers: Answers,
    at: int,
    truth: GroundTruth,
    *,
    rows: int,
    newer: np.ndarray = _NO_ROWS,
) -> str:
    """Return what is wrong with the answer to an exact search; empty if nothing is.

    An answer is wrong if it is incomplete, names a row twice or one that was never sent, gives a
    distance that is not the row's, is out of order, or leaves out a nearer row that is surely
    there. No answer at all is not wrong: it is a failure, and is counted as such.

    Args:
        dataset: Rows and queries; primary keys are positions; compared by L2.
        query: Position of the query.
        answers: What was answered.
        at: Which of the answers is the query's.
        truth: Exact neighbours among the rows that were surely there at some time.
        rows: How many of the dataset's rows may have been sent by now.
        newer: Rows that have surely come since then, by the time the query was asked.
    """
    nearest = _nearest(dataset, query, truth, newer)
    found = int(answers.found[at])
    if found < len(nearest):
        return f"{found} of {len(nearest)} hits"
    ids = np.asarray(answers.ids[at, :found], dtype=np.int64)
    if ids.min() < 0 or ids.max() >= rows:
        return "a row that was never sent"
    exactly = distances_to(dataset.queries.vectors[query], dataset.vectors[ids], dataset.metric)
    said = answers.distances[at, :found]
    slack = _RELATIVE * np.maximum(exactly, 1e-3)
    known = len(nearest)
    wrongs = {
        "a row twice": len(np.unique(ids)) < found,
        "a distance that is not the row's": not (np.abs(said - exactly) <= slack).all(),
        "out of order": (np.diff(exactly) < -slack[1:]).any(),
        "a nearer row is left out": (exactly[:known] > nearest + slack[:known]).any(),
    }
    return next((text for text, is_so in wrongs.items() if is_so), "")


def _nearest(dataset: Dataset, query: int, truth: GroundTruth, newer: np.ndarray) -> np.ndarray:
    """Return the distances of the nearest rows that are surely there, at most K of them."""
    known = truth.distances[query, : min(K, truth.matches)]
    if not newer.size:
        return known
    # Rough distances find the few that matter among thousands: each search is checked like this.
    asked, rows = dataset.queries.vectors[query], dataset.vectors[newer]
    rough = np.square(rows - asked).sum(axis=1)
    if newer.size > K:
        newer = newer[np.argpartition(rough, K - 1)[:K]]
    fresh = distances_to(asked, dataset.vectors[newer], dataset.metric)
    return np.sort(np.concatenate([known, fresh]))[:K]
