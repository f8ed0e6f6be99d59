"""What this server can do, found out by doing it in small collections with a time limit.

Version numbers alone are not enough: a build may lack a feature, a node may lack the disk that
DISKANN needs, and then the build of an index simply never ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from validation.datasets.model import Dataset, Queries
from validation.errors import MilvusKitError, UnsupportedError
from validation.milvus import loading, manifest, searching
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec, index_named
from validation.milvus.ownership import collection_name, drop_ours

EMBEDDED = "-lite"
"""How the server of the PyPI package ends its version, such as ``v2.3.5-lite``."""

_DISKANN_ROWS = 2_048
"""Milvus builds no index at all for segments of fewer than 1,024 rows; those prove nothing."""
_DIM = 16
NULL_SINCE = (2, 5)
_TEXTS = ("replace the pump seal", "quarterly travel expenses", "error code E4711 on startup")


@dataclasses.dataclass(frozen=True)
class Capability:
    """Whether the server can do one thing.

    Args:
        name: ``bm25``, ``hybrid``, ``diskann``, ``analyzer`` or ``null``.
        available: Whether it can.
        reason: Why not; empty if it can.
        seconds: How long it took to find out.
    """

    name: str
    available: bool
    reason: str
    seconds: float


def probe(
    connection: Connection, *, run: str = "probe", seconds: float = 5.0, only: str | None = None
) -> dict[str, Capability]:
    """Find out what the server can do.

    Args:
        connection: The server.
        run: Identity of the run, for names and marks.
        seconds: Time limit of each wait.
        only: Ask for one capability alone.

    Returns:
        By name: ``bm25``, ``hybrid``, ``diskann``. Whatever was created for it is dropped again.
    """
    asked = {"bm25": _bm25, "hybrid": _hybrid, "diskann": _diskann}
    return {
        name: _asked(connection, name, collection_name("probe", name, run), ask, seconds)
        for name, ask in asked.items()
        if only in (None, name)
    }


def analyzes(
    connection: Connection, analyzer: Mapping[str, Any], *, run: str, seconds: float = 5.0
) -> Capability:
    """Find out whether the server splits texts by an analyzer.

    Servers differ in those that they know, and some are found out when the first text comes.

    Args:
        connection: The server.
        analyzer: As Milvus's ``analyzer_params``.
        run: Identity of the run, for names and marks.
        seconds: Time limit of each wait.
    """

    def ask(connection: Connection, collection: str, seconds: float) -> None:
        _with_texts(connection, collection, seconds, analyzer)

    name = "analyzer"
    return _asked(connection, name, collection_name("probe", name, run), ask, seconds)


def knows_null(connection: Connection, *, run: str = "probe", seconds: float = 5.0) -> bool:
    """Return whether a server has fields that hold NULL: from 2.5 on.

    One that calls itself by no version is tried with a few rows.

    Args:
        connection: The server.
        run: Identity of the run, for names and marks.
        seconds: Time limit of each wait.
    """
    if connection.is_lite:
        return True
    if connection.version:
        return connection.version >= NULL_SINCE
    name = "null"
    return _asked(connection, name, collection_name("probe", name, run), _null, seconds).available


def _asked(
    connection: Connection,
    name: str,
    collection: str,
    ask: Callable[[Connection, str, float], None],
    seconds: float,
) -> Capability:
    started = time.monotonic()
    reason = ""
    try:
        ask(connection, collection, seconds)
    except MilvusKitError as error:
        reason = f"{error.what} (seen: {error.seen})" if error.seen else error.what
    finally:
        with contextlib.suppress(MilvusKitError):  # the reason found above matters more
            drop_ours(connection, collection)
    return Capability(name, not reason, reason, time.monotonic() - started)


def _bm25(connection: Connection, collection: str, seconds: float) -> None:
    dataset = _with_texts(connection, collection, seconds)
    answers = searching.keyword_search(connection, collection, ["E4711"], k=1, timeout=seconds)
    if answers.of(0) != [int(dataset.ids[2])]:
        raise UnsupportedError("keyword search does not find a word that is there")


def _hybrid(connection: Connection, collection: str, seconds: float) -> None:
    dataset = _with_texts(connection, collection, seconds)
    answers = searching.hybrid_search(
        connection, collection, dataset.vectors[2:], ["E4711"], k=1, timeout=seconds
    )
    if answers.of(0) != [int(dataset.ids[2])]:
        raise UnsupportedError("hybrid search does not find what both its parts find")


def _with_texts(
    connection: Connection,
    collection: str,
    seconds: float,
    analyzer: Mapping[str, Any] | None = None,
) -> Dataset:
    searching.require_keywords(connection)
    dataset = dataclasses.replace(_small(len(_TEXTS), list(_TEXTS)), analyzer=analyzer)
    _load(connection, dataset, collection, IndexSpec("FLAT"), seconds, keywords=True)
    return dataset


def _null(connection: Connection, collection: str, seconds: float) -> None:
    levels = np.ma.masked_array([1, 0, 3], mask=[False, True, False])
    dataset = dataclasses.replace(_small(len(levels), None), scalars={"level": levels})
    _load(connection, dataset, collection, IndexSpec("FLAT"), seconds)
    if not manifest.compare(manifest.sent(dataset), manifest.stored(connection, collection)).none:
        raise UnsupportedError("NULL does not come back as NULL")


def _diskann(connection: Connection, collection: str, seconds: float) -> None:
    if connection.is_lite:
        raise UnsupportedError("Milvus Lite has no DISKANN", seen=connection.server_version)
    if connection.server_version.endswith(EMBEDDED):
        raise UnsupportedError(
            "the server of the Python package is built without DISKANN: a build never ends",
            seen=connection.server_version,
        )
    dataset = _small(_DISKANN_ROWS, None)
    index = index_named("DISKANN")
    _load(connection, dataset, collection, index, seconds)
    answers = searching.search(
        connection, collection, dataset.vectors[:1], k=1, params=index.search, timeout=seconds
    )
    if answers.of(0) != [0]:
        raise UnsupportedError("a DISKANN search does not find the query itself")


def _load(
    connection: Connection,
    dataset: Dataset,
    collection: str,
    index: IndexSpec,
    seconds: float,
    *,
    keywords: bool = False,
) -> None:
    loading.load(
        connection,
        dataset,
        name=collection,
        index=index,
        run="probe",
        keywords=keywords,
        # Sealing a segment alone takes some seconds; the limit is meant for the step in question.
        seconds=max(seconds, 1.0),
    )


def _small(rows: int, texts: list[str] | None) -> Dataset:
    """Return a few rows; the vectors are multiples of unit vectors, so that all of them differ."""
    vectors = np.zeros((rows, _DIM), dtype=np.float32)
    vectors[np.arange(rows), np.arange(rows) % _DIM] = 1 + np.arange(rows) // _DIM
    return Dataset(
        name="probe",
        ids=np.arange(rows, dtype=np.int64),
        vectors=vectors,
        scalars={},
        queries=Queries(ids=["q0"], vectors=vectors[:1]),
        texts=texts,
    )
