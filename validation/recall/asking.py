"""Ask a collection: with rows drawn from it, or with vectors from a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from validation.answers.model import Answers
from validation.datasets import checking
from validation.datasets.model import key_array, norms
from validation.errors import MeasurementError
from validation.milvus import searching
from validation.recall.plan import Plan, Value
from validation.recall.subject import Subject

_FETCHED = 1_000
"""Rows that are looked up by key in one request."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """The queries.

    Args:
        vectors: Float32, shape (q, d).
        own: The primary key of the row that each query is; None for one that is none.
        note: What a reader should know of them.
    """

    vectors: np.ndarray
    own: Sequence[Any]
    note: str = ""

    def __len__(self) -> int:
        return len(self.own)

    def names(self) -> list[str]:
        """Return what each is called: its key, or its position in the file."""
        return [str(at if key is None else key) for at, key in enumerate(self.own)]


def given(subject: Subject, vectors: np.ndarray) -> Asked:
    """Return queries that are no rows.

    Raises:
        DatasetError: One of them has no distance to anything.
    """
    checking.check_vectors(vectors, len(vectors), "--queries")
    checking.check_lengths(vectors, subject.metric, "--queries")
    return Asked(vectors, [None] * len(vectors))


def drawn(subject: Subject, keys: np.ndarray) -> Asked:
    """Return rows as queries; those with which float32 computes no distance are left out."""
    there, vectors = vectors_of(subject, keys.tolist())
    lengths = norms(vectors)
    usable = lengths <= checking.MOST_NORM
    if subject.metric == "COSINE":
        usable &= lengths >= checking.LEAST_NORM
    left_out = int((~usable).sum())
    return Asked(
        vectors[usable],
        [key for key, use in zip(there, usable, strict=True) if use],
        f"{left_out} of the rows drawn have a length with which float32 computes no distance, such"
        " as zero for COSINE; they were not asked with"
        if left_out
        else "",
    )


def vectors_of(subject: Subject, keys: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    """Return the keys that are there, of those given, and their vectors, float32, shape (n, d)."""
    table = subject.table(subject.vector)
    found: dict[Any, np.ndarray] = {}
    step = max(1, min(_FETCHED, table.page))
    for at in range(0, len(keys), step):
        got = table.query(table.any_of(keys[at : at + step]))
        if got:
            rows = np.asarray(got[subject.vector])
            found.update(zip(key_array(got[table.key]).tolist(), rows, strict=True))
    there = [key for key in dict.fromkeys(keys) if key in found]
    vectors = np.array([found[key] for key in there], dtype=np.float32)
    return there, vectors.reshape(len(there), subject.dim)


def matching(subject: Subject, condition: str, keys: Sequence[Any]) -> set[Any]:
    """Return which of some rows satisfy a condition, as the server sees it."""
    table = subject.table(condition=condition)
    found: set[Any] = set()
    for at in range(0, len(keys), _FETCHED):
        got = table.query(table.any_of(keys[at : at + _FETCHED]))
        found.update(key_array(got[table.key]).tolist() if got else ())
    return found


def fields_of(subject: Subject, fields: Sequence[str], keys: list[Any]) -> dict[str, list[str]]:
    """Return the output fields of rows, looked up by key, as text."""
    found: dict[Any, Mapping[str, Any]] = {}
    table = subject.table()
    for at in range(0, len(keys), _FETCHED):
        with subject.connection.explained(f"look up rows of {subject.name}"):
            got = subject.connection.client.query(
                subject.name,
                filter=table.any_of(keys[at : at + _FETCHED]),
                output_fields=[subject.key, *fields],
                consistency_level="Strong",
                timeout=60,
            )
        found.update((row[subject.key], row) for row in got)
    return {name: [as_text(found.get(key, {}).get(name)) for key in keys] for name in fields}


def answers(
    subject: Subject, plan: Plan, asked: Asked, params: Mapping[str, Value]
) -> Answers | str:
    """Return what is found with some parameters, or why the server refuses them."""
    try:
        found = searching.search(
            subject.connection,
            subject.name,
            asked.vectors,
            k=plan.k + 1,
            params=params,
            filter=plan.condition or None,
            fields=plan.fields,
            vector=subject.vector,
        )
    except MeasurementError as error:
        return f"{error.what} (seen: {error.seen})" if error.seen else error.what
    return without(found, asked.own, plan.k)


def without(found: Answers, own: Sequence[Any], k: int) -> Answers:
    """Return at most k hits of each query, and not the row that the query is.

    Args:
        found: With a hit more.
        own: The primary key of the row that each query is; None for one that is none.
        k: How many hits are kept.
    """
    kept = np.arange(found.k) < found.found[:, None]
    for query, key in enumerate(own):
        if key is not None:
            kept[query] &= found.ids[query] != key
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    count = np.minimum(kept.sum(axis=1), k)
    beyond = np.arange(k) >= count[:, None]

    def moved(values: np.ndarray, nothing: Any) -> np.ndarray:
        out = np.take_along_axis(values, order, axis=1)
        out[beyond] = nothing
        return out

    return Answers(
        moved(found.ids, "" if found.ids.dtype == object else -1),
        moved(found.distances, np.nan),
        count,
        {name: moved(_as_texts(values), None) for name, values in found.fields.items()},
    )


def _as_texts(values: np.ndarray) -> np.ndarray:
    """Return values of any kind as text, so that they can be compared, shape (q, k)."""
    out = np.empty(values.shape[:2], dtype=object)
    for place in np.ndindex(*out.shape):
        out[place] = as_text(values[place])
    return out


def as_text(value: Any) -> str:
    """Return a value of any field as text."""
    plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return json.dumps(plain, sort_keys=True, default=str)
