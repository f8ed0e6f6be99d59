"""Rows in Parquet files: written page by page, and read back as a server would send them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from validation.backup import columns
from validation.milvus import loading, reading
from validation.milvus import manifest as hashing
from validation.upgrade import described
from validation.upgrade.canonical import column_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Fields:
    """How the rows of a collection are kept, and sent.

    Args:
        key: Field of the primary key.
        kept: Each column, in the order in which it is read.
        nullable: Fields that may hold NULL.
        collection: Its name, for errors.
    """

    key: str
    kept: Mapping[str, pa.Field]
    nullable: frozenset[str]
    collection: str = ""

    def decoded(self, message: Any) -> Any:
        """Return a column that a server sent: the keys as they turn pages, the rest as Arrow."""
        name = message.field_name
        if name == self.key:
            return column_of(message)
        return columns.to_arrow(message, self.kept[name], where=self.collection)

    def messages(self, batch: pa.RecordBatch) -> list[Any]:
        """Return rows as the columns of an insert."""
        return [
            columns.to_message(
                batch.column(name),
                field,
                nullable=name in self.nullable,
                dynamic=name == described.DYNAMIC,
            )
            for name, field in self.kept.items()
        ]


def write(
    path: Path,
    fields: Fields,
    pages: Iterator[Mapping[str, Any]],
    step: Callable[[str], object],
    counted: int,
) -> int:
    """Write pages as they come, and return how many rows there were.

    Args:
        path: Of the file.
        fields: How the rows are kept.
        pages: Columns by field name, as `Fields.decoded` makes them.
        step: Is told how far it is.
        counted: How many rows are expected.
    """
    from pyarrow import parquet  # noqa: PLC0415  (an extra)

    pa, rows = columns.arrow(), 0
    schema = pa.schema(list(fields.kept.values()))
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for page in pages:
            arrays = [
                pa.array(page[field.name], type=field.type)
                if field.name == fields.key
                else page[field.name]
                for field in schema
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            rows += len(arrays[0])
            step(f"{rows:,} of {counted:,} rows")
    return rows


def batches(path: Path, size: int = loading.BATCH_BYTES) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, as many at a time as fit one insert.

    A page of rows, which is all of a row group, is what is in memory.

    Args:
        path: A Parquet file of a backup.
        size: Most bytes at once, as Milvus's messages have them; a larger row comes alone.
    """
    from pyarrow import parquet  # noqa: PLC0415  (an extra)

    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for page in file.iter_batches(reading.MAX_PAGE, row_groups=[group]):
                sizes = np.sum([columns.sizes(column) for column in page.columns], axis=0)
                for rows in loading.cut(sizes, page.num_rows, size):
                    yield page.slice(rows.start, rows.stop - rows.start)


def content(path: Path, fields: Fields) -> str:
    """Return the sum of the hashes of the rows of a file, as a manifest has it."""
    total = 0
    for batch in batches(path):
        read = {one.field_name: column_of(one) for one in fields.messages(batch)}
        keys, hashes = hashing.hashed(read, fields.key)
        total += int(hashing.Manifest(keys, hashes, len(keys)).digest, 16)
    return f"{total % (1 << 128):032x}"
