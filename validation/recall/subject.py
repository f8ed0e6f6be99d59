"""A collection of the user's as its server describes it. It is only looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast, get_args

from validation.datasets.model import Metric
from validation.errors import UnsupportedError, UsageError
from validation.milvus import reading
from validation.milvus.connection import Connection
from validation.target import is_lite_file

KIND = "FLOAT_VECTOR"
_NOT_PARAMETERS = (
    *("index_type", "metric_type", "field_name", "index_name", "total_rows", "indexed_rows"),
    *("pending_index_rows", "state", "index_state_fail_reason", "min_index_version"),
    "max_index_version",
)
_OF_A_FILE = (
    "a file of Milvus Lite has nothing loaded when it is opened: serve it with `milvus-lite server"
    " --data-dir FILE`, load the collection there, and give that server's address"
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        fields: As the server describes them.
        key: Field of the primary key.
        vector: Field of the vectors.
        dim: Their dimension.
        metric: How they are compared.
        index: Milvus's ``index_type``.
        build: Parameters that it was built with.
    """

    connection: Connection
    name: str
    fields: tuple[Mapping[str, Any], ...]
    key: str
    vector: str
    dim: int
    metric: Metric
    index: str
    build: Mapping[str, Any]

    @property
    def where(self) -> str:
        """Where it is, for errors."""
        return f"{self.connection.endpoint.name}: collection {self.name}"

    def table(self, *columns: str, condition: str = "") -> reading.Table:
        """Return how some of its columns are read, the primary key among them."""
        return reading.table_of(
            self.connection, self.name, self.fields, columns=columns, condition=condition
        )


def subject_of(connection: Connection, name: str, field: str | None = None) -> Subject:
    """Return what a collection is.

    Args:
        connection: An open connection to the server.
        name: Of the collection, or an alias.
        field: Which vectors, if it has several.

    Raises:
        UsageError: There is no such collection or field, or it is not loaded.
        UnsupportedError: Its vectors or their metric are none that can be compared here.
    """
    client, patience = connection.client, connection.timeout
    where = f"{connection.endpoint.name}: collection {name}"
    with connection.explained(f"look for collection {name}"):
        there = client.list_collections(timeout=patience)
        known = name in there or client.has_collection(name, timeout=patience)
    if not known:
        raise UsageError(
            f"there is no such collection in database {connection.endpoint.database}",
            where=where,
            seen=sorted(there)[:20],
            remedy="give one that is there, or the target's database",
        )
    described = reading.described(connection, name)
    fields = tuple(described["fields"])
    vector = _vectors(fields, field, where)
    with connection.explained(f"look up the index of {name}"):
        state = client.get_load_state(name, timeout=patience)["state"].name
        indexes = client.list_indexes(name, field_name=vector["name"], timeout=patience)
        index = client.describe_index(name, indexes[0], timeout=patience) if indexes else None
    if state != "Loaded":
        raise UsageError(
            "the collection is not loaded, and this command changes nothing",
            where=where,
            seen=state,
            remedy=_OF_A_FILE
            if is_lite_file(connection.target.milvus.uri)
            else "load it as your service does, then run this again",
        )
    if index is None:
        raise UnsupportedError(
            "the vectors have no index, so the server does not say how it compares them",
            where=f"{where}, field {vector['name']}",
            remedy="build the index that your service searches",
        )
    metric = str(index.get("metric_type", "")).upper()
    if metric not in get_args(Metric):
        raise UnsupportedError(
            "the vectors are compared by a metric that is not computed here",
            where=f"{where}, field {vector['name']}",
            seen=metric,
            remedy=f"measured are {', '.join(get_args(Metric))}",
        )
    return Subject(
        connection,
        name,
        fields,
        next(one["name"] for one in fields if one.get("is_primary")),
        vector["name"],
        int(vector["params"]["dim"]),
        cast("Metric", metric),
        str(index.get("index_type", "")),
        {key: value for key, value in index.items() if key not in _NOT_PARAMETERS},
    )


def _vectors(
    fields: tuple[Mapping[str, Any], ...], wanted: str | None, where: str
) -> Mapping[str, Any]:
    """Return the field of the vectors that are meant."""
    vectors = {one["name"]: one for one in fields if one["type"].name.endswith("VECTOR")}
    names = [wanted] if wanted else [n for n, one in vectors.items() if one["type"].name == KIND]
    if len(names) != 1 or names[0] not in vectors:
        raise UsageError(
            "there is no such field of vectors" if wanted else "which vectors are meant?",
            where=where,
            seen=wanted or sorted(vectors),
            remedy=f"name one with --field: {', '.join(sorted(vectors)) or 'there is none'}",
        )
    found = vectors[names[0]]
    if found["type"].name != KIND:
        raise UnsupportedError(
            f"recall is measured of {KIND} fields",
            where=f"{where}, field {names[0]}",
            seen=found["type"].name,
            remedy="give a field of that type",
        )
    if found.get("nullable"):
        raise UnsupportedError(
            "recall is not measured of vectors that may be NULL",
            where=f"{where}, field {names[0]}",
            remedy="give a field that always has a vector",
        )
    return found
