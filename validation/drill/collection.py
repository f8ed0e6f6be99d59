"""A collection of the drill and what Milvus has promised of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from validation.answers.model import Expected
from validation.answers.precision import precision_of
from validation.datasets.ground_truth import exact
from validation.datasets.model import Dataset
from validation.milvus.indexes import IndexSpec

K = 10
FIELDS = ("bucket", "category", "active")
"""Output fields that every search asks for, so that they can be compared, too."""


@dataclasses.dataclass
class Collection:
    """One collection and what Milvus has promised of it.

    Args:
        name: In Milvus.
        index: Of its vectors, an exact one.
        acknowledged: Of each row of the dataset, whether it was acknowledged: bool, shape (n,).
        sent: How many rows of the dataset may be in it.
        present: Of each row, whether it must be found: the acknowledged ones, and those that are
            there though their acknowledgement was lost.
    """

    name: str
    index: IndexSpec
    acknowledged: np.ndarray
    sent: int
    present: np.ndarray

    @classmethod
    def of_first(cls, name: str, index: IndexSpec, rows: int, dataset: Dataset) -> Collection:
        """Return a collection of the dataset's first rows, all of them acknowledged."""
        acknowledged = np.arange(dataset.rows) < rows
        return cls(name, index, acknowledged, rows, acknowledged.copy())

    def expected(self, dataset: Dataset) -> Expected:
        """Return what answers are held against: rows that must be found, and rows that may be."""
        found = self.acknowledged | self.present
        vectors, metric = dataset.vectors, dataset.metric
        return Expected(
            dataset,
            exact(vectors, dataset.queries.vectors, K, metric, mask=found),
            precision=precision_of(self.index.kind, self.index.build, vectors, metric),
            exhaustive=True,
            allowed=np.arange(dataset.rows) < self.sent,
        )
