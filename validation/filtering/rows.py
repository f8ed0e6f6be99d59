"""Rows with every scalar type that a server has, and values where filters go wrong.

Integers at their ends, floats that float32 holds exactly, strings with what the filter language and
``like`` treat in a way of their own, JSON whose keys are there, missing, null or of another type,
arrays that are empty, and NULL. Everything follows from the number of the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pymilvus import CollectionSchema

Row = dict[str, Any]

ROWS = 4_000
"""Milvus builds no index for a segment of fewer than 1,024 rows, and there are two at least."""
DIM = 4
PARTITIONS = 2
TENANTS = 40
NULLABLE = ("maybe", "maybe_text")
"""Columns that hold NULL; they are left out where a server knows none."""

_SIZES = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
_TEXTS = (
    *(
        "",
        "a",
        "ab",
        "abc",
        "ABC",
        "abd",
        "b",
        "zebra",
        "äpfel",
        "数据库",
        "emoji 🙂",
        "with space",
    ),
    *(
        'a "quoted" word',
        "back\\slash",
        "100%",
        "100 per cent",
        "under_score",
        "underXscore",
        "tab\t",
    ),
    *("new\nline", "it's", "[list]", "z" * 300),
)


def rows() -> list[Row]:
    """Return the rows, in order of their keys."""
    return [_row(number) for number in range(ROWS)]


def _row(number: int) -> Row:
    # Odd multipliers far from one another keep the columns independent enough.
    small, other = number * 7_919 % 100, number * 104_729 % 1_000
    row: Row = {"id": number, "vector": vector(number).tolist(), "n": other}
    for name, bits in _SIZES.items():
        ends = (
            -(2 ** (bits - 1)),
            -(2 ** (bits - 1)) + 1,
            2 ** (bits - 1) - 1,
            2 ** (bits - 1) - 2,
        )
        row[name] = ends[number // 50 % 4] if number % 50 == 0 else small - 50
    if number % 50 == 1:  # neighbours that a float64 does not tell apart
        row["i64"] = 2**53 + number // 50 % 3
    return {
        **row,
        "f32": (small - 50) / 4,
        "f64": (0.1, 1e300, -1e300, 5e-324, 2.5)[number % 5] if number % 3 == 0 else other / 8,
        "flag": number % 3 == 1,
        "text": _TEXTS[number % len(_TEXTS)],
        "nums": [(number + step) % 11 for step in range(number % 5)],
        "tags": [("red", "green", "blue", "ab")[(number + step) % 4] for step in range(number % 4)],
        "doc": _document(number),
        "tenant": f"tenant {number % TENANTS}",
        "maybe": small - 50 if (number + 2) % 4 else None,
        "maybe_text": None if not (number + 2) % 5 else _TEXTS[number % 7],
    }


def _document(number: int) -> dict[str, Any]:
    kinds = (number % 9, number % 9 + 0.5, str(number % 9), number % 2 == 0, None, [number % 9])
    document: dict[str, Any] = {"k": number % 20, "in": {"deep": {"er": number % 13}}}
    document["list"] = [number % 6, str(number % 6)]
    if (number + 1) % 7:  # in one of seven rows the key is missing
        document["any"] = kinds[number % 7]
    if number % 2:
        document["odd"] = f"v{number % 8}"
    document["big"] = 2**53 + number % 3
    return document


def vector(number: int) -> np.ndarray:
    """Return the vector of a row: no two are the same."""
    return np.array([1, number % 63, number // 63, number % 2], dtype=np.float32)


def schema(description: str, *, null: bool) -> CollectionSchema:
    """Return the schema of the collection.

    Args:
        description: Carries the mark that it is ours.
        null: Whether the server has fields that hold NULL.
    """
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  (slow to import)

    made = MilvusClient.create_schema(
        auto_id=False,
        enable_dynamic_field=False,
        description=description,
        partition_key_field="tenant",
    )
    made.add_field("id", DataType.INT64, is_primary=True)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    made.add_field("n", DataType.INT64)
    for name, bits in _SIZES.items():
        made.add_field(name, DataType[f"INT{bits}"])
    made.add_field("f32", DataType.FLOAT)
    made.add_field("f64", DataType.DOUBLE)
    made.add_field("flag", DataType.BOOL)
    made.add_field("text", DataType.VARCHAR, max_length=1_000)
    made.add_field("nums", DataType.ARRAY, element_type=DataType.INT64, max_capacity=8)
    made.add_field(
        "tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=8, max_length=20
    )
    made.add_field("doc", DataType.JSON)
    made.add_field("tenant", DataType.VARCHAR, max_length=40)
    if null:
        made.add_field("maybe", DataType.INT64, nullable=True)
        made.add_field("maybe_text", DataType.VARCHAR, max_length=1_000, nullable=True)
    return made
