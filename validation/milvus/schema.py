"""From a dataset to the schema of its collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from validation.datasets.model import Column, Dataset, nullable
from validation.errors import DatasetError

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, DataType

ID = "id"
VECTOR = "vector"
TEXT = "text"
SPARSE = "sparse"
STOP_WORDS = (
    *("a", "an", "and", "are", "as", "at", "be", "by", "do", "does", "for", "from", "has", "have"),
    *("how", "i", "if", "in", "is", "it", "my", "of", "on", "or", "our", "that", "the", "their"),
    *("there", "this", "to", "was", "we", "what", "when", "where", "which", "who", "why", "will"),
    *("with", "you", "your"),
)
ANALYZER = {
    "tokenizer": "standard",
    "filter": ["lowercase", {"type": "stop", "stop_words": list(STOP_WORDS)}],
}
"""How passages and keyword queries become words, unless a corpus says otherwise. A question's
function words would otherwise rank passages, and drag hybrid search below vectors alone. The list
is spelt out because Milvus Lite knows neither the built-in analyzer ``english`` nor the list
``_english_``."""
ID_BYTES = 64
"""Of a VARCHAR primary key, at least: room for keys of rows that are added later."""
_BM25 = "bm25"
_SCALARS = {"i": "INT64", "f": "DOUBLE", "b": "BOOL"}


def schema(
    dataset: Dataset, description: str, *, keywords: bool = False, partition_key: str = ""
) -> CollectionSchema:
    """Return the schema for a dataset.

    The primary key is ``id`` (INT64 or VARCHAR), the vectors are ``vector``, every scalar column
    keeps its name. Texts become ``text``; with keywords they are analysed and a BM25 function
    fills the sparse vectors ``sparse`` from them.

    Args:
        dataset: What is to be stored.
        description: Carries the mark that the collection is ours.
        keywords: Whether to make the texts searchable by keyword (Milvus 2.5 and later).
        partition_key: A scalar column that says in which partition each row lies; none if empty.

    Raises:
        DatasetError: A column has a type that cannot be stored.
    """
    from pymilvus import DataType, Function, FunctionType, MilvusClient  # noqa: PLC0415  (slow)

    made = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=description
    )
    if isinstance(dataset.ids, np.ndarray):
        made.add_field(ID, DataType.INT64, is_primary=True)
    else:
        longest = max(ID_BYTES, *_length(dataset.ids).values())
        made.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=longest)
    made.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dataset.dim)
    for name, column in dataset.scalars.items():
        more = {"nullable": True} if nullable(column) else {}
        more |= {"is_partition_key": True} if name == partition_key else {}
        made.add_field(name, _type_of(name, column, DataType), **_length(column), **more)
    if dataset.texts is not None:
        analyzer = ANALYZER if dataset.analyzer is None else dict(dataset.analyzer)
        analysed = {"enable_analyzer": True, "analyzer_params": analyzer} if keywords else {}
        made.add_field(TEXT, DataType.VARCHAR, **_length(dataset.texts), **analysed)
        if keywords:
            made.add_field(SPARSE, DataType.SPARSE_FLOAT_VECTOR)
            made.add_function(
                Function(
                    name=_BM25,
                    function_type=FunctionType.BM25,
                    input_field_names=[TEXT],
                    output_field_names=[SPARSE],
                )
            )
    return made


def columns(dataset: Dataset) -> dict[str, Column]:
    """Return the columns that are sent, by field name; ``vector`` has shape (n, d)."""
    named: dict[str, Column] = {ID: dataset.ids, VECTOR: dataset.vectors, **dataset.scalars}
    if dataset.texts is not None:
        named[TEXT] = dataset.texts
    return named


def _type_of(name: str, column: Column, types: type[DataType]) -> DataType:
    if not isinstance(column, np.ndarray):
        return types.VARCHAR
    if column.dtype.kind not in _SCALARS:
        raise DatasetError(
            "a column has a type that is not stored",
            where=f"column {name}",
            seen=str(column.dtype),
            remedy="use int64, float64, bool or strings",
        )
    return types[_SCALARS[column.dtype.kind]]


def _length(column: Column) -> dict[str, int]:
    """Return the length of a VARCHAR: Milvus counts bytes of UTF-8, not characters."""
    if isinstance(column, np.ndarray):
        return {}
    longest = max((len(value.encode()) for value in column if value), default=1)
    return {"max_length": max(longest, 1)}
