"""Metadata of a corpus: typed columns, and the filters of queries that are checked against them.

Milvus gives a scalar field one type and refuses to compare it with another. Both are found here,
line by line, before anything is loaded.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from validation.datasets.model import Column, Condition, Filter, Op
from validation.errors import DatasetError

_LOWEST = -(2**63)
"""Milvus reads the sign apart from the digits, and these alone are more than 64 bits hold."""


def columns(path: Path, rows: list[tuple[int, dict[str, Any]]]) -> dict[str, Column]:
    """Return the metadata as columns; every row has the same keys with values of the same type.

    Args:
        path: Of the corpus file, for errors.
        rows: Line numbers with the objects there.

    Raises:
        DatasetError: A row has other keys or types than those before, or a value of no type.
    """
    found: dict[str, list[Any]] = {}
    for index, (number, row) in enumerate(rows):
        metadata = row.get("metadata", {})
        where = f"{path}, line {number}"
        if not isinstance(metadata, dict) or (index and set(metadata) != set(found)):
            raise DatasetError(
                "metadata must be an object with the same keys in every line",
                where=where,
                seen=sorted(metadata) if isinstance(metadata, dict) else metadata,
                remedy=f"give {', '.join(sorted(found)) or 'an object'}",
            )
        for key, value in metadata.items():
            plain = _scalar(value, f"{where}, metadata.{key}")
            column = found.setdefault(key, [])
            if column and type(plain) is not type(column[0]):
                raise DatasetError(
                    f"the type differs from the lines before, {type(column[0]).__name__}",
                    where=f"{where}, metadata.{key}",
                    seen=value,
                    remedy="give the column one type",
                )
            column.append(plain)
    types = {int: np.int64, float: np.float64, bool: np.bool_}
    return {
        key: column if isinstance(column[0], str) else np.array(column, types[type(column[0])])
        for key, column in found.items()
    }


def _scalar(value: Any, where: str) -> str | bool | int | float:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(value)
    if isinstance(value, int) and not _holdable(value):
        raise DatasetError(
            "the integer needs more than 64 bits", where=where, seen=value, remedy="use a string"
        )
    if isinstance(value, (str, bool, int, float)) and _holdable(value):
        return value
    raise DatasetError(
        "a metadata value must be a string, a finite number, a boolean or a list of strings",
        where=where,
        seen="null" if value is None else value,
        remedy="change the value, or leave the key out of every line",
    )


def _holdable(value: str | float) -> bool:
    """Return whether a scalar column can hold a value of its type."""
    if isinstance(value, int):
        return _LOWEST <= value < 2**63
    return not isinstance(value, float) or math.isfinite(value)


def filter_of(given: Any, scalars: dict[str, Column], *, where: str) -> Filter | None:
    """Return a filter such as ``{"date": {"ge": "2025-01-01"}}``, checked against the columns.

    Args:
        given: What a query says; None if it has no filter.
        scalars: The columns.
        where: The file and line of the query, for errors.

    Raises:
        DatasetError: It is no filter, or not one of these columns.
    """
    if given is None:
        return None
    if not isinstance(given, dict) or not all(
        isinstance(wanted, dict) and wanted for wanted in (given or {"": None}).values()
    ):
        raise DatasetError(
            "the filter is not an object of conditions",
            where=where,
            seen=given,
            remedy='write it as {"department": {"eq": "storage"}}, or leave it out',
        )
    for field in given:
        if field not in scalars:
            raise DatasetError(
                "the filter names a column that the corpus does not have",
                where=where,
                seen=field,
                remedy=f"use one of {', '.join(sorted(scalars)) or 'none: there is no metadata'}",
            )
    return Filter(
        tuple(
            _condition(where, field, op, value, scalars[field])
            for field, wanted in given.items()
            for op, value in wanted.items()
        )
    )


def _condition(where: str, field: str, op: str, value: Any, column: Column) -> Condition:
    if op not in get_args(Op):
        raise DatasetError(
            f"{field} is compared by an unknown operation",
            where=where,
            seen=op,
            remedy=f"use one of {', '.join(get_args(Op))}",
        )
    values = (value if isinstance(value, list) else []) if op == "in" else [value]
    sample = column[0] if isinstance(column, list) else column[0].item()
    if not values or any(type(one) is not type(sample) for one in values):
        raise DatasetError(
            f"{field} {op} needs {'a list of ' if op == 'in' else 'a '}{type(sample).__name__}",
            where=where,
            seen=value,
            remedy="give a value of the column's type",
        )
    if not all(_holdable(one) and (isinstance(one, float) or one != _LOWEST) for one in values):
        raise DatasetError(
            f"{field} is compared with what Milvus has no word for: give integers above -2**63 and"
            " below 2**63, and floats that are finite",
            where=where,
            seen=value,
            remedy="correct the value",
        )
    return Condition(field, cast("Op", op), values if op == "in" else value)
