"""Read every row of a collection, with strong consistency, as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from validation.datasets.model import Column, key_array, literal
from validation.errors import MeasurementError
from validation.milvus.columns import from_message
from validation.milvus.connection import Connection

Rows = dict[str, Column]
Result = TypeVar("Result")

MAX_PAGE = 16_384  # Milvus's largest limit of a query
_PAGE_BYTES = 16 << 20
"""Of vectors in an answer."""
_LARGEST_BYTES = 48 << 20
"""Of everything in an answer, if every string were as long as its field allows: below gRPC's limit
of 64 MiB, which a proxy or whatever stands before it may keep to, and below Milvus's own of 100."""
_HEAD = 16
_UNBOUNDED = frozenset({"JSON", "GEOMETRY", "TEXT"})
_LARGEST_VALUE = 64 << 10
"""Of what has no length in the schema: Milvus's limit of a dynamic field and of JSON."""
_LOWEST_NAMED = -(2**63) + 1
"""Lowest integer that a filter can name: Milvus reads the sign apart from the digits."""
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
    table = table_of(connection, name, described(connection, name)["fields"])
    with ThreadPoolExecutor(_READERS) as pool:
        jobs = [
            pool.submit(lambda part=part: [use(rows) for rows in table.rows(part)])
            for part in _ranges(expected, max(1, table.page - 1))
        ]
        return [result for job in jobs for result in job.result()]


def lookup(connection: Connection, name: str, keys: np.ndarray) -> Rows:
    """Return the rows with these primary keys, by field name; empty if there are none.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        keys: Int64 or strings, shape (n,), n at most some hundreds.
    """
    table = table_of(connection, name, described(connection, name)["fields"])
    return table.query(table.any_of(keys.tolist()))


def count(connection: Connection, name: str, condition: str = "", *, partition: str = "") -> int:
    """Return how many rows the server counts, with strong consistency.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        condition: Which rows, in Milvus's filter language; all if empty.
        partition: Count these alone; all if left out.
    """
    answer = _query(connection, name, condition, fields=["count(*)"], partition=partition)
    return int(np.asarray(from_message(answer.fields_data[0]))[0])


@dataclasses.dataclass(frozen=True)
class Table:
    """A collection as it is read: which columns of which rows, and how many fit one answer.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        key: Field of the primary key.
        text_keys: Whether that is a VARCHAR.
        columns: Fields that are read.
        page: Most rows in an answer.
        condition: Which rows, in Milvus's filter language; all if empty.
        partition: Of these alone; of all if left out.
        decoded: Makes a column of the message that the server sent.
    """

    connection: Connection
    name: str
    key: str
    text_keys: bool
    columns: tuple[str, ...]
    page: int
    condition: str = ""
    partition: str = ""
    decoded: Callable[[Any], Any] = from_message

    def literal(self, key: Any) -> str:
        """Return a primary key in Milvus's filter language."""
        return literal(str(key) if self.text_keys else int(key))

    def any_of(self, keys: Sequence[Any]) -> str:
        """Return the condition that a row has one of some primary keys."""
        return f"{self.key} in [{', '.join(self.literal(key) for key in keys)}]"

    def query(self, condition: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Return the columns of the rows that match; empty if there are none."""
        answer = _query(
            self.connection,
            self.name,
            f"({self.condition}) and {condition}" if self.condition else condition,
            fields=list(self.columns),
            parameters=parameters,
            partition=self.partition,
        )
        found = {field.field_name: self.decoded(field) for field in answer.fields_data}
        if not len(found.get(self.key, ())):
            return {}
        return {name: found[name] for name in self.columns}

    def rows(self, part: Range) -> Iterator[Rows]:
        """Yield the rows of a range: at once if they are less than a page, else page by page."""
        rows = self.query(part.condition(self), {"limit": self.page})
        if not rows or len(rows[self.key]) < self.page:
            yield from self._lowest(part)
            yield from [rows] if rows else []
        else:
            yield from self.pages(part)

    def pages(self, part: Range, after: Any = None) -> Iterator[Rows]:
        """Yield the rows of a range page by page, in order of the primary key.

        A page that is not full need not be the last: Milvus ends one where a segment ends.

        Args:
            part: The range.
            after: Begin after this key of it.

        Raises:
            MeasurementError: The server does not keep that order.
        """
        if after is None:
            yield from self._lowest(part)
        last = after
        # "reduce_stop_for_best" makes the proxy merge the segments so that nothing smaller than
        # the last key is left out of a page: pymilvus's query iterator rests on the same.
        limits = {"limit": self.page, "iterator": True, "reduce_stop_for_best": True}
        while rows := self.query(part.condition(self, last), limits):
            keys = key_array(rows[self.key])
            if (keys[1:] < keys[:-1]).any():
                raise MeasurementError(
                    "the server does not return rows in order of the primary key, so pages may"
                    " overlap",
                    where=f"{self.connection.endpoint.name}: collection {self.name}",
                )
            yield rows
            last = keys[-1]

    def _lowest(self, part: Range) -> Iterator[Rows]:
        """Yield the row of the key -2^63, if it is there and in the range."""
        if part.start is None and not self.text_keys:
            rows = self.query(f"{self.key} < {_LOWEST_NAMED}", {"limit": self.page})
            yield from [rows] if rows else []


@dataclasses.dataclass(frozen=True)
class Range:
    """Primary keys from one that is included, or the first, to one that is not, or the last."""

    start: Any = None
    stop: Any = None

    def condition(self, table: Table, after: Any = None) -> str:
        """Return it in Milvus's filter language, from after a key on if one is given."""
        everything = '""' if table.text_keys else str(_LOWEST_NAMED)
        parts = [f"{table.key} >= {everything}"]
        if self.start is not None:
            parts = [f"{table.key} >= {table.literal(self.start)}"]
        if after is not None and (table.text_keys or int(after) >= _LOWEST_NAMED):
            parts = [f"{table.key} > {table.literal(after)}"]
        if self.stop is not None:
            parts.append(f"{table.key} < {table.literal(self.stop)}")
        return " and ".join(parts)


def table_of(
    connection: Connection,
    name: str,
    fields: Sequence[Mapping[str, Any]],
    *,
    columns: Sequence[str] | None = None,
    condition: str = "",
) -> Table:
    """Return how a collection is read.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        fields: As the server describes them.
        columns: Which of them are read; if left out, all that were sent. The primary key is read
            in any case.
        condition: Which rows, in Milvus's filter language; all if empty.
    """
    key = next(field for field in fields if field.get("is_primary"))
    # What a function of the server computes (BM25's sparse vectors) was not sent.
    wanted = [
        field
        for field in fields
        if field is key
        or (
            field["name"] in columns if columns is not None else not field.get("is_function_output")
        )
    ]
    usual = max([4 * int(field["params"].get("dim", 1)) for field in wanted])
    most = sum(_most_bytes(field) for field in wanted)
    return Table(
        connection,
        name,
        key["name"],
        key["type"].name == "VARCHAR",
        tuple(field["name"] for field in wanted),
        min(MAX_PAGE, max(1, min(_PAGE_BYTES // usual, _LARGEST_BYTES // most))),
        condition,
    )


def described(connection: Connection, name: str) -> dict[str, Any]:
    """Return what the server says of a collection."""
    with connection.explained(f"describe {name}"):
        return dict(connection.client.describe_collection(name, timeout=connection.timeout))


def _most_bytes(field: Mapping[str, Any]) -> int:
    """Return the most bytes that a value of a field can take in an answer."""
    params = field["params"]
    if field["type"].name in _UNBOUNDED:
        return _LARGEST_VALUE
    one = int(params.get("max_length", 0)) + 4 * int(params.get("dim", 0)) + _HEAD
    return one * int(params.get("max_capacity", 1))


def _ranges(expected: np.ndarray | None, page: int) -> list[Range]:
    """Cut all keys into ranges that hold about a page each."""
    cuts = [] if expected is None else expected[page::page].tolist()
    return [Range(*pair) for pair in zip([None, *cuts], [*cuts, None], strict=True)]


def _query(
    connection: Connection,
    name: str,
    condition: str,
    *,
    fields: list[str],
    parameters: Mapping[str, Any] | None = None,
    partition: str = "",
) -> Any:
    from pymilvus.grpc_gen import common_pb2  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen.milvus_pb2 import QueryRequest  # noqa: PLC0415

    request = QueryRequest(
        db_name=connection.endpoint.database,
        collection_name=name,
        partition_names=[partition] if partition else [],
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
