"""Load a dataset into a collection of its own, phase by phase, with the time of each."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping

import numpy as np

from validation.datasets.model import Column, Dataset, nullable
from validation.errors import MeasurementError
from validation.milvus import schema as schemas
from validation.milvus.columns import bytes_of, ids_of, rows_of, to_message
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.indexing import build
from validation.milvus.ownership import Mark, claim, drop_ours, require_ours
from validation.milvus.waiting import LIMIT_SECONDS, Report, poll

BATCH_BYTES = 8 << 20
"""Of all columns in one insert: well below the 64 MiB that a proxy takes in one message."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """One step of loading: ``create``, ``insert``, ``flush``, ``index`` or ``load``."""

    name: str
    seconds: float
    rows: int


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A collection that is loaded and can be searched.

    Args:
        name: Of the collection.
        index: Of its vectors.
        rows: How many rows were sent.
        acknowledged: Their primary keys as the server answered them: int64 array or strings.
        phases: How long each step took.
        keywords: Whether it can be searched by keyword.
        no_keywords: Why not, if it is known.
        segments: Numbers of the segments that its rows were flushed to; more may have come of them.
    """

    name: str
    index: IndexSpec
    rows: int
    acknowledged: np.ndarray | list[str] = dataclasses.field(repr=False)
    phases: tuple[Phase, ...] = ()
    keywords: bool = False
    no_keywords: str = ""
    segments: frozenset[int] = frozenset()

    def seconds(self, phase: str) -> float:
        """Return how long a phase took; 0 if there was none."""
        return sum(part.seconds for part in self.phases if part.name == phase)


def load(
    connection: Connection,
    dataset: Dataset,
    *,
    name: str,
    index: IndexSpec,
    run: str = "",
    batch_rows: int | None = None,
    keywords: bool = False,
    partition_key: str = "",
    report: Report | None = None,
    seconds: float = LIMIT_SECONDS,
) -> Loaded:
    """Create a collection, insert the rows, flush, build the index and load it for search.

    A leftover of ours under the same name is dropped first. Whatever interrupts this, what is
    left carries our mark, so that `drop_ours` removes it.

    Args:
        connection: An open connection to the server.
        dataset: The rows.
        name: Of the collection; see `collection_name`.
        index: Of the vectors.
        run: Identity of the run, for the mark.
        batch_rows: Most rows in one insert; as many as fit 8 MiB if left out.
        keywords: Whether to make the texts searchable by keyword.
        partition_key: A column that says in which partition each row lies; none if empty.
        report: Is told how far it is.
        seconds: Time limit of each phase that waits.

    Raises:
        OwnershipError: There is a collection of this name that is not ours.
        MeasurementError: The server refused a step, or acknowledged other rows than were sent.
    """
    phases = _Phases(report)
    with phases.phase("create"):
        drop_ours(connection, name)
        create(
            connection, dataset, name=name, run=run, keywords=keywords, partition_key=partition_key
        )
    with phases.phase("insert", dataset.rows):
        acknowledged = insert(
            connection, name, dataset, batch_rows=batch_rows, report=phases.report
        )
    with phases.phase("flush", dataset.rows):
        flushed = flush(connection, name, seconds=seconds)
    with phases.phase("index", dataset.rows):
        build(
            connection,
            name,
            index,
            dataset,
            keywords=keywords,
            seconds=seconds,
            report=phases.report,
        )
    with phases.phase("load", dataset.rows):
        load_for_search(connection, name, seconds=seconds, report=phases.report)
    return Loaded(
        name, index, dataset.rows, acknowledged, tuple(phases.done), keywords, segments=flushed
    )


def reindex(
    connection: Connection,
    name: str,
    index: IndexSpec,
    dataset: Dataset,
    *,
    report: Report | None = None,
    seconds: float = LIMIT_SECONDS,
) -> tuple[Phase, ...]:
    """Put another index in place of a collection's vector index and load it again.

    Args:
        connection: An open connection to the server.
        name: Of the collection, which is ours.
        index: Of the vectors, from now on.
        dataset: What the collection holds.
        report: Is told how far it is.
        seconds: Time limit of each phase that waits.

    Returns:
        The phases ``release``, ``index`` and ``load``.

    Raises:
        OwnershipError: The collection is not ours.
        MeasurementError: The server refused a step, or did not end it in time.
    """
    require_ours(connection, name)
    phases = _Phases(report)
    with phases.phase("release"), connection.explained(f"release {name}"):
        connection.client.release_collection(name, timeout=connection.timeout)
        connection.client.drop_index(name, schemas.VECTOR, timeout=connection.timeout)
    with phases.phase("index", dataset.rows):
        build(connection, name, index, dataset, seconds=seconds, report=phases.report)
    with phases.phase("load", dataset.rows):
        load_for_search(connection, name, seconds=seconds, report=phases.report)
    return tuple(phases.done)


def create(
    connection: Connection,
    dataset: Dataset,
    *,
    name: str,
    run: str,
    keywords: bool = False,
    partition_key: str = "",
) -> None:
    """Create an empty collection for a dataset.

    Args:
        connection: An open connection to the server.
        dataset: The rows that are meant for it.
        name: Of the collection.
        run: Identity of the run, for the mark.
        keywords: Whether the texts are to be searchable by keyword.
        partition_key: A column that says in which partition each row lies; none if empty.

    Raises:
        MeasurementError: The server refused, as it does where another has this name.
    """
    description = claim(connection, name, Mark(run, dataset.fingerprint()))
    made = schemas.schema(dataset, description, keywords=keywords, partition_key=partition_key)
    with connection.explained(f"create collection {name}"):
        connection.client.create_collection(
            name, schema=made, consistency_level="Strong", timeout=connection.timeout
        )


def insert(
    connection: Connection,
    name: str,
    dataset: Dataset,
    *,
    batch_rows: int | None = None,
    partition: str = "",
    upsert: bool = False,
    report: Report | None = None,
) -> np.ndarray | list[str]:
    """Insert all rows in batches of columns; return the acknowledged primary keys.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        dataset: The rows.
        batch_rows: Most rows in one insert; as many as fit 8 MiB if left out.
        partition: Where to; the collection's default one if left out.
        upsert: Whether to put them in place of what is there under the same keys.
        report: Is told how far it is.

    Returns:
        The keys in the order of the rows: int64, shape (n,), or strings.

    Raises:
        MeasurementError: A batch was refused, or acknowledged other than as it was sent.
    """
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

    method = "Upsert" if upsert else "Insert"
    message = getattr(milvus_pb2, f"{method}Request")
    columns = schemas.columns(dataset)
    null = {key for key, values in columns.items() if nullable(values)}
    acknowledged: list[np.ndarray | list[str]] = []
    for rows in batches(columns, batch_rows or dataset.rows):
        at = rows.start
        request = message(
            db_name=connection.endpoint.database,
            collection_name=name,
            partition_name=partition,
            fields_data=[
                to_message(key, rows_of(values, rows), null=key in null)
                for key, values in columns.items()
            ],
            num_rows=rows.stop - at,
        )
        answer = connection.wire.call(
            method,
            request,
            doing=f"{method.lower()} rows {at} to {rows.stop} into {name}",
            timeout=120,
        )
        keys, wanted = ids_of(answer.IDs), rows_of(dataset.ids, rows)
        if not np.array_equal(np.asarray(keys), np.asarray(wanted)):
            raise MeasurementError(
                f"the server acknowledged other rows than were sent in {at} to {rows.stop}",
                where=f"{connection.endpoint.name}: collection {name}",
                seen=f"{answer.upsert_cnt or answer.insert_cnt} rows",
                remedy="look in Milvus's proxy log",
            )
        acknowledged.append(keys)
        if report:
            report(f"{rows.stop:,} of {dataset.rows:,} rows sent")
    if isinstance(dataset.ids, np.ndarray):
        return np.concatenate([np.asarray(part) for part in acknowledged])
    return [key for part in acknowledged for key in part]


def batches(columns: Mapping[str, Column], most: int) -> Iterator[slice]:
    """Yield ranges of rows that each fit one insert.

    Args:
        columns: What is sent, each of n rows.
        most: Most rows in one.
    """
    yield from cut(np.asarray(sum(bytes_of(values) for values in columns.values())), most)


def cut(sizes: np.ndarray, most: int, size: int = BATCH_BYTES) -> Iterator[slice]:
    """Yield ranges of rows that are each of some bytes at most; a larger row comes alone.

    Args:
        sizes: Bytes of each row, shape (n,).
        most: Most rows in one.
        size: Most bytes in one.
    """
    ends = np.cumsum(sizes)
    at = 0
    while at < len(ends):
        before = ends[at - 1] if at else 0
        stop = int(np.searchsorted(ends, before + size, side="right"))
        stop = min(max(stop, at + 1), at + most)
        yield slice(at, min(stop, len(ends)))
        at = stop


def flush(connection: Connection, name: str, *, seconds: float = LIMIT_SECONDS) -> frozenset[int]:
    """Make Milvus seal what was inserted and write it to its object store; wait until it has.

    Returns:
        The numbers of the collection's segments that are flushed now.
    """
    from pymilvus.grpc_gen.milvus_pb2 import (  # noqa: PLC0415  (slow to import)
        FlushRequest,
        GetFlushStateRequest,
    )

    doing = f"flush {name}"
    database = connection.endpoint.database
    sealed = connection.wire.call(
        "Flush",
        FlushRequest(db_name=database, collection_names=[name]),
        doing=doing,
        timeout=seconds,
    )
    asked = GetFlushStateRequest(
        segmentIDs=sealed.coll_segIDs[name].data,
        flush_ts=sealed.coll_flush_ts[name],
        db_name=database,
        collection_name=name,
    )
    poll(
        lambda: connection.wire.call("GetFlushState", asked, doing=doing).flushed,
        seconds=seconds,
        doing=doing,
        where=connection.endpoint.name,
    )
    return frozenset((*sealed.coll_segIDs[name].data, *sealed.flush_coll_segIDs[name].data))


def load_for_search(
    connection: Connection,
    name: str,
    *,
    seconds: float = LIMIT_SECONDS,
    report: Report | None = None,
) -> None:
    """Load a collection into the query nodes and wait until it is there in full."""
    doing = f"load {name}"

    def loaded() -> bool:
        with connection.explained(doing):
            state = connection.client.get_load_state(name, timeout=connection.timeout)
        if report and "progress" in state:
            report(f"{state['progress']} % of {name} loaded")
        return state["state"].name == "Loaded"

    with connection.explained(doing):
        connection.client.load_collection(name, timeout=connection.timeout, _async=True)
    poll(loaded, seconds=seconds, doing=doing, where=connection.endpoint.name)


class _Phases:
    """Times phases and passes on what is reported in them."""

    def __init__(self, report: Report | None) -> None:
        self.done: list[Phase] = []
        self.report = report

    @contextlib.contextmanager
    def phase(self, name: str, rows: int = 0) -> Iterator[None]:
        if self.report:
            self.report(name)
        started = time.monotonic()
        yield
        self.done.append(Phase(name, time.monotonic() - started, rows))
