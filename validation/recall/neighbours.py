"""The exact neighbours of some queries among all rows of a collection, in bounded memory."""

from __future__ import annotations

import dataclasses

import numpy as np

from validation.datasets import checking
from validation.datasets.model import key_array
from validation.datasets.nearest import Nearest
from validation.errors import UnsupportedError
from validation.milvus.reading import Table
from validation.milvus.waiting import Report
from validation.recall import rows
from validation.recall.asking import Asked
from validation.recall.subject import Subject


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The exact neighbours of each query, itself left out.

    Args:
        keys: Primary keys, nearest first, objects, shape (q, k); None beyond the last.
        distances: Smaller is nearer for every metric, float64, shape (q, k).
        matches: How many rows there were to choose from, int64, shape (q,).
        read: How many rows came.
    """

    keys: np.ndarray
    distances: np.ndarray
    matches: np.ndarray
    read: int


def neighbours(
    table: Table,
    subject: Subject,
    asked: Asked,
    known: rows.Keys,
    *,
    k: int,
    report: Report | None = None,
) -> Neighbours:
    """Read all rows of a table once and return the k nearest of each query.

    Args:
        table: The primary key and the vectors.
        subject: The collection.
        asked: The queries.
        known: What is known of the keys.
        k: Number of neighbours.
        report: Is told how far it is.

    Raises:
        UnsupportedError: There are vectors from which float32 computes no distance.
    """
    nearest = Nearest(asked.vectors, k + 1, subject.metric)
    for page in rows.pages(table, known.cuts):
        vectors = np.asarray(page[subject.vector])
        longest = float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)).max())
        if not longest <= checking.MOST_NORM:
            raise UnsupportedError(
                "there are vectors with a length whose square float32 cannot hold, so that the"
                " server cannot compute distances from them",
                where=subject.where,
                remedy="scale all vectors to lengths near 1",
            )
        nearest.add(vectors, key_array(page[table.key]))
        if report:
            report(f"{nearest.count:,} of {known.count:,} rows compared")
    own = np.array(asked.own, dtype=object)[:, None]
    others = (nearest.rows >= 0) & (nearest.keys != own)
    order = np.argsort(~others, axis=1, kind="stable")[:, :k]
    count = others.sum(axis=1)
    beyond = np.arange(k) >= count[:, None]
    keys = np.take_along_axis(nearest.keys, order, axis=1)
    distances = np.take_along_axis(nearest.distances, order, axis=1)
    keys[beyond], distances[beyond] = None, np.inf
    # A query that is a row, and was read, is one row less to choose from.
    matches = np.array([nearest.count - (key is not None) for key in asked.own], dtype=np.int64)
    return Neighbours(keys, distances, matches, nearest.count)
