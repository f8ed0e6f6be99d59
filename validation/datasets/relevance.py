"""Ranking metrics against judged relevance, query by query, as trec_eval computes them.

- nDCG@k: linear gain (the grade itself), discount log2(rank + 1), divided by that of the ideal
  order of all judged rows: trec_eval's ``ndcg_cut``. (Burges' exponential gain 2^grade - 1 is
  *not* used.)
- MRR@k: one over the rank of the first row with a positive grade, 0 if there is none among k:
  trec_eval's ``recip_rank`` cut off at k.
- recall@k: rows with a positive grade among k, over all that there are: ``recall_k``.

Other than trec_eval, which sorts a run by score and breaks ties by document name, the rank here is
the order in which the server answered: that is what its user sees. A row returned twice counts at
its first rank. A query without any positive judgement has nothing to find and yields NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Judged = Mapping[str, int]


def ndcg(answer: Sequence[object], judged: Judged, k: int = 10) -> float:
    """Return the normalised discounted cumulative gain of one answer, in [0, 1].

    Args:
        answer: Row ids, best first.
        judged: Grades by row id; 0 or no entry means not relevant.
        k: Where to cut off.
    """
    ideal = sorted((grade for grade in judged.values() if grade > 0), reverse=True)[:k]
    if not ideal:
        return float("nan")
    return _gain(_grades(answer, judged, k)) / _gain(ideal)


def mrr(answer: Sequence[object], judged: Judged, k: int = 10) -> float:
    """Return the reciprocal rank of the first relevant row among k, else 0."""
    if not any(grade > 0 for grade in judged.values()):
        return float("nan")
    for rank, grade in enumerate(_grades(answer, judged, k), start=1):
        if grade > 0:
            return 1 / rank
    return 0.0


def recall(answer: Sequence[object], judged: Judged, k: int = 10) -> float:
    """Return the share of the relevant rows that are among k."""
    relevant = sum(grade > 0 for grade in judged.values())
    if not relevant:
        return float("nan")
    return sum(grade > 0 for grade in _grades(answer, judged, k)) / relevant


METRICS: dict[str, Callable[[Sequence[object], Judged, int], float]] = {
    "ndcg": ndcg,
    "mrr": mrr,
    "qrels_recall": recall,
}


def without(answer: Sequence[object], own: object) -> list[object]:
    """Return an answer without the row that is the query itself; None if it is no row."""
    return [row for row in answer if own is None or row != own]


def ranking(
    answers: Sequence[Sequence[object]],
    query_ids: Sequence[str],
    qrels: Mapping[str, Judged],
    k: int = 10,
) -> dict[str, np.ndarray]:
    """Return every metric of every judged query.

    Args:
        answers: Row ids, best first, one answer a query.
        query_ids: Of the same queries.
        qrels: Grades by query id and row id.
        k: Where to cut off.

    Returns:
        ``ndcg@k``, ``mrr@k`` and ``qrels_recall@k``: float64, shape (m,), of the m queries that
        have a positive judgement; ``query`` holds their positions, int64.
    """
    pairs = list(zip(answers, query_ids, strict=True))
    judged = [
        at
        for at, (_, query) in enumerate(pairs)
        if any(grade > 0 for grade in qrels.get(query, {}).values())
    ]
    scores = {
        f"{name}@{k}": np.array([metric(pairs[at][0], qrels[pairs[at][1]], k) for at in judged])
        for name, metric in METRICS.items()
    }
    return {**scores, "query": np.array(judged, dtype=np.int64)}


def _grades(answer: Sequence[object], judged: Judged, k: int) -> list[int]:
    """Return the grades of the first k ranks; a row's second appearance is worth nothing."""
    seen: set[str] = set()
    grades = []
    for row in map(str, answer[:k]):
        grades.append(0 if row in seen else judged.get(row, 0))
        seen.add(row)
    return grades


def _gain(grades: Sequence[int]) -> float:
    return float(sum(max(0, g) / np.log2(rank + 1) for rank, g in enumerate(grades, start=1)))
