"""Proof that what is stored is what was sent, whatever the order in which it comes back.

Every row becomes a 128-bit hash (BLAKE2b) of its primary key, the bits of its vector and all its
other columns; the hashes are added modulo 2^128. Addition does not depend on the order, and other
than exclusive-or it does not cancel a row that is there twice. The sum gives one number to compare
and to print; the keys and hashes behind it say which rows are missing, unexpected or changed.

How many rows the server *counts* is asked separately: a server can return every row and still
count wrong, and the other way round.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from validation.datasets.model import Column, Dataset, key_array, present
from validation.milvus import reading
from validation.milvus import schema as schemas
from validation.milvus.connection import Connection

EXAMPLES = 5
_HASH_BYTES = 16


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a collection holds, or ought to.

    Args:
        keys: Primary keys in ascending order: int64 or objects, shape (n,).
        hashes: Of the rows in the same order, uint64, shape (n, 2).
        counted: How many rows the server counts; for what was sent, n.
    """

    keys: np.ndarray = dataclasses.field(repr=False)
    hashes: np.ndarray = dataclasses.field(repr=False)
    counted: int

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.keys)

    @property
    def digest(self) -> str:
        """The sum of the rows' hashes modulo 2^128, as 32 hexadecimal digits."""
        total = 0
        for at, weight in ((0, 1), (1, 1 << 64)):
            # In halves, so that sums of up to 2^32 rows stay exact in 64 bits.
            column = self.hashes[:, at]
            low = int((column & np.uint64(0xFFFFFFFF)).sum(dtype=np.uint64))
            high = int((column >> np.uint64(32)).sum(dtype=np.uint64))
            total += (low + (high << 32)) * weight
        return f"{total % (1 << 128):032x}"


@dataclasses.dataclass(frozen=True)
class Difference:
    """How what is stored differs from what was sent.

    Args:
        row_count_error: Rows that the server counts too many or too few, as a positive number.
        missing: Rows that were sent and do not come back.
        unexpected: Rows that come back and were not sent, or come back twice.
        changed: Rows that come back with other content.
        examples: A few primary keys of each sort.
        evidence: Counts and digests of both sides.
    """

    row_count_error: int
    missing: int
    unexpected: int
    changed: int
    examples: dict[str, list[Any]]
    evidence: dict[str, Any]

    @property
    def none(self) -> bool:
        """Whether there is no difference."""
        return not (self.row_count_error or self.missing or self.unexpected or self.changed)


def sent(dataset: Dataset) -> Manifest:
    """Return the manifest of a dataset as it was sent."""
    return _manifest([hashed(schemas.columns(dataset))], counted=dataset.rows)


def stored(connection: Connection, name: str, *, like: Manifest | None = None) -> Manifest:
    """Read back every row of a collection with strong consistency and return its manifest.

    Args:
        connection: An open connection to the server.
        name: Of a collection that is loaded.
        like: What is expected. It only says where to cut the keys into ranges that are read side
            by side, which is faster; the ranges cover all keys, expected or not.

    Raises:
        MeasurementError: The server cannot be read in order of the primary key.
    """
    counted = count(connection, name)
    expected = None if like is None else like.keys
    rows = reading.read(connection, name, hashed, expected=expected)
    return _manifest(rows, counted=counted)


def compare(sent: Manifest, stored: Manifest) -> Difference:
    """Return how two manifests differ."""
    first = np.ones(stored.count, dtype=bool)
    first[1:] = stored.keys[1:] != stored.keys[:-1]
    place = np.searchsorted(sent.keys, stored.keys)
    known = np.zeros(stored.count, dtype=bool)
    inside = place < sent.count
    known[inside] = sent.keys[place[inside]] == stored.keys[inside]
    arrived = np.zeros(sent.count, dtype=bool)
    arrived[place[known]] = True
    same = np.zeros(stored.count, dtype=bool)
    same[known] = (sent.hashes[place[known]] == stored.hashes[known]).all(axis=1)
    sorts = {
        "missing": sent.keys[~arrived],
        "unexpected": stored.keys[~known | ~first],
        "changed": stored.keys[known & first & ~same],
    }
    return Difference(
        row_count_error=abs(stored.counted - sent.count),
        **{sort: len(keys) for sort, keys in sorts.items()},
        examples={sort: keys[:EXAMPLES].tolist() for sort, keys in sorts.items() if len(keys)},
        evidence={
            "rows_sent": sent.count,
            "rows_read": stored.count,
            "rows_counted": stored.counted,
            "digest_sent": sent.digest,
            "digest_stored": stored.digest,
        },
    )


def hashed(
    columns: Mapping[str, Column | list[bytes | None]], key: str = schemas.ID
) -> tuple[np.ndarray, np.ndarray]:
    """Return primary keys and 128-bit hashes of rows.

    A row is hashed as the values of its columns in order of their names: fixed-width ones as their
    little-endian bits, a bit for each that is not NULL, then strings in UTF-8 preceded by their
    length in four bytes.

    Args:
        columns: By field name; bytes are hashed as they are.
        key: Field of the primary key.

    Returns:
        Keys, shape (n,), and hashes, uint64, shape (n, 2).
    """
    fixed, texts, flags = [], [], []
    for name in sorted(columns):
        values = columns[name]
        flags.append(present(values))
        if isinstance(values, np.ndarray):
            fixed.append(_bits(np.ma.filled(values, 0)))
        else:
            texts.append(as_bytes(values))
    keys = key_array(cast("Column", columns[key]))
    fixed.append(np.packbits(np.column_stack(flags), axis=1))
    width = sum(part.shape[1] for part in fixed)
    table = memoryview(np.hstack(fixed).tobytes())
    out = bytearray(_HASH_BYTES * len(keys))
    seed = hashlib.blake2b(repr(sorted(columns)).encode(), digest_size=_HASH_BYTES)
    for row in range(len(keys)):
        digest = seed.copy()
        digest.update(table[row * width : (row + 1) * width])
        for column in texts:
            value = column[row]
            digest.update(len(value).to_bytes(4, "little") + value)
        out[row * _HASH_BYTES : (row + 1) * _HASH_BYTES] = digest.digest()
    return keys, np.frombuffer(bytes(out), dtype="<u8").reshape(-1, 2)


def as_bytes(values: Sequence[str | bytes | None]) -> list[bytes]:
    """Return strings in UTF-8, and NULL as nothing."""
    return [value.encode() if isinstance(value, str) else value or b"" for value in values]


def count(connection: Connection, name: str) -> int:
    """Return how many rows the server counts, with strong consistency."""
    return reading.count(connection, name)


def _bits(values: np.ndarray) -> np.ndarray:
    """Return the bytes of fixed-width values, uint8, shape (n, w)."""
    kind = {"f": f"<f{values.dtype.itemsize}", "b": "?", "u": "u1"}.get(values.dtype.kind, "<i8")
    plain = np.ascontiguousarray(values, dtype=kind)
    return plain.view(np.uint8).reshape(len(plain), plain.nbytes // max(1, len(plain)))


def _manifest(parts: list[tuple[np.ndarray, np.ndarray]], *, counted: int) -> Manifest:
    if not parts:
        return Manifest(np.empty(0, np.int64), np.empty((0, 2), np.uint64), counted)
    keys = np.concatenate([part[0] for part in parts])
    order = np.argsort(keys, kind="stable")
    return Manifest(keys[order], np.concatenate([part[1] for part in parts])[order], counted)
