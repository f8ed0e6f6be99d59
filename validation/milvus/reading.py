"""Read every row of a collection, with strong consistency, as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from validation.datasets.model import Column, literal
from validation.errors import MeasurementError
from validation.milvus import schema as schemas
from validation.milvus.columns import from_message, key_array
from validation.milvus.connection import Connection

Rows = dict[str, Column]
Result = TypeVar("Result")

MAX_PAGE = 16_384  # Milvus's largest limit of a query
_PAGE_BYTES = 16 << 20
_READERS = 2
_TIMEOUT_SECONDS = 60


def read(
    connection: Connection,
    name: str,
    use: Callable[[Rows], Result],
    *,
    expected: np.ndarray | None = None,
) -> list[Result]:
    """Read all rows of a loaded collection and return what was made of each page of them.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        use: Is called with the columns of some rows, by field name.
        expected: Primary keys in ascending order. They only say where to cut the keys into ranges
            that are read side by side; the ranges cover all keys, expected or not.

    Raises:
        MeasurementError: The server cannot be read in order of the primary key.
    """
    table = _table(connection, name)
    with ThreadPoolExecutor(_READERS) as pool:
        jobs = [
            pool.submit(lambda part=part: [use(rows) for rows in _rows_in(table, part)])
            for part in _ranges(expected, table.page)
        ]
        return [result for job in jobs for result in job.result()]


def count(connection: Connection, name: str) -> int:
    """Return how many rows the server counts, with strong consistency."""
    answer = _query(connection, name, "", fields=["count(*)"])
    return int(from_message(answer.fields_data[0])[0])


@dataclasses.dataclass(frozen=True)
class _Table:
    """A collection that is read: its stored columns, and how many rows fit one answer."""

    connection: Connection
    name: str
    columns: list[str]
    text_keys: bool
    page: int

    def literal(self, key: Any) -> str:
        return literal(str(key) if self.text_keys else int(key))

    def query(self, condition: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Return the columns of the rows that match; empty if there are none."""
        answer = _query(
            self.connection,
            self.name,
            condition,
            fields=self.columns,
            parameters=parameters,
        )
        found = {field.field_name: from_message(field) for field in answer.fields_data}
        if not len(found.get(schemas.ID, ())):
            return {}
        return {name: found[name] for name in self.columns}


@dataclasses.dataclass(frozen=True)
class _Range:
    """Primary keys from one that is included, or the first, to one that is not, or the last."""

    start: Any = None
    stop: Any = None

    def condition(self, table: _Table, after: Any = None) -> str:
        everything = '""' if table.text_keys else str(-(2**63) + 1)
        parts = [f"{schemas.ID} >= {everything}"]
        if self.start is not None:
            parts = [f"{schemas.ID} >= {table.literal(self.start)}"]
        if after is not None:
            parts = [f"{schemas.ID} > {table.literal(after)}"]
        if self.stop is not None:
            parts.append(f"{schemas.ID} < {table.literal(self.stop)}")
        return " and ".join(parts)


def _table(connection: Connection, name: str) -> _Table:
    with connection.explained(f"describe {name}"):
        fields = connection.client.describe_collection(name, timeout=connection.timeout)["fields"]
    # What a function of the server computes (BM25's sparse vectors) was not sent.
    kept = [field for field in fields if not field.get("is_function_output")]
    dim = max([int(field["params"].get("dim", 1)) for field in kept], default=1)
    key = next(field for field in kept if field.get("is_primary"))
    return _Table(
        connection,
        name,
        [field["name"] for field in kept],
        key["type"].name == "VARCHAR",
        min(MAX_PAGE, max(1, _PAGE_BYTES // (dim * 4))),
    )


def _ranges(expected: np.ndarray | None, page: int) -> list[_Range]:
    """Cut all keys into ranges that hold about a page each."""
    cuts = [] if expected is None else expected[page::page].tolist()
    return [_Range(*pair) for pair in zip([None, *cuts], [*cuts, None], strict=True)]


def _rows_in(table: _Table, part: _Range) -> Iterator[Rows]:
    """Yield all rows of a range: at once if they fit, else page by page."""
    if part.start is not None or part.stop is not None:
        try:
            rows = table.query(part.condition(table))
        except MeasurementError:
            pass  # there are more rows than expected, and the answer grew too large
        else:
            yield from [rows] if rows else []
            return
    last = None
    # "reduce_stop_for_best" makes the proxy merge the segments so that nothing smaller than the
    # last key is left out of a page: pymilvus's query iterator rests on the same.
    limits = {"limit": table.page, "iterator": True, "reduce_stop_for_best": True}
    while rows := table.query(part.condition(table, last), limits):
        keys = key_array(rows[schemas.ID])
        if (keys[1:] < keys[:-1]).any():
            raise MeasurementError(
                "the server does not return rows in order of the primary key, so pages may overlap",
                where=f"{table.connection.endpoint.name}: collection {table.name}",
            )
        yield rows
        last = keys[-1]


def _query(
    connection: Connection,
    name: str,
    condition: str,
    *,
    fields: list[str],
    parameters: Mapping[str, Any] | None = None,
) -> Any:
    from pymilvus.grpc_gen import common_pb2  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen.milvus_pb2 import QueryRequest  # noqa: PLC0415

    request = QueryRequest(
        db_name=connection.endpoint.database,
        collection_name=name,
        expr=condition,
        output_fields=fields,
        query_params=[
            common_pb2.KeyValuePair(key=key, value=str(value))
            for key, value in (parameters or {}).items()
        ],
        consistency_level=common_pb2.Strong,
        use_default_consistency=False,
    )
    return connection.wire.call(
        "Query", request, doing=f"read rows of {name}", timeout=_TIMEOUT_SECONDS
    )
