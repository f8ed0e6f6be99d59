"""Columns to and from Milvus's protobuf messages, without a Python object a value.

A packed repeated field is a tag, a length and then the values as they lie in memory (for floats,
doubles and bools), so a numpy array can be handed over in one piece: see "packed repeated fields"
in the protobuf encoding guide. Integers are varints there and strings have lengths of their own;
those go through protobuf's own conversion.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from validation.datasets.model import Column, present
from validation.errors import MeasurementError

_VARINT = 10
_STRING_HEAD = 6
_PACKED_FIELD_1 = b"\x0a"  # field number 1, wire type 2 (length-delimited)


def to_message(name: str, values: Column, *, null: bool = False) -> Any:
    """Return a column as a ``FieldData`` message.

    Args:
        name: Of the field.
        values: Float32 of shape (n, d) for vectors, int64, float64 or bool of shape (n,), or
            strings.
        null: Whether the field is nullable; the values may hold NULL then, and need not.
    """
    from pymilvus.grpc_gen import schema_pb2  # noqa: PLC0415  (slow to import)

    field = schema_pb2.FieldData(field_name=name)
    if null:
        # One flag a row, and the values of the rows that have one.
        there = present(values)
        field.valid_data.extend(there.tolist())
        values = (
            np.asarray(values)[there]
            if isinstance(values, np.ndarray)
            else [value for value in values if value is not None]
        )
    if not isinstance(values, np.ndarray):
        field.type = schema_pb2.VarChar
        field.scalars.string_data.data.extend(cast("list[str]", values))
    elif values.ndim == 2:  # noqa: PLR2004
        field.type = schema_pb2.FloatVector
        field.vectors.dim = values.shape[1]
        field.vectors.float_vector.MergeFromString(packed(values, "<f4"))
    elif values.dtype.kind == "b":
        field.type = schema_pb2.Bool
        field.scalars.bool_data.MergeFromString(packed(values, "?"))
    elif values.dtype.kind == "f":
        field.type = schema_pb2.Double
        field.scalars.double_data.MergeFromString(packed(values, "<f8"))
    else:
        field.type = schema_pb2.Int64
        field.scalars.long_data.data.extend(values.tolist())
    return field


def from_message(field: Any) -> Column:
    """Return a ``FieldData`` message that a server sent, as the column that `to_message` takes.

    Raises:
        MeasurementError: It holds a type that the kit does not store.
    """
    values = values_of(field)
    if all(field.valid_data):
        return values
    # Other than in what is sent, there is a value in every row here, also where it does not count.
    there = np.array(field.valid_data, dtype=bool)
    if isinstance(values, np.ndarray):
        return np.ma.MaskedArray(np.where(there, values, np.zeros(1, values.dtype)), mask=~there)
    return [value if known else None for value, known in zip(values, there, strict=True)]


def values_of(field: Any) -> Column:
    """Return the values of a ``FieldData`` message, whether or not they count.

    Raises:
        MeasurementError: It holds a type that the kit does not store.
    """
    which = field.WhichOneof("field")
    if which == "vectors" and field.vectors.WhichOneof("data") == "float_vector":
        values = _unpacked(field.vectors.float_vector.SerializeToString(), "<f4")
        return values.reshape(-1, field.vectors.dim)
    kind = field.scalars.WhichOneof("data") if which == "scalars" else which
    if kind == "string_data":
        return list(field.scalars.string_data.data)
    if kind == "long_data":
        return np.array(field.scalars.long_data.data, dtype=np.int64)
    if kind == "double_data":
        return _unpacked(field.scalars.double_data.SerializeToString(), "<f8")
    if kind == "bool_data":
        return _unpacked(field.scalars.bool_data.SerializeToString(), "?")
    raise MeasurementError(
        "the server sent a column of a type that was not stored",
        where=f"field {field.field_name}",
        seen=kind,
    )


def ids_of(message: Any) -> np.ndarray | list[str]:
    """Return the primary keys in an ``IDs`` message: int64, shape (n,), or strings."""
    if message.WhichOneof("id_field") == "str_id":
        return list(message.str_id.data)
    return np.array(message.int_id.data, dtype=np.int64)


def rows_of(values: Column, rows: slice | np.ndarray) -> Column:
    """Return some rows of a column.

    Args:
        values: Of shape (n,) or (n, d), or strings.
        rows: A range of rows, or their numbers, integers of shape (m,).

    Returns:
        Of the same kind: shape (m,) or (m, d), or strings.
    """
    if isinstance(values, np.ndarray):
        return values[rows]
    return values[rows] if isinstance(rows, slice) else [values[row] for row in rows]


def bytes_of(values: Column) -> np.ndarray:
    """Return how many bytes each value takes in a message, int64, shape (n,), at most.

    An integer is a varint of up to ten bytes; a string has a tag and a length before it.
    """
    if not isinstance(values, np.ndarray):
        return np.array([len((value or "").encode()) + _STRING_HEAD for value in values])
    if values.dtype.kind == "i":
        return np.full(len(values), _VARINT)
    return np.full(len(values), values.itemsize * (values.shape[1] if values.ndim > 1 else 1) + 1)


def packed(values: np.ndarray, kind: str) -> bytes:
    """Return numbers as the message of a packed repeated field 1.

    Args:
        values: Of any shape; they are sent in C order.
        kind: As numpy names the type of its elements, such as ``<f4``.
    """
    content = np.ascontiguousarray(values, dtype=kind).tobytes()
    return _PACKED_FIELD_1 + _varint(len(content)) + content


def _unpacked(message: bytes, kind: str) -> np.ndarray:
    if not message:
        return np.empty(0, dtype=kind)
    start = 1
    while message[start] & 0x80:
        start += 1
    return np.frombuffer(message, dtype=kind, offset=start + 1)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004  (seven bits a byte, the eighth says that more follow)
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
