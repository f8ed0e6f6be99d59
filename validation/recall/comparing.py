"""Hold answers against the exact neighbours, and against the rows themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.answers.checking import check
from validation.answers.model import Answers, Expected, Findings
from validation.answers.precision import Precision, precision_of
from validation.datasets.ground_truth import GroundTruth
from validation.datasets.model import Condition, Dataset, Filter, Queries
from validation.recall import asking
from validation.recall.asking import Asked
from validation.recall.neighbours import Neighbours
from validation.recall.plan import Plan, Value
from validation.recall.subject import Subject
from validation.verdicts.intervals import Estimate, estimate

_MATCHES = "matches"


@dataclasses.dataclass(frozen=True)
class Missed:
    """A neighbour that an answer does not have.

    Args:
        query: Which query: a primary key, or a position in the file.
        key: Its primary key.
        rank: Which of the query's exact neighbours it is, from 1.
        distance: As Milvus would return it.
    """

    query: str
    key: Any
    rank: int
    distance: float


@dataclasses.dataclass(frozen=True)
class Point:
    """What came of one set of search parameters.

    Args:
        params: The parameters.
        refused: Why the server did not search with them; empty if it did.
        overlap: Of each query the share of its exact neighbours that was found, float64, shape
            (q,); NaN where there is nothing to find.
        missed: The neighbours that were not found.
        wrong: How much else is wrong with the answers, by metric: see `validation.answers`.
    """

    params: dict[str, Value]
    refused: str = ""
    overlap: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    missed: tuple[Missed, ...] = ()
    wrong: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def recall(self) -> Estimate | None:
        """The mean overlap with its interval; None if nothing was measured."""
        known = self.overlap[~np.isnan(self.overlap)]
        return estimate("proportion", known) if known.size else None


def compared(
    subject: Subject,
    plan: Plan,
    asked: Asked,
    truth: Neighbours,
    answers: Sequence[tuple[dict[str, Value], Answers | str]],
) -> tuple[Point, ...]:
    """Return how the answers under each set of parameters compare with the truth.

    The rows that any of them names are looked up by key, which is a second way to them beside the
    reading: a score, a field or a filter that does not hold shows.
    """
    mentioned = [key for key in truth.keys.ravel() if key is not None]
    for _, one in answers:
        if not isinstance(one, str):
            mentioned += one.ids[np.arange(one.k) < one.found[:, None]].tolist()
    keys, vectors = asking.vectors_of(subject, list(dict.fromkeys(mentioned)))
    dataset = _dataset(subject, plan, asked, keys, vectors)
    place = {key: row for row, key in enumerate(keys)}
    exact = GroundTruth(
        np.array([[place.get(key, -1) for key in line] for line in truth.keys], dtype=np.int64),
        truth.distances,
        truth.matches,
        plan.k,
    )
    expected = Expected(
        dataset,
        exact,
        Filter((Condition(_MATCHES, "eq", value=True),)) if plan.condition else None,
        precision=_precision(subject, vectors),
    )
    return tuple(
        Point(params, refused=one)
        if isinstance(one, str)
        else _point(params, check(one, expected), one, exact, dataset)
        for params, one in answers
    )


def _dataset(
    subject: Subject, plan: Plan, asked: Asked, keys: list[Any], vectors: np.ndarray
) -> Dataset:
    """Return the rows that answers or the truth name, with what is compared of them."""
    scalars: dict[str, Any] = {}
    if plan.condition:
        found = asking.matching(subject, plan.condition, keys)
        scalars[_MATCHES] = np.array([key in found for key in keys], dtype=bool)
    if plan.fields:
        scalars |= asking.fields_of(subject, plan.fields, keys)
    texts = any(isinstance(key, str) for key in keys)
    return Dataset(
        name=subject.name,
        ids=keys if texts else np.array(keys, dtype=np.int64),
        vectors=vectors,
        scalars=scalars,
        queries=Queries(asked.names(), vectors=asked.vectors),
        metric=subject.metric,
    )


def _precision(subject: Subject, vectors: np.ndarray) -> Precision | None:
    """Return how the index computes scores; None if that follows from rows that are not here."""
    trained = "SQ" in subject.index.upper() or "sq_type" in subject.build
    if trained or subject.index.upper() == "AUTOINDEX":
        return None
    return precision_of(subject.index, subject.build, vectors, subject.metric)


def _point(
    params: dict[str, Value],
    findings: Findings,
    answers: Answers,
    truth: GroundTruth,
    dataset: Dataset,
) -> Point:
    missed: list[Missed] = []
    for query, share in enumerate(findings.overlap.tolist()):
        if not np.isnan(share):
            missed += _missed(query, share, answers, truth, dataset)
    wrong = {kind: int(np.maximum(count, 0).sum()) for kind, count in findings.counts.items()}
    return Point(
        params,
        overlap=findings.overlap,
        missed=tuple(missed),
        wrong={kind: count for kind, count in wrong.items() if count},
    )


def _missed(
    query: int, share: float, answers: Answers, truth: GroundTruth, dataset: Dataset
) -> list[Missed]:
    """Return as many neighbours of a query as it did not find, the nearest first.

    Where another row that is equally near was found in place of one, that one is not missed.
    """
    wanted = min(truth.k, int(truth.matches[query]))
    found = set(answers.of(query))
    absent = [
        (rank, row)
        for rank, row in enumerate(truth.rows[query, :wanted].tolist(), start=1)
        if dataset.ids[row] not in found
    ]
    sign = 1 if dataset.metric == "L2" else -1
    return [
        Missed(
            dataset.queries.ids[query],
            dataset.ids[row],
            rank,
            float(sign * truth.distances[query, rank - 1]),
        )
        for rank, row in absent[: round((1 - share) * wanted)]
    ]
