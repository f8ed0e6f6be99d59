"""Build a collection's indexes and wait until they cover every row."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any

from validation.datasets.model import Dataset
from validation.errors import MeasurementError
from validation.milvus import schema as schemas
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.waiting import LIMIT_SECONDS, Report, poll

_ASK_SECONDS = 2.0
_BM25_INDEX = IndexSpec("SPARSE_INVERTED_INDEX")


def build(
    connection: Connection,
    name: str,
    index: IndexSpec,
    dataset: Dataset,
    *,
    keywords: bool = False,
    seconds: float = LIMIT_SECONDS,
    report: Report | None = None,
) -> None:
    """Build the index of the vectors and wait until it covers every row.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        index: Of the vectors.
        dataset: What the collection holds.
        keywords: Whether to build the index of the texts, too.
        seconds: Time limit for each index.
        report: Is told how far it is.

    Raises:
        MeasurementError: The server refused or failed to build one, or did not end it in time.
    """
    wanted: list[tuple[str, IndexSpec, str]] = []
    if keywords:
        wanted.append((schemas.SPARSE, _BM25_INDEX, "BM25"))
    wanted.append((schemas.VECTOR, index, dataset.metric))
    asking = {
        field: functools.partial(ask, connection, name, _parameters(connection, field, one, metric))
        for field, one, metric in wanted
    }
    for again in asking.values():
        again()
    for field, again in asking.items():
        wait(connection, name, field, again, seconds=seconds, report=report)


def _parameters(connection: Connection, field: str, index: IndexSpec, metric: str) -> Any:
    parameters = connection.client.prepare_index_params()
    build = dict(index.build)
    if build and connection.is_lite:
        # pymilvus sends each as an entry of its own, and Milvus Lite reads one called params alone.
        build["params"] = json.dumps(build)
    parameters.add_index(
        field, index_type=index.kind, index_name=field, metric_type=metric, params=build
    )
    return parameters


def ask(connection: Connection, name: str, parameters: Any) -> None:
    """Ask for the indexes that pymilvus's parameters describe; wait for none.

    Raises:
        MeasurementError: The server refused.
    """
    kinds = ", ".join(f"{one.index_type} on {one.field_name}" for one in parameters)
    with connection.explained(f"build {kinds} of {name}"):
        connection.client.create_index(name, parameters, timeout=connection.timeout, sync=False)


def wait(
    connection: Connection,
    name: str,
    index: str,
    again: Callable[[], None],
    *,
    seconds: float = LIMIT_SECONDS,
    report: Report | None = None,
) -> None:
    """Wait until an index covers every row; while none is covered, ask for it again.

    Milvus drops the word that wakes its index builder if the builder is at work just then, as it is
    when two collections ask at once, and finds what it missed a minute later. The same request
    changes nothing and wakes it.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        index: Its name.
        again: Asks for it as before.
        seconds: Time limit.
        report: Is told how far it is.

    Raises:
        MeasurementError: The server failed to build it, or did not end it in time.
    """
    doing = f"index {index} of {name}"
    asked = time.monotonic()

    def built() -> bool:
        with connection.explained(doing):
            seen: dict[str, Any] = connection.client.describe_index(
                name, index, timeout=connection.timeout
            )
        if seen.get("state") == "Failed":
            raise MeasurementError(
                f"Milvus could not {doing}",
                where=connection.endpoint.name,
                seen=seen.get("index_state_fail_reason") or seen,
                remedy="look in the log of the data nodes, which build it (index nodes before 2.6)",
            )
        if report:
            report(f"{seen.get('indexed_rows', 0):,} of {seen.get('total_rows', 0):,} rows indexed")
        nonlocal asked
        if not seen.get("indexed_rows") and time.monotonic() > asked + _ASK_SECONDS:
            again()
            asked = time.monotonic()
        return seen.get("state") == "Finished" and not seen.get("pending_index_rows")

    poll(built, seconds=seconds, doing=doing, where=connection.endpoint.name)
