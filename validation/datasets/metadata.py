"""Metadata of a corpus: typed columns, and the filters of queries that are checked against them.

Milvus gives a scalar field one type and refuses to compare it with another. Both are found here,
line by line, before anything is loaded.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from validation.datasets.complaints import Complaints
from validation.datasets.lines import Row
from validation.datasets.model import Column, Condition, Dataset, Filter, Op, nullable

_LOWEST = -(2**63)
"""Milvus reads the sign apart from the digits, and these alone are more than 64 bits hold."""
_EXACT = 2**53
"""Up to here every integer is a float64 as well."""
_TYPES = {int: np.int64, float: np.float64, bool: np.bool_}


def columns(path: Path, rows: list[Row], complaints: Complaints) -> dict[str, Column]:
    """Return the metadata as columns; every value of a key has the same type.

    A key that is missing in a line, or null there, makes a column with NULL in that row: a masked
    array, or None in a list. A key that is null everywhere makes none.

    Args:
        path: Of the corpus file.
        rows: Its objects.
        complaints: Are told of values that no column can hold.
    """
    found: dict[str, dict[int, Any]] = {}
    likest: dict[str, Any] = {}
    for at, (number, row) in enumerate(rows):
        metadata = row.get("metadata")
        if not isinstance(metadata, dict | None):
            complaints.add(
                path,
                number,
                "metadata must be an object",
                seen=metadata,
                remedy='write it as {"site": "hq", "level": 1}, or leave it out',
            )
            continue
        for key, value in (metadata or {}).items():
            if value is None:
                continue
            plain, wrong = _scalar(value)
            values = found.setdefault(key, {})
            if wrong:
                complaints.add(
                    path, number, wrong, seen=value, key=f"metadata.{key}", remedy=_REMEDY
                )
                continue
            before = likest.setdefault(key, plain)
            if not _alike(plain, before):
                complaints.add(
                    path,
                    number,
                    f"the type differs from the lines before, {type(before).__name__}",
                    seen=value,
                    key=f"metadata.{key}",
                    remedy="give the column one type",
                )
                continue
            values[at] = plain
            likest[key] = _harder(plain, before)
    return {key: _column(values, len(rows)) for key, values in found.items() if values}


_REMEDY = "change the value, or leave the key out of the line"


def _scalar(value: Any) -> tuple[str | bool | int | float, str]:
    """Return a value as a column can hold it, and why none can, if so."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(value), ""
    if isinstance(value, int) and not _holdable(value):
        return 0, "the integer needs more than 64 bits"
    if isinstance(value, (str, bool, int, float)) and _holdable(value):
        return value, ""
    return (
        0,
        "a metadata value must be a string, a finite number, a boolean, a list of strings or null",
    )


def _alike(value: Any, other: Any) -> bool:
    """Return whether both go into one column: JSON tells 1 from 1.0, a column need not."""
    if type(value) is type(other):
        return True
    if {type(value), type(other)} != {int, float}:
        return False
    return all(isinstance(one, float) or abs(one) <= _EXACT for one in (value, other))


def _harder(value: Any, other: Any) -> Any:
    """Return the one of two alike that is harder to be alike: a float, or the larger integer."""
    if isinstance(value, int) and isinstance(other, int):
        return max(value, other, key=abs)
    return value if isinstance(value, float) else other


def _column(values: dict[int, Any], rows: int) -> Column:
    """Return a column of so many rows with values at these positions and NULL elsewhere."""
    kinds = {type(value) for value in values.values()}
    if kinds == {str}:
        texts = [values.get(at) for at in range(rows)]
        return cast("list[str] | list[str | None]", texts)
    kind = _TYPES[float if float in kinds else kinds.pop()]
    column = np.zeros(rows, dtype=kind)
    column[list(values)] = list(values.values())
    if len(values) == rows:
        return column
    missing = np.ones(rows, dtype=bool)
    missing[list(values)] = False
    return np.ma.MaskedArray(column, mask=missing)


def _holdable(value: str | float) -> bool:
    """Return whether a scalar column can hold a value of its type."""
    if isinstance(value, int):
        return _LOWEST <= value < 2**63
    return not isinstance(value, float) or math.isfinite(value)


def filter_of(
    row: Row, scalars: dict[str, Column], path: Path, complaints: Complaints
) -> Filter | None:
    """Return a query's filter, such as ``{"date": {"ge": "2025-01-01"}}``, checked.

    Args:
        row: The query.
        scalars: The columns.
        path: The file of the queries.
        complaints: Are told if it is no filter, or not one of these columns.
    """
    number, query = row
    given = query.get("filter")
    if given is None:
        return None
    if not isinstance(given, dict) or not all(
        isinstance(wanted, dict) and wanted for wanted in (given or {"": None}).values()
    ):
        complaints.add(
            path,
            number,
            "the filter is not an object of conditions",
            seen=given,
            remedy='write it as {"department": {"eq": "storage"}}, or leave it out',
        )
        return None
    unknown = [field for field in given if field not in scalars]
    if unknown:
        complaints.add(
            path,
            number,
            "the filter names a column that the corpus does not have",
            seen=unknown[0],
            remedy=f"use one of {', '.join(sorted(scalars)) or 'none: there is no metadata'}",
        )
        return None
    conditions = []
    for field, wanted in given.items():
        for op, value in wanted.items():
            wrong, remedy = _wrong(field, op, value, scalars[field])
            if wrong:
                complaints.add(path, number, wrong, seen=value, remedy=remedy)
            else:
                values = value if op == "in" else [value]
                fitted = [_fitted(one, scalars[field]) for one in values]
                conditions.append(
                    Condition(field, cast("Op", op), fitted if op == "in" else fitted[0])
                )
    return Filter(tuple(conditions)) if conditions else None


def _wrong(field: str, op: str, value: Any, column: Column) -> tuple[str, str]:
    """Return what is wrong with a condition and what to do; empty if nothing is."""
    if op not in get_args(Op):
        return (
            f"{field} is compared by an unknown operation, {op}",
            f"use one of {', '.join(get_args(Op))}",
        )
    values = (value if isinstance(value, list) else []) if op == "in" else [value]
    kind = _kind(column)
    if not values or any(type(_fitted(one, column)) is not kind for one in values):
        return (
            f"{field} {op} needs {'a list of ' if op == 'in' else 'a '}{kind.__name__}",
            "give a value of the column's type",
        )
    if not all(_holdable(one) and (isinstance(one, float) or one != _LOWEST) for one in values):
        return (
            f"{field} is compared with what Milvus has no word for (finite, above -2**63)",
            "correct the value",
        )
    return "", ""


def _kind(column: Column) -> type:
    if isinstance(column, list):
        return str
    return {"i": int, "f": float, "b": bool}[column.dtype.kind]


def _fitted(value: Any, column: Column) -> Any:
    """Return a whole number as the float that a column of floats is compared with."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and _kind(column) is float and abs(value) <= _EXACT else value


def without_null(dataset: Dataset) -> Dataset:
    """Return a dataset for a server that knows no NULL.

    Columns with NULL are left out, and with them the queries that filter by one. What is left out
    stands in the provenance.
    """
    gone = {name for name, column in dataset.scalars.items() if nullable(column)}
    if not gone:
        return dataset
    filters = dataset.queries.filters or [None] * len(dataset.queries)
    kept = [
        at
        for at, wanted in enumerate(filters)
        if wanted is None or gone.isdisjoint(one.field for one in wanted.conditions)
    ]
    queries = dataset.queries.taken(kept)
    judged = (
        {query: dataset.qrels[query] for query in queries.ids if query in dataset.qrels}
        if (dataset.qrels)
        else dataset.qrels
    )
    return dataclasses.replace(
        dataset,
        scalars={name: column for name, column in dataset.scalars.items() if name not in gone},
        queries=queries,
        qrels=judged,
        provenance={
            **dataset.provenance,
            "left_out": "this server knows no NULL, so the columns "
            + ", ".join(sorted(gone))
            + f" are not stored, and {len(dataset.queries) - len(kept)} queries that filter by them"
            " are not asked",
        },
    )
