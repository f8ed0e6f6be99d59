"""What the hits of answers really are: rows, exact distances, and how exact these can be told."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from validation.answers.model import BEYOND, Answers, Expected
from validation.answers.precision import Precision
from validation.datasets.ground_truth import GroundTruth
from validation.datasets.nearest import distances_of_pairs

_ENOUGH_SCORES = 3
"""So many different scores of different rows that all fit another query prove that the answer is
that one's; one or two may by chance: the float32 slack is some 1e-5 of a distance, and there are a
thousand queries to fit."""


class Hits:
    """The hits of some answers; arrays have the shape (m, k) unless something else is said.

    Args:
        answers: Whose hits.
        expected: What they are held against.
        asked: Which of the dataset's queries each answer is to, int64, shape (m,).

    Attributes:
        rows: Positions in the dataset, see `Expected.positions`.
        there: Which places hold a hit at all.
        known: Which hits are rows that may be found, whatever their filter.
        sign: Milvus's score is the exact distance times this.
    """

    def __init__(self, answers: Answers, expected: Expected, asked: np.ndarray) -> None:
        self.answers, self.expected, self.asked = answers, expected, asked
        self.dataset = expected.dataset
        self.rows = expected.positions(answers)
        self.there = self.rows != BEYOND
        self.known = self.rows >= 0
        if expected.allowed is not None:
            self.known &= expected.allowed[np.maximum(self.rows, 0)]
        self.sign = 1 if self.dataset.metric == "L2" else -1
        self._float32 = Precision(self.dataset.metric)

    def name(self, at: int) -> str:
        """Return the name of the query of an answer."""
        return self.dataset.queries.ids[self.asked[at]]

    @functools.cached_property
    def again(self) -> np.ndarray:
        """Which hits have the primary key of an earlier one in the same answer."""
        _, codes = np.unique(self.answers.ids, return_inverse=True)
        beyond = -1 - np.arange(self.answers.k)  # all different
        codes = np.where(self.there, codes.reshape(self.there.shape), beyond)
        order = np.argsort(codes, axis=1, kind="stable")
        inside = np.take_along_axis(codes, order, axis=1)
        again = np.zeros_like(self.there)
        np.put_along_axis(again, order[:, 1:], inside[:, 1:] == inside[:, :-1], axis=1)
        return again

    @functools.cached_property
    def matching(self) -> np.ndarray:
        """Which hits are rows that match their query's filter, as all do where there is none."""
        found = self.known.copy()
        for at, query in enumerate(self.asked.tolist()):
            matching = self.expected.matching(query)
            if matching is not None:
                found[at] &= matching[np.maximum(self.rows[at], 0)]
        return found

    @functools.cached_property
    def good(self) -> np.ndarray:
        """Which hits are rows that may be in the answer, each the first time it comes."""
        return self.matching & ~self.again

    @functools.cached_property
    def exactly(self) -> np.ndarray:
        """The exact distances of the known hits, smaller is nearer; NaN for the others."""
        metric = self.dataset.metric
        return self._pairs(lambda rows, queries, _: distances_of_pairs(rows, queries, metric))

    @functools.cached_property
    def rounding(self) -> np.ndarray:
        """How far the scores of the known hits may be off in float32 alone; NaN for the others."""
        return self.slack(self._float32)

    def slack(self, precision: Precision) -> np.ndarray:
        """Return how far the scores of the known hits may be off; NaN for the others."""
        return self._pairs(
            lambda rows, queries, at: precision.slack(rows, queries, self.exactly[at])
        )

    def rounding_of(self, truth: GroundTruth, query: int) -> np.ndarray:
        """Return how far the scores of a query's exact neighbours may be off, shape (k,)."""
        rows = self.dataset.vectors[np.maximum(truth.rows[query], 0)]
        asked = np.broadcast_to(self.dataset.queries.vectors[query], rows.shape)
        return self._float32.slack(rows, asked, truth.distances[query])

    def whose(self, at: int, precision: Precision) -> str:
        """Return the name of the query that all scores of an answer fit; empty if none does."""
        said = self.answers.distances[at]
        hits = np.flatnonzero(self.known[at] & ~self.again[at])
        if len(np.unique(said[hits])) < _ENOUGH_SCORES:
            return ""
        left = np.arange(len(self.dataset.queries))
        for hit in hits:  # each leaves a few queries over, so this costs little
            asked = self.dataset.queries.vectors[left]
            row = np.broadcast_to(self.dataset.vectors[self.rows[at, hit]], asked.shape)
            exactly = distances_of_pairs(row, asked, self.dataset.metric)
            off = np.abs(said[hit] - self.sign * exactly)
            left = left[off <= precision.slack(row, asked, exactly)]
            if not left.size:
                return ""
        return self.dataset.queries.ids[left[0]]

    def _pairs(
        self, figure: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return a figure of each known hit and its query; NaN for the others."""
        out = np.full(self.rows.shape, np.nan)
        queries = np.broadcast_to(self.asked[:, None], self.rows.shape)[self.known]
        rows = self.rows[self.known]
        if rows.size:
            vectors, asked = self.dataset.vectors[rows], self.dataset.queries.vectors[queries]
            out[self.known] = figure(vectors, asked, self.known)
        return out
