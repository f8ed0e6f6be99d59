"""Keys and hashes of rows in files, in order of the keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validation.common.files import checksum, replacing
from validation.datasets.model import key_array
from validation.milvus import manifest
from validation.upgrade.document import Chunk, require_whole


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows in ascending order of their keys.

    Args:
        keys: Int64 or objects, shape (n,).
        hashes: Uint64, shape (n, 2).
        fields: Checksums of the single fields, uint32, shape (n, f).
    """

    keys: np.ndarray
    hashes: np.ndarray
    fields: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, rows: slice) -> Rows:
        """Return some of them."""
        return Rows(self.keys[rows], self.hashes[rows], self.fields[rows])

    @property
    def content(self) -> int:
        """Sum of the hashes modulo 2^128."""
        return int(manifest.Manifest(self.keys, self.hashes, len(self)).digest, 16)

    @property
    def key_set(self) -> int:
        """Sum of the hashes of the keys modulo 2^128."""
        hashes = manifest.hashed({"key": _column(self.keys)}, key="key")[1]
        return int(manifest.Manifest(self.keys, hashes, len(self)).digest, 16)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows that follow each other as one."""
    return Rows(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.fields for part in parts]),
    )


def write(folder: Path, name: str, rows: Rows) -> Chunk:
    """Write rows to a file, whole or not at all."""
    texts = rows.keys.dtype.kind == "O"
    encoded = [str(key).encode() for key in rows.keys] if texts else []
    keys: dict[str, Any] = (
        {
            "text": np.frombuffer(b"".join(encoded), np.uint8),
            "length": np.array([len(one) for one in encoded], np.int64),
        }
        if texts
        else {"keys": rows.keys}
    )
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, hashes=rows.hashes, fields=rows.fields, **keys)
    return Chunk(file=name, rows=len(rows), sha256=checksum(path))


def read(folder: Path, chunks: Sequence[Chunk]) -> Iterator[Rows]:
    """Yield the rows of some files, one file at a time.

    Raises:
        ConfigurationError: A file is missing, or is not as it was written.
    """
    for chunk in chunks:
        require_whole(folder, chunk)
        with np.load(folder / chunk.file, allow_pickle=False) as found:
            if "keys" in found:
                keys = found["keys"]
            else:
                text, ends = found["text"].tobytes(), np.cumsum(found["length"]).tolist()
                starts = [0, *ends[:-1]]
                keys = key_array(
                    [text[at:end].decode() for at, end in zip(starts, ends, strict=True)]
                )
            yield Rows(keys, found["hashes"], found["fields"])


def _column(keys: np.ndarray) -> np.ndarray | list[str]:
    return keys.tolist() if keys.dtype.kind == "O" else keys
