"""Every type of column that Milvus sends, in one spelling: equal values give equal bytes.

Numbers and dense vectors are their little-endian bits. JSON is written with sorted keys and without
spaces, arrays as protobuf writes their values, sparse vectors by ascending index.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from validation.datasets.model import Column, present
from validation.errors import MeasurementError
from validation.milvus.columns import values_of
from validation.milvus.manifest import as_bytes

Canonical = Column | list[bytes | None]
_AS_STORED = frozenset({"string_data", "long_data", "double_data", "bool_data"})
_NUMBERS = {"int_data": np.int64, "float_data": np.float32, "timestamptz_data": np.int64}
_BITS = {"binary_vector": 1, "int8_vector": 8, "float16_vector": 16, "bfloat16_vector": 16}
_PAIR = np.dtype([("index", "<u4"), ("value", "<f4")])
_NULL = np.uint32(0xFFFFFFFF)


def column_of(field: Any) -> Canonical:
    """Return a ``FieldData`` message as one value a row: numbers, strings, bytes, or NULL.

    Raises:
        MeasurementError: It is of a type that this kit does not know, so nothing could be proven.
    """
    which = field.WhichOneof("field")
    if which == "vectors":
        return _with_null(field, _vectors(field))
    kind = field.scalars.WhichOneof("data") if which == "scalars" else which
    if kind in _AS_STORED:
        return _with_null(field, values_of(field))
    if kind in _NUMBERS:
        data = getattr(field.scalars, kind).data
        return _with_null(field, np.array(data, dtype=_NUMBERS[kind]))
    if kind in _BYTES:
        data = getattr(field.scalars, kind).data
        return _with_null(field, [_BYTES[kind](one) for one in data])
    raise _unknown(field, kind)


def fingerprints(columns: Mapping[str, Any]) -> np.ndarray:
    """Return a checksum of each value: they name the fields of a row that is known to differ.

    Args:
        columns: By field name.

    Returns:
        Uint32, shape (n, f), the fields in order of their names.
    """
    made = []
    for name in sorted(columns):
        column = columns[name]
        sums = np.fromiter(map(zlib.crc32, _values(column)), dtype=np.uint32, count=len(column))
        made.append(np.where(present(column), sums, _NULL))
    return np.column_stack(made)


def _values(column: Any) -> Iterator[bytes | memoryview]:
    if not isinstance(column, np.ndarray):
        yield from as_bytes(column)
        return
    table = memoryview(np.ascontiguousarray(np.ma.filled(column, 0)).tobytes())
    width = len(table) // max(1, len(column))
    for row in range(len(column)):
        yield table[row * width : (row + 1) * width]


def _vectors(field: Any) -> Canonical:
    kind = field.vectors.WhichOneof("data")
    if kind == "float_vector":
        return values_of(field)
    if kind == "sparse_float_vector":
        return [_sparse(one) for one in field.vectors.sparse_float_vector.contents]
    if kind not in _BITS:
        raise _unknown(field, kind)
    width = field.vectors.dim * _BITS[kind] // 8
    return np.frombuffer(getattr(field.vectors, kind), dtype="u1").reshape(-1, width)


def _with_null(field: Any, values: Any) -> Canonical:
    """Mark NULL; what does not count is nothing or 0, so that a row does not depend on its page."""
    there = np.array(field.valid_data, dtype=bool)
    if not there.size:
        return values
    every = len(values) == len(there)
    if not isinstance(values, np.ndarray):
        counting = iter(values if not every else np.array(values, dtype=object)[there])
        return [next(counting) if known else None for known in there]
    full = np.zeros((len(there), *values.shape[1:]), values.dtype)
    full[there] = values[there] if every else values
    mask = np.broadcast_to(~there.reshape(-1, *[1] * (full.ndim - 1)), full.shape)
    return np.ma.MaskedArray(full, mask=mask)


def _json(text: bytes) -> bytes:
    if not text:
        return b""
    try:
        value = json.loads(text)
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # as it is, then
        return bytes(text)


def _array(message: Any) -> bytes:
    kind = message.WhichOneof("data")
    # An array without elements comes with and without the name of its type.
    if kind is None or not getattr(message, kind).data:
        return b""
    return message.SerializeToString(deterministic=True)


def _sparse(content: bytes) -> bytes:
    pairs = np.frombuffer(content, dtype=_PAIR)
    return np.sort(pairs, order="index").tobytes()


def _unknown(field: Any, kind: Any) -> MeasurementError:
    return MeasurementError(
        "the server sent a column of a type that this version does not read",
        where=f"field {field.field_name}",
        seen=kind,
        remedy="update milvus-kit; no manifest can vouch for these rows",
    )


_BYTES = {"json_data": _json, "array_data": _array, "geometry_data": bytes}
