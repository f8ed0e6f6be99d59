"""The kinds of wrong that an answer can be, each counted, with the first few examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from validation.answers.hits import Hits
from validation.answers.model import NOTHING
from validation.answers.precision import Precision
from validation.datasets.ground_truth import GroundTruth
from validation.datasets.model import Column, Dataset, as_objects

INCOMPLETE = "answers.incomplete"
DUPLICATES = "answers.duplicates"
UNKNOWN = "answers.unknown"
DISORDERED = "answers.disordered"
WRONG_SCORES = "answers.wrong_scores"
WRONG_FIELDS = "answers.wrong_fields"
FOREIGN = "answers.foreign"
FILTER = "filter.violations"
MISSES = "exact_search.misses"

WORDS = {
    INCOMPLETE: "hits too few or too many",
    DUPLICATES: "hits that come twice",
    UNKNOWN: "hits that were never sent, or are deleted",
    DISORDERED: "hits out of order",
    WRONG_SCORES: "scores that are not the row's distance",
    WRONG_FIELDS: "hits with fields of another row",
    FOREIGN: "answers to another query",
    FILTER: "hits outside the filter",
    MISSES: "nearer rows left out",
}

EXAMPLES = 3

Example = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of wrong: its count in each answer, int64, shape (m,), and the first examples."""

    counts: np.ndarray
    examples: list[Example]


def noted(
    hits: Hits, bad: np.ndarray, tell: Callable[[int, int], Example] = lambda _, __: {}
) -> Kind:
    """Return hits of a kind, with what there is to tell of the first few.

    Args:
        hits: All of them.
        bad: Which are of the kind, bool, shape (m, k).
        tell: Says more of a hit, given the positions of answer and hit.
    """
    examples = [
        {"query": hits.name(at), "id": hits.answers.ids[at, hit], **tell(at, hit)}
        for at, hit in np.argwhere(bad)[:EXAMPLES].tolist()
    ]
    return Kind(bad.sum(axis=1), examples)


def incomplete(hits: Hits) -> Kind:
    """Return the hits that are missing at the end of answers, or are more than were asked for."""
    found, most, least = hits.answers.found, hits.answers.k, hits.expected.least
    wanted = np.zeros_like(found) if least is None else np.minimum(most, least[hits.asked])
    off = np.maximum(wanted - found, 0) + np.maximum(found - most, 0)
    examples = [
        {"query": hits.name(at), "expected": int(wanted[at]), "seen": int(found[at])}
        for at in np.flatnonzero(off)[:EXAMPLES]
    ]
    return Kind(off, examples)


def disordered(hits: Hits) -> Kind:
    """Return the hits that are better than the one before them."""
    said, bad = hits.answers.distances, np.zeros_like(hits.there)
    step = np.diff(np.where(hits.there, said, np.nan), axis=1)
    falls, rises = step < 0, step > 0
    order = hits.expected.order or ("rising" if hits.sign > 0 else "falling")
    if order == "either":  # whichever way most of an answer runs
        rising = rises.sum(axis=1, keepdims=True) > falls.sum(axis=1, keepdims=True)
        bad[:, 1:] = np.where(rising, falls, rises)
    else:
        bad[:, 1:] = falls if order == "rising" else rises
    return noted(hits, bad, lambda at, hit: {"seen": said[at, hit], "before_it": said[at, hit - 1]})


def scores(hits: Hits, precision: Precision) -> dict[str, Kind]:
    """Return the hits with wrong scores, and the answers whose scores are another query's."""
    right, slack, said = hits.sign * hits.exactly, hits.slack(precision), hits.answers.distances
    near = (np.abs(said - right) <= slack) | (np.isinf(slack) & ~np.isnan(said))
    bad = hits.known & ~near
    others = {at: hits.whose(at, precision) for at in np.flatnonzero(bad.any(axis=1)).tolist()}
    foreign = [at for at, other in others.items() if other]
    counts = np.zeros(len(hits.asked), dtype=np.int64)
    counts[foreign] = 1
    return {
        WRONG_SCORES: noted(
            hits,
            bad,
            lambda at, hit: {
                "expected": right[at, hit],
                "give_or_take": slack[at, hit],
                "seen": said[at, hit],
            },
        ),
        FOREIGN: Kind(
            counts,
            [{"query": hits.name(at), "is_that_of": others[at]} for at in foreign[:EXAMPLES]],
        ),
    }


def fields(hits: Hits) -> Kind:
    """Return the hits with an output field that is not their row's."""
    columns = _columns(hits.dataset)
    unlike = {
        name: hits.known & _unlike(seen, columns[name], hits.rows)
        for name, seen in hits.answers.fields.items()
    }

    def tell(at: int, hit: int) -> Example:
        name = next(name for name, bad in unlike.items() if bad[at, hit])
        right, seen = columns[name][hits.rows[at, hit]], hits.answers.fields[name][at, hit]
        return {"field": name, "expected": right, "seen": seen}

    return noted(hits, np.logical_or.reduce([*unlike.values()]), tell)


def filters(hits: Hits) -> Kind:
    """Return the hits that break their query's filter."""
    conditions = [hits.expected.filter_of(query) for query in hits.asked.tolist()]
    filtered = np.array([one is not None for one in conditions], dtype=bool)

    def tell(at: int, _: int) -> Example:
        one = conditions[at]
        return {"filter": "" if one is None else one.expression()}

    found = noted(hits, hits.known & ~hits.matching, tell)
    looked_at = filtered & hits.there.any(axis=1)
    return dataclasses.replace(found, counts=np.where(looked_at, found.counts, NOTHING))


def misses(hits: Hits, truth: GroundTruth) -> Kind:
    """Return the rows that are nearer than the farthest hit of an answer, and are not in it."""
    counts = np.zeros(len(hits.asked), dtype=np.int64)
    examples: list[Example] = []
    for at, query in enumerate(hits.asked.tolist()):
        good = hits.good[at]
        if not good.any():
            continue
        last = int(np.argmax(np.where(good, hits.exactly[at], -np.inf)))
        border = hits.exactly[at, last] - hits.rounding[at, last]
        nearer = truth.distances[query] + hits.rounding_of(truth, query) < border
        missed = np.flatnonzero(nearer & ~np.isin(truth.rows[query], hits.rows[at, good]))
        counts[at] = len(missed)
        examples += [
            {
                "query": hits.name(at),
                "missing": hits.dataset.ids[truth.rows[query, first]],
                "expected": hits.sign * truth.distances[query, first],
                "last_hit": hits.sign * hits.exactly[at, last],
            }
            for first in missed[: 1 if len(examples) < EXAMPLES else 0]
        ]
    return Kind(counts, examples)


def overlap(hits: Hits, truth: GroundTruth) -> np.ndarray:
    """Return the share of the exact neighbours that each answer holds, float64, shape (m,).

    A row counts if its exact distance is that of the last exact neighbour at most, so that any of
    several at the same distance is as good as another; float32 arithmetic cannot tell rows apart
    that differ by less than its rounding. What the server says of distances plays no part. NaN
    where there is nothing to find.
    """
    shares = np.full(len(hits.asked), np.nan)
    for at, query in enumerate(hits.asked.tolist()):
        wanted = min(hits.answers.k, int(truth.matches[query]))
        if wanted:
            off = hits.rounding_of(truth, query)[wanted - 1]
            border = truth.distances[query, wanted - 1] + off
            near = hits.good[at] & (hits.exactly[at] - hits.rounding[at] <= border)
            shares[at] = min(int(near.sum()), wanted) / wanted
    return shares


def _columns(dataset: Dataset) -> dict[str, Column]:
    """Return what output fields hold, by name."""
    named: dict[str, Column] = {
        "id": dataset.ids,
        "vector": dataset.vectors,
        **dataset.scalars,
    }
    return named if dataset.texts is None else {**named, "text": dataset.texts}


def _unlike(seen: np.ndarray, column: Column, rows: np.ndarray) -> np.ndarray:
    """Return which hits have another value than their row, bool, shape (m, k)."""
    at = np.maximum(rows, 0)
    if seen.ndim > 2:  # noqa: PLR2004  (vectors)
        return (seen != np.asarray(column)[at]).any(axis=2)
    return np.array(seen != as_objects(column)[at], dtype=bool)
