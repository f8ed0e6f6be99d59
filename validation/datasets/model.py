"""What a dataset is, and the one place where it is checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from validation.errors import DatasetError

Metric = Literal["L2", "IP", "COSINE"]
Op = Literal["eq", "in", "ge", "le", "lt"]
Column = np.ndarray | list[str]

RESERVED = ("id", "vector", "text", "sparse")
"""Fields that the kit's collections have themselves."""

MAX_ID_BYTES = 64
MAX_TEXT_BYTES = 8_192
"""Milvus counts a VARCHAR's length in bytes of UTF-8, not in characters."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """One comparison of a scalar column with a value."""

    field: str
    op: Op
    value: Any

    def expression(self) -> str:
        """Return it in Milvus's boolean expression language."""
        sign = {"eq": "==", "in": "in", "ge": ">=", "le": "<=", "lt": "<"}[self.op]
        return f"{self.field} {sign} {literal(self.value)}"

    def mask(self, column: Column) -> np.ndarray:
        """Return which rows satisfy it, bool, shape (n,)."""
        values = np.asarray(column)
        if self.op == "in":
            return np.isin(values, list(self.value))
        operations = {"eq": "__eq__", "ge": "__ge__", "le": "__le__", "lt": "__lt__"}
        return np.asarray(getattr(values, operations[self.op])(self.value), dtype=bool)


_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})
"""What ends a string in Milvus's boolean expression language, or may not stand in one."""


def literal(value: Any) -> str:
    """Return a value, or a list of them, in Milvus's boolean expression language."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(part) for part in value) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


@dataclasses.dataclass(frozen=True)
class Filter:
    """Conditions that all have to hold."""

    conditions: tuple[Condition, ...]

    def expression(self) -> str:
        """Return it in Milvus's boolean expression language."""
        return " and ".join(condition.expression() for condition in self.conditions)

    def mask(self, scalars: Mapping[str, Column]) -> np.ndarray:
        """Return which rows satisfy it, bool, shape (n,)."""
        masks = [condition.mask(scalars[condition.field]) for condition in self.conditions]
        return np.logical_and.reduce(masks)


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries: vectors always, the rest where there is one.

    Args:
        ids: One each, as the judgements name them.
        vectors: Float32, shape (q, d).
        texts: What was asked, one each.
        sorts: Of what sort each is, to be told apart in the report.
        filters: One each, None where nothing is filtered.
    """

    ids: list[str]
    vectors: np.ndarray
    texts: list[str] | None = None
    sorts: list[str] | None = None
    filters: list[Filter | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Rows and queries.

    Args:
        name: Letters, digits and underscores; it becomes part of the collection's name.
        ids: Primary keys: int64, shape (n,), or strings.
        vectors: Float32, C-contiguous, shape (n, d).
        scalars: Further columns by name: int64, float64 or bool arrays, or lists of strings.
        queries: The queries, with vectors of the same dimension.
        metric: How vectors are compared.
        texts: The passages, where there are any.
        qrels: Graded judgements by query id and row id; grades 0 to 2.
        provenance: Where it came from: file or seed and parameters, checksums.
    """

    name: str
    ids: np.ndarray | list[str]
    vectors: np.ndarray
    scalars: dict[str, Column]
    queries: Queries
    metric: Metric = "L2"
    texts: list[str] | None = None
    qrels: dict[str, dict[str, int]] | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.vectors.shape[1])

    def fingerprint(self) -> str:
        """Return a short hash of rows and queries, for names and reports."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.vectors).data, digest_size=8)
        digest.update(np.ascontiguousarray(self.queries.vectors).data)
        digest.update("\n".join(map(str, self.ids)).encode())
        return digest.hexdigest()

    def taken(self, rows: np.ndarray) -> Dataset:
        """Return the rows at these positions, in this order, with the same queries.

        Args:
            rows: Positions from 0; one may be there twice.
        """
        return dataclasses.replace(
            self,
            ids=np.asarray(self.ids)[rows],
            vectors=np.ascontiguousarray(self.vectors[rows]),
            scalars={
                name: column[rows]
                if isinstance(column, np.ndarray)
                else [column[row] for row in rows]
                for name, column in self.scalars.items()
            },
            texts=[self.texts[row] for row in rows] if self.texts is not None else None,
        )

    def describe(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {
            "name": self.name,
            "rows": self.rows,
            "dim": self.dim,
            "metric": self.metric,
            "queries": len(self.queries),
            "fingerprint": self.fingerprint(),
            **self.provenance,
        }


def checked(dataset: Dataset, *, where: str) -> Dataset:
    """Return the dataset if it can be loaded and measured with.

    Args:
        dataset: What a loader read or made.
        where: The file or folder it came from, for errors.

    Raises:
        DatasetError: With the file, the row and the value seen.
    """
    if dataset.rows == 0:
        raise DatasetError("there are no rows", where=where, remedy="give a corpus with rows")
    if len(dataset.queries) == 0:
        raise DatasetError(
            "the query set is empty", where=where, remedy="a run without queries measures nothing"
        )
    check_vectors(dataset.vectors, dataset.rows, f"{where}: vectors")
    check_vectors(dataset.queries.vectors, len(dataset.queries), f"{where}: query vectors")
    if dataset.queries.vectors.shape[1] != dataset.dim:
        raise DatasetError(
            f"queries have another dimension than the rows, which have {dataset.dim}",
            where=f"{where}: query vectors",
            seen=dataset.queries.vectors.shape[1],
            remedy="embed both with the same model",
        )
    if dataset.metric == "COSINE":
        _check_lengths(dataset.vectors, f"{where}: vectors")
        _check_lengths(dataset.queries.vectors, f"{where}: query vectors")
    _check_ids(dataset.ids, f"{where}: ids")
    _check_ids(dataset.queries.ids, f"{where}: query ids")
    for name, column in dataset.scalars.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in RESERVED:
            raise DatasetError(
                "a column cannot be stored under this name",
                where=f"{where}: columns",
                seen=name,
                remedy=f"use letters, digits and underscores, and none of {', '.join(RESERVED)}",
            )
        if len(column) != dataset.rows:
            raise DatasetError(
                f"column {name} has {len(column)} values for {dataset.rows} rows",
                where=where,
                remedy="give every row one value of each column",
            )
    _check_texts(dataset, where)
    _check_qrels(dataset, where)
    return dataset


def _check_lengths(vectors: np.ndarray, where: str) -> None:
    """Refuse vectors of length zero: they have no direction, and so no cosine."""
    empty = np.flatnonzero(~vectors.any(axis=1))
    if empty.size:
        raise DatasetError(
            f"{empty.size} vectors are all zeros, so they have no cosine",
            where=f"{where}, row {int(empty[0])}",
            remedy="embed these rows again, or leave them out together with their ids",
        )


def check_vectors(vectors: np.ndarray, rows: int, where: str) -> None:
    """Make sure that there is one float32 vector a row, of finite numbers.

    Raises:
        DatasetError: With the row and the value seen.
    """
    if vectors.ndim != 2 or vectors.shape[0] != rows:  # noqa: PLR2004
        raise DatasetError(
            f"expected {rows} vectors, one a row",
            where=where,
            seen=vectors.shape,
            remedy="the order and number of vectors must be those of the ids",
        )
    if vectors.dtype != np.float32:
        raise DatasetError(
            "vectors must be float32",
            where=where,
            seen=str(vectors.dtype),
            remedy="convert them with astype('float32')",
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        bad = vectors[row][~np.isfinite(vectors[row])][0]
        raise DatasetError(
            f"{int((~finite).sum())} vectors hold a value that is not a finite number",
            where=f"{where}, row {row}",
            seen=float(bad),
            remedy="embed these rows again, or leave them out together with their ids",
        )


def _check_ids(ids: np.ndarray | Sequence[str], where: str) -> None:
    if isinstance(ids, np.ndarray):
        unique, counts = np.unique(ids, return_counts=True)
        doubled = unique[counts > 1]
        if doubled.size:
            raise DatasetError(
                "an id is there twice",
                where=where,
                seen=int(doubled[0]),
                remedy="give every row an id of its own",
            )
        return
    seen: dict[str, int] = {}
    for row, identity in enumerate(ids):
        if not isinstance(identity, str) or not identity:
            raise DatasetError(
                "an id is missing",
                where=f"{where}, row {row + 1}",
                seen=identity,
                remedy="give every row an id of its own",
            )
        if len(identity.encode()) > MAX_ID_BYTES:
            raise DatasetError(
                f"an id is longer than {MAX_ID_BYTES} bytes",
                where=f"{where}, row {row + 1}",
                seen=identity,
                remedy="shorten it",
            )
        if identity in seen:
            raise DatasetError(
                f"an id is there twice, first in row {seen[identity] + 1}",
                where=f"{where}, row {row + 1}",
                seen=identity,
                remedy="give every row an id of its own",
            )
        seen[identity] = row


def _check_texts(dataset: Dataset, where: str) -> None:
    for row, text in enumerate(dataset.texts or ()):
        size = len(text.encode())
        if size > MAX_TEXT_BYTES:
            raise DatasetError(
                f"a passage is longer than {MAX_TEXT_BYTES} bytes of UTF-8",
                where=f"{where}: text of {dataset.ids[row]}",
                seen=size,
                remedy="split it into passages",
            )


def _check_qrels(dataset: Dataset, where: str) -> None:
    if dataset.qrels is None:
        return
    queries, rows = set(dataset.queries.ids), {str(identity) for identity in dataset.ids}
    for query, judged in dataset.qrels.items():
        if query not in queries:
            raise DatasetError(
                "judgements for a query that is not there",
                where=f"{where}: qrels",
                seen=query,
                remedy="remove the judgements or add the query",
            )
        for row in judged:
            if row not in rows:
                raise DatasetError(
                    f"query {query} is judged on a passage that is not in the corpus",
                    where=f"{where}: qrels",
                    seen=row,
                    remedy="remove the judgement or add the passage",
                )
