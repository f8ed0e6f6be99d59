"""Look at whole answers: complete, each row once and known, ordered, scored right, of this query.

The kinds of wrong are defined so that one defect turns its own kind red: a row that comes twice is
no missing neighbour, an answer that ends early misses nothing before its end.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from validation.answers import kinds
from validation.answers.hits import Hits
from validation.answers.model import Answers, Expected, Findings

_BLOCK_BYTES = 32 << 20


def check(answers: Answers, expected: Expected, queries: np.ndarray | None = None) -> Findings:
    """Return all that is wrong with answers.

    - ``answers.incomplete``: hits that are missing, although more rows are there to be found; or
      hits beyond the k that were asked for.
    - ``answers.duplicates``: hits whose primary key came before in the same answer.
    - ``answers.unknown``: hits that were never sent, or are deleted.
    - ``answers.disordered``: hits that are better than the one before them, by their own scores.
      Equal scores have no order.
    - ``answers.wrong_scores``: hits whose score is not the exact distance of that row to that
      query, within what `Precision.slack` allows.
    - ``answers.wrong_fields``: hits with an output field that is not that row's.
    - ``answers.foreign``: answers with wrong scores, all of which fit another query of the dataset.
    - ``filter.violations``: known hits that break the query's filter.
    - ``exact_search.misses``: rows that match and are nearer than the farthest hit, and are no hit.
      Only of exhaustive searches; for others the share of neighbours is in `Findings.overlap`.

    Args:
        answers: What was found.
        expected: What to hold them against.
        queries: Which of the dataset's queries each answer is to, int64, shape (m,); if left out,
            they are to all of them in order. One that was asked often, as under load, is looked at
            once for each different answer.

    Raises:
        ValueError: There are not as many queries as answers, or fewer exact neighbours than hits
            that were asked for.
    """
    asked = np.arange(len(answers)) if queries is None else np.asarray(queries, dtype=np.int64)
    if len(asked) != len(answers):
        raise ValueError(f"{len(answers)} answers to {len(asked)} queries")
    if expected.truth is not None and answers.k > expected.truth.k:
        raise ValueError(f"{answers.k} hits held against {expected.truth.k} exact neighbours")
    once, back = _distinct(answers, asked)
    answers, asked = answers.taken(once), asked[once]
    size = max(1, _BLOCK_BYTES // max(1, answers.k * expected.dataset.dim * 8))
    blocks = [
        _findings(Hits(answers.taken(slice(at, at + size)), expected, asked[at : at + size]))
        for at in range(0, max(1, len(answers)), size)
    ]
    found = together(blocks)
    counts = {kind: count[back] for kind, count in found.counts.items()}
    return dataclasses.replace(found, counts=counts, overlap=found.overlap[back])


def together(parts: list[Findings]) -> Findings:
    """Return the findings of several searches as those of one, in the order given."""
    named = dict.fromkeys(kind for part in parts for kind in part.counts)
    return Findings(
        {
            kind: np.concatenate([part.counts.get(kind, part.nothing()) for part in parts])
            for kind in named
        },
        {
            kind: [one for part in parts for one in part.examples.get(kind, ())][: kinds.EXAMPLES]
            for kind in named
        },
        np.concatenate([part.overlap for part in parts]),
    )


def told(found: Findings, at: int) -> str:
    """Return what is wrong with one answer in words; empty if nothing is."""
    return ", ".join(
        f"{counts[at]} {kinds.WORDS[kind]}"
        for kind, counts in found.counts.items()
        if counts[at] > 0
    )


def why_wrong(found: Findings) -> str:
    """Return why the times of answers must not be judged: some are wrong; empty if none is.

    How long a server takes for a wrong answer says nothing of how long a right one would take.
    """
    wrong = int(found.wrong.sum())
    if not wrong:
        return ""
    named = ", ".join(kind for kind, counts in found.counts.items() if (counts > 0).any())
    return f"{wrong} of {len(found.wrong)} answers were wrong ({named})"


def _distinct(answers: Answers, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of answers that differ, and for each answer which of those it is like."""
    every = np.arange(len(answers))
    if answers.fields or answers.ids.dtype == object or len(np.unique(asked)) == len(asked):
        return every, every
    scores = np.ascontiguousarray(answers.distances).view(np.int64)
    parts = [asked[:, None], answers.found[:, None], answers.ids, scores]
    _, once, back = np.unique(np.hstack(parts), axis=0, return_index=True, return_inverse=True)
    return once, back.ravel()


def _findings(hits: Hits) -> Findings:
    expected = hits.expected
    found = {
        kinds.INCOMPLETE: kinds.incomplete(hits),
        kinds.DUPLICATES: kinds.noted(hits, hits.again),
        kinds.UNKNOWN: kinds.noted(hits, hits.there & ~hits.known),
        kinds.DISORDERED: kinds.disordered(hits),
    }
    if expected.precision is not None:
        found |= kinds.scores(hits, expected.precision)
    if hits.answers.fields:
        found[kinds.WRONG_FIELDS] = kinds.fields(hits)
    if expected.filters is not None:
        found[kinds.FILTER] = kinds.filters(hits)
    truth = expected.truth
    if truth is not None and expected.exhaustive:
        found[kinds.MISSES] = kinds.misses(hits, truth)
    return Findings(
        {kind: one.counts for kind, one in found.items()},
        {kind: one.examples for kind, one in found.items()},
        np.full(len(hits.asked), np.nan) if truth is None else kinds.overlap(hits, truth),
    )
