"""A collection of the drill and what Milvus has promised of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from validation.datasets.ground_truth import GroundTruth, exact
from validation.datasets.model import Dataset
from validation.drill.answers import K
from validation.milvus.indexes import IndexSpec


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

    def truth(self, dataset: Dataset) -> GroundTruth:
        """Return the exact neighbours among the rows that must be found."""
        found = self.acknowledged | self.present
        return exact(dataset.vectors, dataset.queries.vectors, K, dataset.metric, mask=found)
