"""Rows in Parquet files: written page by page, and read back as a server would send them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.backup import columns
from validation.milvus import manifest as hashing
from validation.milvus import reading
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
    """

    key: str
    kept: Mapping[str, pa.Field]
    nullable: frozenset[str]

    def decoded(self, message: Any) -> Any:
        """Return a column that a server sent: the keys as they turn pages, the rest as Arrow."""
        name = message.field_name
        return (
            column_of(message) if name == self.key else columns.to_arrow(message, self.kept[name])
        )

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


def batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, some at a time.

    Args:
        path: A Parquet file of a backup.
        rows: Most of them at once.
    """
    from pyarrow import parquet  # noqa: PLC0415  (an extra)

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(rows)


def content(path: Path, fields: Fields) -> str:
    """Return the sum of the hashes of the rows of a file, as a manifest has it."""
    total = 0
    for batch in batches(path, reading.MAX_PAGE):
        if not batch.num_rows:
            continue
        read = {one.field_name: column_of(one) for one in fields.messages(batch)}
        keys, hashes = hashing.hashed(read, fields.key)
        total += int(hashing.Manifest(keys, hashes, len(keys)).digest, 16)
    return f"{total % (1 << 128):032x}"
