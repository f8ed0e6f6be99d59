"""A history: every write with its outcome, every read with what it saw, on one clock.

A write whose answer never came is *unknown*: it may have been applied, may be applied later, or
never. It is not a failure. Only a write that the server refused has *failed*.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validation.common.files import replacing
from validation.errors import MeasurementError

SCHEMA = "milvus-kit/history/1"
NEVER = np.iinfo(np.int64).max
"""The time at which an unknown operation was answered."""
EVERYTHING = -1
"""The scope of a read that covers all rows."""
KEYS = -2
"""The scope of a read that asked for certain keys, and of a search, which covers none."""
NO_COUNT = -1


class Kind(enum.IntEnum):
    """What a write does."""

    INSERT = 0
    UPSERT = 1
    DELETE = 2


class Status(enum.IntEnum):
    """What became of an operation."""

    OK = 0
    UNKNOWN = 1
    FAILED = 2


class Level(enum.IntEnum):
    """Milvus's consistency levels, strongest first."""

    STRONG = 0
    BOUNDED = 1
    SESSION = 2
    EVENTUAL = 3


_WRITES = ("key", "version", "kind", "process", "group", "invoked", "completed", "status")
_READS = ("process", "level", "scope", "invoked", "completed", "status", "count")


@dataclasses.dataclass(frozen=True)
class History:
    """Columns, each int64; times in nanoseconds of one clock.

    Args:
        writes: One entry a key and write: ``key``, ``version`` (larger with each write of a key,
            also for deletes), ``kind``, ``process``, ``group`` (the partition or class of filter
            that the key belongs to for good), ``invoked``, ``completed`` (`NEVER` if unknown) and
            ``status``. One process writes a key, one write after the other.
        reads: One entry a read: ``process``, ``level``, ``scope`` (a group, `EVERYTHING` or
            `KEYS`), ``invoked``, ``completed``, ``status`` and ``count`` (what it counted, or
            `NO_COUNT`). A read that counts has no rows.
        rows: What the reads returned: ``read`` (its number), ``key``, ``version`` and ``genuine``
            (1 if all of the row's fields are those of that key and version).
        asked: ``read`` and ``key`` of each key that a read asked for by name.
    """

    writes: dict[str, np.ndarray]
    reads: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    asked: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.writes["key"]) + len(self.reads["process"])

    def save(self, path: Path) -> None:
        """Write the history to a file that `load` reads."""
        columns = dict(self._columns())
        with replacing(path) as partial, partial.open("wb") as file:
            named: Any = {"schema": SCHEMA, "digest": _digest(columns), **columns}
            np.savez(file, **named)

    def _columns(self) -> list[tuple[str, np.ndarray]]:
        tables = {"writes": self.writes, "reads": self.reads}
        tables |= {"rows": self.rows, "asked": self.asked}
        return [
            (f"{table}.{name}", column)
            for table, columns in tables.items()
            for name, column in columns.items()
        ]


def load(path: Path) -> History:
    """Read a history.

    Raises:
        MeasurementError: It was cut short or changed since it was written.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            columns = {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(path, f"it cannot be read ({type(error).__name__})") from error
    schema, digest = (str(columns.pop(name, "")) for name in ("schema", "digest"))
    if schema != SCHEMA:
        raise _unreadable(path, f"its schema is {schema or 'missing'}, not {SCHEMA}")
    if digest != _digest(columns):
        raise _unreadable(path, "its columns are not those that were written")
    tables: dict[str, dict[str, np.ndarray]] = {}
    for name, column in columns.items():
        table, _, field = name.partition(".")
        tables.setdefault(table, {})[field] = column
    return History(**tables)


def _unreadable(path: Path, what: str) -> MeasurementError:
    return MeasurementError(
        f"the history is of no use: {what}", where=str(path), remedy="run the measurement again"
    )


def _digest(columns: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, column in sorted(columns.items()):
        digest.update(f"{name}:{len(column)};".encode())
        digest.update(np.ascontiguousarray(column, dtype=np.int64).tobytes())
    return digest.hexdigest()


class Recorder:
    """Takes down operations as they end, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes: list[np.ndarray] = []
        self._reads: list[tuple[int, ...]] = []
        self._rows: list[np.ndarray] = []
        self._asked: list[np.ndarray] = []

    def write(
        self,
        kind: Kind,
        keys: Sequence[int] | np.ndarray,
        versions: Sequence[int] | np.ndarray,
        *,
        process: int,
        invoked: int,
        completed: int,
        status: Status = Status.OK,
        group: int | Sequence[int] | np.ndarray = 0,
    ) -> None:
        """Take down one write of several keys; `History` says what each of them means."""
        end = NEVER if status is Status.UNKNOWN else completed
        same = (kind, process)
        part = np.empty((len(_WRITES), len(keys)), dtype=np.int64)
        values = (keys, versions, *same, group, invoked, end, status)
        for at, value in enumerate(values):
            part[at] = value
        with self._lock:
            self._writes.append(part)

    def read(
        self,
        level: Level,
        *,
        process: int,
        invoked: int,
        completed: int,
        keys: Sequence[int] | np.ndarray = (),
        versions: Sequence[int] | np.ndarray = (),
        genuine: Sequence[bool] | np.ndarray | None = None,
        asked: Sequence[int] | np.ndarray = (),
        scope: int = KEYS,
        status: Status = Status.OK,
        count: int = NO_COUNT,
    ) -> None:
        """Take down one read and the rows it returned; `History` says what each of them means."""
        rows = np.ones((4, len(keys)), dtype=np.int64)
        rows[1], rows[2] = keys, versions
        if genuine is not None:
            rows[3] = genuine
        names = np.empty((2, len(asked)), dtype=np.int64)
        names[1] = asked
        with self._lock:
            rows[0] = names[0] = len(self._reads)
            self._reads.append((process, level, scope, invoked, completed, status, count))
            self._rows.append(rows)
            self._asked.append(names)

    def history(self) -> History:
        """Return all that was taken down so far."""
        with self._lock:
            reads = np.array(self._reads, dtype=np.int64).reshape(-1, len(_READS)).T
            return History(
                dict(zip(_WRITES, _joined(self._writes, len(_WRITES)), strict=True)),
                dict(zip(_READS, np.ascontiguousarray(reads), strict=True)),
                dict(
                    zip(("read", "key", "version", "genuine"), _joined(self._rows, 4), strict=True)
                ),
                dict(zip(("read", "key"), _joined(self._asked, 2), strict=True)),
            )


def _joined(parts: list[np.ndarray], columns: int) -> np.ndarray:
    return np.concatenate(parts, axis=1) if parts else np.empty((columns, 0), dtype=np.int64)
