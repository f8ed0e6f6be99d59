"""From whole answers to observations: what checks hold answers against, and how they report it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from validation.answers.checking import check, why_wrong
from validation.answers.model import NOTHING, Answers, Expected, Findings
from validation.answers.precision import precision_of
from validation.datasets.ground_truth import GroundTruth, exact_under
from validation.datasets.model import Dataset, Filter
from validation.load.replies import Replies
from validation.milvus.indexes import IndexSpec
from validation.milvus.schema import TEXT
from validation.milvus.serving import EXHAUSTIVE


def fields_of(dataset: Dataset) -> list[str]:
    """Return the output fields that searches for correctness ask for: all but the vectors."""
    return [*dataset.scalars, *([TEXT] if dataset.texts is not None else [])]


def expected(
    dataset: Dataset,
    truth: GroundTruth,
    index: IndexSpec,
    filters: Filter | Sequence[Filter | None] | None = None,
) -> Expected:
    """Return what the answers to searches by vector are held against.

    Args:
        dataset: Rows and queries.
        truth: The exact neighbours under the filters.
        index: What the search goes through.
        filters: One for all queries, or one each.
    """
    return Expected(
        dataset,
        truth,
        filters,
        precision=precision_of(index.kind, index.build, dataset.vectors, dataset.metric),
        exhaustive=index.kind in EXHAUSTIVE,
    )


def hold(
    gate: Callable[..., Any],
    answers: Answers,
    dataset: Dataset,
    index: IndexSpec,
    *,
    filters: Filter | Sequence[Filter | None] | None = None,
    labels: Mapping[str, object] | None = None,
) -> Findings:
    """Look at answers to all queries of a dataset, and observe what is wrong with them.

    Args:
        gate: The fixture.
        answers: Of `validation.milvus.searching.search`.
        dataset: Rows and queries; every row is in the collection.
        index: What the search went through.
        filters: What it was filtered by.
        labels: What distinguishes these searches.

    Returns:
        What was found; its ``overlap`` is the share of exact neighbours in each answer.
    """
    truth = exact_under(dataset, answers.k, filters)
    found = check(answers, expected(dataset, truth, index, filters))
    observe(
        gate, found, labels={"dataset": dataset.name, **(labels or {})}, queries=dataset.queries.ids
    )
    return found


def observe(
    gate: Callable[..., Any],
    findings: Findings,
    *,
    labels: Mapping[str, object],
    queries: Sequence[str],
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Hand what is wrong with answers to the gates, one observation a kind.

    Args:
        gate: The fixture.
        findings: Of the answers.
        labels: What distinguishes these searches.
        queries: The names of the queries, one an answer.
        evidence: Facts for a reader.
    """
    for metric, counts in findings.counts.items():
        asked = np.flatnonzero(counts != NOTHING).tolist()
        gate(
            metric,
            counts[asked],
            labels=labels,
            columns={"query": [queries[at] for at in asked]},
            evidence={**(evidence or {}), "examples": findings.examples[metric]},
            not_measured=None if asked else "no answer had anything of this kind to look at",
        )


def observe_load(
    gate: Callable[..., Any],
    replies: Replies,
    numbers: np.ndarray,
    right: Expected,
    labels: Mapping[str, object],
    *,
    recall: bool = True,
) -> str:
    """Look at every answer to searches under load, and observe what is wrong with them.

    Args:
        gate: The fixture.
        replies: Of searches for a dataset's queries, repeated in order.
        numbers: Which search each reply is to, int64, shape (n,).
        right: What the answers are held against.
        labels: What distinguishes these searches.
        recall: Whether recall is observed too: of a few answers no rule for it could pass.

    Returns:
        Why their times must not be judged; empty if they may.
    """
    came, names = np.flatnonzero(replies.answered), right.dataset.queries.ids
    if not came.size:
        return ""
    asked = numbers[came] % len(names)
    found = check(replies.answers.taken(came), right, asked)
    queries = [names[at] for at in asked]
    observe(gate, found, labels={"dataset": right.dataset.name, **labels}, queries=queries)
    if recall:
        gate("ann_overlap@10", found.overlap, labels=labels, columns={"query": queries})
    return why_wrong(found)
