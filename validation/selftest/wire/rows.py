"""Rows of the columns in a message: taken, left out, put in another order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_PACKED = {"binary_vector": 1 / 8, "float16_vector": 2, "bfloat16_vector": 2, "int8_vector": 1}
"""Vectors that lie in one piece, and how many bytes of it are a dimension's."""


def take(fields: Iterable[Any], rows: Sequence[int]) -> None:
    """Keep these rows of each column, in this order.

    Args:
        fields: ``FieldData`` messages, changed in place. A nullable column may hold the values of
            all rows or, as clients send it, only those that are there.
        rows: Positions from 0; one may be there twice.
    """
    for field in fields:
        if field.WhichOneof("field") == "struct_arrays":
            take(field.struct_arrays.fields, rows)
        else:
            _take(field, rows)


def _take(field: Any, rows: Sequence[int]) -> None:
    valid = list(field.valid_data)
    field.valid_data[:] = [valid[row] for row in rows] if valid else []
    holder = getattr(field, field.WhichOneof("field") or "scalars")
    name = holder.WhichOneof("data")
    if name is None:
        return
    cells, width = _cells(holder, name)
    if sum(valid) * width == len(cells) < len(valid) * width:
        place = {
            row: at for at, row in enumerate(row for row, is_there in enumerate(valid) if is_there)
        }
        rows = [place[row] for row in rows if valid[row]]
    kept = [cells[at * width : (at + 1) * width] for at in rows]
    if isinstance(cells, bytes):
        setattr(holder, name, b"".join(kept))
        return
    del cells[:]
    for one in kept:
        cells.extend(one)


def _cells(holder: Any, name: str) -> tuple[Any, int]:
    """Return what holds a column's values one behind the other, and how long each is in it."""
    values = getattr(holder, name)
    if name in _PACKED:
        return values, max(1, int(holder.dim * _PACKED[name]))
    if name == "sparse_float_vector":
        return values.contents, 1
    return values.data, holder.dim if name == "float_vector" else 1
