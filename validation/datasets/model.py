"""What a dataset is: rows, queries, and the filters that they are asked under."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

Metric = Literal["L2", "IP", "COSINE"]
Op = Literal["eq", "in", "ge", "le", "lt"]
Column = np.ndarray | list[str] | list[str | None]
"""Values of one scalar field. NULL is masked in an array, and None in a list."""


def present(column: Column | list[bytes | None]) -> np.ndarray:
    """Return which values are not NULL, bool, shape (n,)."""
    if isinstance(column, np.ma.MaskedArray):
        return ~np.ma.getmaskarray(column).reshape(len(column), -1)[:, 0]
    if isinstance(column, np.ndarray):
        return np.ones(len(column), dtype=bool)
    return np.fromiter((value is not None for value in column), dtype=bool, count=len(column))


def as_objects(column: Column) -> np.ndarray:
    """Return a column as an array of objects, shape (n,), with None for NULL."""
    values = np.array(column, dtype=object)
    values[~present(column)] = None
    return values


def nullable(column: Column) -> bool:
    """Return whether a column holds NULL anywhere."""
    return not bool(present(column).all())


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
        """Return which rows satisfy it, bool, shape (n,); NULL satisfies none of them."""
        there = present(column)
        values = (
            np.asarray(column)
            if isinstance(column, np.ndarray)
            else np.array([value or "" for value in column], dtype=object)
        )
        if self.op == "in":
            return np.isin(values, list(self.value)) & there
        operations = {"eq": "__eq__", "ge": "__ge__", "le": "__le__", "lt": "__lt__"}
        return np.asarray(getattr(values, operations[self.op])(self.value), dtype=bool) & there


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
        own: The row that is no answer to each, since it is the query itself; None where none is.
    """

    ids: list[str]
    vectors: np.ndarray
    texts: list[str] | None = None
    sorts: list[str] | None = None
    filters: list[Filter | None] | None = None
    own: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def taken(self, queries: list[int]) -> Queries:
        """Return the queries at these positions, in this order."""
        chosen = {
            field.name: [values[at] for at in queries]
            for field in dataclasses.fields(self)
            if isinstance(values := getattr(self, field.name), list)
        }
        return dataclasses.replace(self, **chosen, vectors=self.vectors[queries])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Rows and queries.

    Args:
        name: Letters, digits and underscores; it becomes part of the collection's name.
        ids: Primary keys: int64, shape (n,), or strings.
        vectors: Float32, C-contiguous, shape (n, d).
        scalars: Further columns by name: int64, float64 or bool arrays, or lists of strings,
            with NULL where a row has no value.
        queries: The queries, with vectors of the same dimension.
        metric: How vectors are compared.
        texts: The passages, where there are any.
        qrels: Graded judgements by query id and row id; from 1 on relevant.
        provenance: Where it came from: file or seed and parameters, checksums.
        analyzer: How the server splits texts into words, as its ``analyzer_params``; None for the
            kit's own.
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
    analyzer: Mapping[str, Any] | None = None

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
        lengths = norms(self.vectors)
        return {
            "name": self.name,
            "rows": self.rows,
            "dim": self.dim,
            "metric": self.metric,
            "queries": len(self.queries),
            "norms": [float(lengths.min()), float(lengths.max())],
            "fingerprint": self.fingerprint(),
            **self.provenance,
        }


def key_array(keys: np.ndarray | Sequence[str | None]) -> np.ndarray:
    """Return primary keys as an array of shape (n,): int64, or objects that are strings."""
    return keys if isinstance(keys, np.ndarray) else np.array(keys, dtype=object)


def norms(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean lengths of vectors in float64, shape (n,)."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
