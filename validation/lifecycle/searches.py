"""One search after the other, in the background, with its time and its whole answer."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np

from validation.answers.checking import check
from validation.answers.model import Answers
from validation.datasets.ground_truth import exact_under
from validation.datasets.model import Dataset
from validation.errors import MilvusKitError
from validation.lifecycle.beside import Beside
from validation.milvus import searching
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import IndexSpec
from validation.suite import answering
from validation.target import Target

K = 10
PAUSE_SECONDS = 0.005
_JOIN_SECONDS = 90.0


@dataclasses.dataclass(frozen=True)
class Search:
    """One search.

    Args:
        began: On the monotonic clock.
        ended: The same.
        query: Which of the dataset's queries it was.
        answer: Its hits; None if it failed.
        failed: Why.
    """

    began: float
    ended: float
    query: int
    answer: Answers | None = None
    failed: str = ""

    @property
    def milliseconds(self) -> float:
        """How long it took; infinity if it failed."""
        return math.inf if self.failed else (self.ended - self.began) * 1e3


class Searches(Beside):
    """Searches for a dataset's queries in turn, with strong consistency, until it is left.

    Args:
        target: Where; it has a connection of its own.
        name: Of the collection.
        dataset: Whose queries are asked.
        index: What is searched through.
    """

    def __init__(self, target: Target, name: str, dataset: Dataset, index: IndexSpec) -> None:
        super().__init__(join_seconds=_JOIN_SECONDS)
        self.done: list[Search] = []
        self._given = target, name, dataset, index

    def within(self, began: float, ended: float) -> list[Search]:
        """Return the searches that began and ended in a time."""
        return [one for one in list(self.done) if began <= one.began and one.ended <= ended]

    def _work(self) -> None:
        target, _, dataset, _ = self._given
        with connect(target) as connection:
            at = 0
            while not self._ended.wait(PAUSE_SECONDS):
                query = at % len(dataset.queries)
                at += 1
                began = time.monotonic()
                try:
                    answer, failed = self._ask(connection, query), ""
                except MilvusKitError as error:
                    answer, failed = None, error.sentence().partition("\n")[0]
                self.done.append(Search(began, time.monotonic(), query, answer, failed))

    def _ask(self, connection: Connection, query: int) -> Answers:
        _, name, dataset, index = self._given
        vectors = dataset.queries.vectors[query : query + 1]
        return searching.search(connection, name, vectors, k=K, params=index.search)


def overlaps(
    searches: Sequence[Search], dataset: Dataset, index: IndexSpec, present: np.ndarray
) -> np.ndarray:
    """Return the share of exact neighbours in each answer, shape (n,).

    Args:
        searches: Those that were answered.
        dataset: Rows and queries.
        index: What was searched through.
        present: Bool, shape (rows,): the rows that were there, all the time.
    """
    answers = [one.answer for one in searches if one.answer is not None]
    if not answers:
        return np.array([])
    together = Answers(
        np.concatenate([one.ids for one in answers]),
        np.concatenate([one.distances for one in answers]),
        np.concatenate([one.found for one in answers]),
    )
    truth = exact_under(dataset, K, present=present)
    asked = np.array([one.query for one in searches if one.answer is not None])
    return check(together, answering.expected(dataset, truth, index), asked).overlap
