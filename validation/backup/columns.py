"""Columns between Milvus's messages and Arrow: what is written is what comes back.

Each Arrow field keeps the name of Milvus's own type beside its Arrow one, so that a Parquet file
says by itself how its columns are sent: numbers, strings and JSON as themselves, dense float
vectors as lists of a fixed size, all other vectors as their bytes, arrays as lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from validation.errors import MeasurementError, MissingToolError
from validation.milvus.columns import packed, values_of

if TYPE_CHECKING:
    import pyarrow as pa

TYPE, DIM, ELEMENT = b"milvus.type", b"milvus.dim", b"milvus.element_type"
_INTS = {"Int8": "int8", "Int16": "int16", "Int32": "int32", "Int64": "int64"}
_PLAIN = {**_INTS, "Bool": "bool_", "Float": "float32", "Double": "float64", "VarChar": "string"}
_DATA = {
    **dict.fromkeys(("Int8", "Int16", "Int32"), "int_data"),
    "Int64": "long_data",
    "Bool": "bool_data",
    "Float": "float_data",
    "Double": "double_data",
    "VarChar": "string_data",
    "JSON": "json_data",
    "Array": "array_data",
}
_BITS = {
    "BinaryVector": ("binary_vector", 1),
    "Float16Vector": ("float16_vector", 16),
    "BFloat16Vector": ("bfloat16_vector", 16),
    "Int8Vector": ("int8_vector", 8),
}
_VALUE = 10
"""Most bytes of a number, or of what says how long a value is."""
FLOATS, SPARSE = "FloatVector", "SparseFloatVector"
KINDS = frozenset({*_DATA, *_BITS, FLOATS, SPARSE})
"""Milvus's types that can be backed up, by the names of its ``DataType``."""


def arrow() -> Any:
    """Return pyarrow.

    Raises:
        MissingToolError: It is not installed.
    """
    try:
        import pyarrow  # noqa: ICN001, PLC0415  (an extra)
    except ImportError:
        raise MissingToolError(
            "Parquet files are written and read with pyarrow, which is not installed",
            where="milvus-kit backup",
            remedy="install milvus-kit[backup]",
        ) from None
    return pyarrow


def field_of(kind: str, name: str, *, dim: int = 0, element: str = "") -> pa.Field:
    """Return how a column is kept.

    Args:
        kind: Milvus's type, one of `KINDS`.
        name: Of the field.
        dim: Of a dense vector.
        element: Milvus's type of an array's elements.
    """
    pa = arrow()
    if kind == FLOATS:
        made = pa.list_(pa.float32(), dim)
    elif kind in _BITS:
        made = pa.binary(dim * _BITS[kind][1] // 8)
    elif kind == SPARSE:
        made = pa.binary()
    elif kind == "JSON":
        made = pa.string()
    elif kind == "Array":
        made = pa.list_(getattr(pa, _PLAIN[element])())
    else:
        made = getattr(pa, _PLAIN[kind])()
    said = {TYPE: kind.encode(), DIM: str(dim).encode(), ELEMENT: element.encode()}
    return pa.field(name, made, metadata={key: value for key, value in said.items() if value})


def to_arrow(message: Any, field: pa.Field, *, where: str = "") -> pa.Array:
    """Return a column that a server sent.

    Args:
        message: A ``FieldData``, with a value in every row or in every row that is not NULL.
        field: How it is kept.
        where: The collection's name, for the error.

    Raises:
        MeasurementError: It is of another type than the schema says, or JSON in no UTF-8.
    """
    pa = arrow()
    kind = _kind(field)
    there = np.array(message.valid_data, dtype=bool) if message.valid_data else None
    if kind == FLOATS:
        dim = field.type.list_size
        values = np.asarray(values_of(message), np.float32).reshape(-1, dim)
        flat = pa.array(_full(values, there).reshape(-1))
        mask = None if there is None else pa.array(~there)
        return pa.FixedSizeListArray.from_arrays(flat, type=field.type, mask=mask)
    if kind in _BITS:
        width = field.type.byte_width
        content = getattr(message.vectors, _BITS[kind][0])
        values = [content[at : at + width] for at in range(0, len(content), width)]
    elif kind == SPARSE:
        values = list(message.vectors.sparse_float_vector.contents)
    else:
        found = message.scalars.WhichOneof("data")
        if found not in {None, _DATA[kind]}:
            raise MeasurementError(
                "the server sent another type than its schema says",
                where=_place(where, field),
                seen=found,
            )
        values = list(getattr(message.scalars, _DATA[kind]).data)
    if kind == "Array":
        values = [_elements(one, _element(field)) for one in values]
    elif kind == "JSON":
        values = [_text(one, _place(where, field)) for one in values]
    return pa.array(_with_nulls(values, there), type=field.type)


def to_message(column: pa.Array, field: pa.Field, *, nullable: bool, dynamic: bool) -> Any:
    """Return a column as the ``FieldData`` that is inserted: NULL has a flag and no value.

    Args:
        column: As it was read from a file.
        field: How it is kept, with the name of Milvus's type.
        nullable: Whether the collection's field may hold NULL.
        dynamic: Whether it is the field of whatever the schema does not name.
    """
    from pymilvus.grpc_gen import schema_pb2  # noqa: PLC0415  (slow to import)

    kind = _kind(field)
    made = schema_pb2.FieldData(field_name=field.name, type=kind, is_dynamic=dynamic)
    if nullable:
        made.valid_data.extend(column.is_valid().to_pylist())
        column = column.drop_null()
    if kind == FLOATS:
        made.vectors.dim = field.type.list_size
        made.vectors.float_vector.MergeFromString(packed(column.flatten().to_numpy(), "<f4"))
    elif kind in _BITS:
        made.vectors.dim = field.type.byte_width * 8 // _BITS[kind][1]
        setattr(made.vectors, _BITS[kind][0], b"".join(column.to_pylist()))
    elif kind == SPARSE:
        contents = column.to_pylist()
        made.vectors.sparse_float_vector.contents.extend(contents)
        made.vectors.dim = made.vectors.sparse_float_vector.dim = _highest(contents)
    elif kind == "JSON":
        made.scalars.json_data.data.extend(one.encode() for one in column.to_pylist())
    elif kind == "Array":
        element = _element(field)
        made.scalars.array_data.CopyFrom(schema_pb2.ArrayArray(element_type=element))
        array = made.scalars.array_data
        for one in column.to_pylist():
            getattr(array.data.add(), _DATA[element]).data.extend(one)
    else:
        getattr(made.scalars, _DATA[kind]).data.extend(column.to_pylist())
    return made


def sizes(column: pa.Array) -> np.ndarray:
    """Return about how many bytes each value takes in a message: int64, shape (n,)."""
    from pyarrow import compute  # noqa: PLC0415  (an extra)

    counted: Any = compute  # its functions are made when it is loaded
    pa, kind = arrow(), column.type
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size * kind.value_type.bit_width // 8
    elif pa.types.is_list(kind):
        within = np.zeros(len(column.flatten()) + 1, np.int64)
        within[1:] = np.cumsum(sizes(column.flatten()))
        lengths = counted.fill_null(counted.list_value_length(column), 0).to_numpy()
        ends = np.cumsum(lengths)
        return within[ends] - within[ends - lengths] + _VALUE
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        lengths = counted.fill_null(counted.binary_length(column), 0)
        return lengths.to_numpy().astype(np.int64) + _VALUE
    else:
        width = max(_VALUE, kind.bit_width // 8)
    return np.full(len(column), width, np.int64)


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MeasurementError(
            "the JSON of a row is not UTF-8, and Parquet keeps no other text",
            where=where,
            seen=content[max(0, error.start - 20) : error.end],
            remedy="write that row anew; milvus-backup (--tool) copies Milvus's own files",
        ) from None


def _place(collection: str, field: pa.Field) -> str:
    name = f"field {field.name}: {_kind(field)}"
    return f"{collection}, {name}" if collection else name


def _kind(field: pa.Field) -> str:
    return field.metadata[TYPE].decode()


def _element(field: pa.Field) -> str:
    return field.metadata[ELEMENT].decode()


def _elements(message: Any, element: str) -> list[Any]:
    """Return an array's elements; one without any comes without its type's name, too."""
    return list(getattr(message, _DATA[element]).data)


def _full(values: np.ndarray, there: np.ndarray | None) -> np.ndarray:
    """Return a row for each flag."""
    if there is None or len(values) == len(there):
        return values
    full = np.zeros((len(there), values.shape[1]), values.dtype)
    full[there] = values
    return full


def _with_nulls(values: list[Any], there: np.ndarray | None) -> list[Any]:
    if there is None:
        return values
    if len(values) == len(there):
        return [value if known else None for value, known in zip(values, there, strict=True)]
    counting = iter(values)
    return [next(counting) if known else None for known in there]


def _highest(contents: list[bytes]) -> int:
    """Return the dimension of sparse vectors: one more than their highest index."""
    pairs = np.dtype([("index", "<u4"), ("value", "<f4")])
    tops = [int(np.frombuffer(one, pairs)["index"].max()) for one in contents if one]
    return 1 + max(tops, default=-1)
