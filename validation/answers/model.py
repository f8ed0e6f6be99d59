"""What an answer is, and what it is held against."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from validation.answers.precision import Precision
from validation.datasets.ground_truth import GroundTruth
from validation.datasets.model import Dataset, Filter, key_array

Order = Literal["rising", "falling", "either"]
NOBODYS, BEYOND = -1, -2
"""In place of a row's position: a primary key that nobody sent; no hit at all."""


NOTHING = -1
"""In place of a count: the answer had nothing of that kind to be looked at."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was found for each query.

    Args:
        ids: Primary keys, best first, int64 or objects, shape (m, k); -1 or an empty string
            beyond the last hit.
        distances: As Milvus returns them, float64, shape (m, k); NaN beyond the last hit. Smaller
            is nearer for L2 (squared), larger for everything else.
        found: How many hits each query has, int64, shape (m,). More than k were never asked for.
        fields: Output fields by name, objects of shape (m, k), or float32 of shape (m, k, d).
    """

    ids: np.ndarray
    distances: np.ndarray
    found: np.ndarray
    fields: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def k(self) -> int:
        """How many hits were asked for."""
        return int(self.ids.shape[1])

    def of(self, query: int) -> list[Any]:
        """Return the primary keys found for one query, best first."""
        return self.ids[query, : self.found[query]].tolist()

    def taken(self, which: np.ndarray | slice) -> Answers:
        """Return some of the answers, in the order of their positions."""
        return Answers(
            self.ids[which],
            self.distances[which],
            self.found[which],
            {name: values[which] for name, values in self.fields.items()},
        )


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the answers to a dataset's queries are held against.

    Args:
        dataset: Rows and queries.
        truth: The exact neighbours of each of the dataset's queries among the rows that match its
            filter and must be found; None for searches by keyword.
        filters: One for all queries, or one each.
        precision: How scores are computed; None if they are no distances, or only estimated.
        exhaustive: Whether every row is compared, so that no nearer one may be missing.
        allowed: Bool, shape (n,): rows that may be found, since they were sent and not deleted;
            all if left out.
        at_least: Int64, shape (q,): how many rows an answer has at least if k allows; follows from
            the truth if left out.
        order: How scores run from the best hit on; follows from the metric if left out.
    """

    dataset: Dataset
    truth: GroundTruth | None = None
    filters: Filter | Sequence[Filter | None] | None = None
    precision: Precision | None = None
    exhaustive: bool = False
    allowed: np.ndarray | None = None
    at_least: np.ndarray | None = None
    order: Order | None = None

    def __post_init__(self) -> None:
        given = [
            ("truth", None if self.truth is None else len(self.truth.rows)),
            ("filters", len(self.filters) if isinstance(self.filters, Sequence) else None),
            ("at_least", None if self.at_least is None else len(self.at_least)),
        ]
        for name, count in given:
            if count not in (None, len(self.dataset.queries)):
                raise ValueError(f"{name} for {count} of {len(self.dataset.queries)} queries")

    @property
    def least(self) -> np.ndarray | None:
        """How many rows there are to be found at least, int64, shape (q,)."""
        if self.at_least is not None or self.truth is None:
            return self.at_least
        return self.truth.matches

    def filter_of(self, query: int) -> Filter | None:
        """Return the filter of a query."""
        if self.filters is None or isinstance(self.filters, Filter):
            return self.filters
        return self.filters[query]

    def matching(self, query: int) -> np.ndarray | None:
        """Return which rows match a query's filter, bool, shape (n,); None if it has none."""
        condition = self.filter_of(query)
        if condition is None:
            return None
        key = condition.expression()
        if key not in self._masks:
            self._masks[key] = condition.mask(self.dataset.scalars)
        return self._masks[key]

    def positions(self, answers: Answers) -> np.ndarray:
        """Return where in the dataset the hits stand.

        Returns:
            Int64, shape (m, k): `NOBODYS` for a primary key that is not in the dataset, `BEYOND`
            after the last hit.
        """
        known, order = self._sorted
        asked = answers.ids.astype(known.dtype, copy=False)
        place = np.minimum(np.searchsorted(known, asked.ravel(), sorter=order), len(known) - 1)
        rows = order[place].reshape(asked.shape)
        found = np.where(known[rows] == asked, rows, NOBODYS).astype(np.int64)
        found[np.arange(answers.k) >= answers.found[:, None]] = BEYOND
        return found

    @functools.cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        known = key_array(self.dataset.ids)
        return known, np.argsort(known, kind="stable")

    @functools.cached_property
    def _masks(self) -> dict[str, np.ndarray]:
        return {}


@dataclasses.dataclass(frozen=True)
class Findings:
    """What is wrong with answers, by the metric that counts it.

    Args:
        counts: Of each answer, int64, shape (m,), by metric; `NOTHING` where there was nothing to
            look at, such as a filter. What none of the answers could show has no entry.
        examples: The first few of each kind: query, primary key, what was expected and seen.
        overlap: The share of the exact neighbours in each answer, float64, shape (m,); NaN where
            there is nothing to find, or nothing to hold it against.
    """

    counts: dict[str, np.ndarray]
    examples: dict[str, list[dict[str, Any]]]
    overlap: np.ndarray

    def nothing(self) -> np.ndarray:
        """Return counts of a kind that none of these answers could show."""
        return np.full(len(self.overlap), NOTHING)

    @property
    def wrong(self) -> np.ndarray:
        """Which answers have anything wrong with them, bool, shape (m,)."""
        return np.logical_or.reduce([count > 0 for count in self.counts.values()])
