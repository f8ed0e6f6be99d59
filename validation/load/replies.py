"""What the replies to a plan's requests say: looked at once the clock has stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.answers.model import Answers
from validation.datasets.model import as_objects
from validation.load.plan import SEARCHES, Plan
from validation.milvus.columns import from_message
from validation.milvus.wire import status_code


@dataclasses.dataclass(frozen=True)
class Replies:
    """The replies of one measurement, read.

    Args:
        failures: Why each request failed, in a few words that are the same for all failures of a
            kind; empty for one that was answered, and completely.
        answered: Which requests the server answered with hits, however many: bool, shape (n,).
        answers: What it answered, row by row; an empty answer where it did not.
    """

    failures: list[str]
    answered: np.ndarray
    answers: Answers

    def taken(self, which: np.ndarray) -> Replies:
        """Return some of the replies, in the order of their positions."""
        failures = [self.failures[at] for at in which]
        return Replies(failures, self.answered[which], self.answers.taken(which))


def read(
    plan: Plan, numbers: np.ndarray, called: Sequence[str], replies: Sequence[bytes]
) -> Replies:
    """Read the replies of one measurement.

    Args:
        plan: What was asked.
        numbers: Which request of the plan each one is, shape (n,).
        called: Why each call failed; empty if it did not.
        replies: What each call brought.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen.milvus_pb2 import MutationResult, SearchResults  # noqa: PLC0415

    failures: list[str] = list(called)
    read_: list[Any] = [None] * len(replies)
    for at, (number, failure, reply) in enumerate(
        zip(numbers.tolist(), called, replies, strict=True)
    ):
        if failure:
            continue
        change = plan.method(number) not in SEARCHES
        try:
            message: Any = (MutationResult if change else SearchResults).FromString(reply)
        except DecodeError:
            failures[at] = "a reply that cannot be parsed"
            continue
        code = status_code(message.status)
        if code:
            failures[at] = f"Milvus code {code}: {message.status.reason[:80]}"
            continue
        wanted = plan.hits[number % len(plan.hits)]
        if change:
            found, what = max(message.insert_cnt, message.upsert_cnt), "rows changed"
        else:
            read_[at] = message.results
            found, what = _count(message.results), "hits"
        failures[at] = "" if found >= wanted else f"incomplete: {found} of {wanted} {what}"
    return Replies(
        failures,
        np.array([results is not None for results in read_], dtype=bool),
        _answers(read_, plan.most or max(plan.hits), plan.fields),
    )


def _count(results: Any) -> int:
    return results.topks[0] if results.topks else 0


def _answers(read_: Sequence[Any], k: int, names: Sequence[str]) -> Answers:
    """Return hits as arrays; those beyond k are counted alone."""
    texts = any(results is not None and results.ids.HasField("str_id") for results in read_)
    shape = (len(read_), k)
    ids = np.full(shape, "" if texts else -1, dtype=object if texts else np.int64)
    distances, found = np.full(shape, np.nan), np.zeros(len(read_), dtype=np.int64)
    fields = {name: np.full(shape, None, dtype=object) for name in names}
    for row, results in enumerate(read_):
        if results is None:
            continue
        keys = (results.ids.str_id if texts else results.ids.int_id).data[:k]
        scores = results.scores[:k]
        ids[row, : len(keys)], distances[row, : len(scores)] = keys, scores
        # A server that says how many there are, and brings fewer, has not brought them.
        found[row] = min(_count(results), len(results.scores))
        for field in results.fields_data if names else ():
            if field.field_name in fields:
                values = as_objects(from_message(field))[:k]
                fields[field.field_name][row, : len(values)] = values
    return Answers(ids, distances, found, fields)
