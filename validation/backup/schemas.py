"""What a server says of a collection, whole enough to make it again, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from validation.backup import columns, files
from validation.backup.document import Collection
from validation.errors import CredentialsError, MeasurementError, UnsupportedError
from validation.milvus.connection import Connection
from validation.upgrade import described

_DEFAULT_GROUP = "__default_resource_group"


def described_by(connection: Connection, name: str, *, whole: bool) -> Collection:
    """Return what a server says of a collection, in its own messages: nothing is left out.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        whole: Whether the collection is made again by this alone, so that nothing may be unknown.

    Raises:
        UnsupportedError: The schema holds what pymilvus does not know.
    """
    from google.protobuf import json_format  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415

    database, doing = connection.endpoint.database, f"describe {name}"
    said = connection.wire.call(
        "DescribeCollection",
        milvus_pb2.DescribeCollectionRequest(db_name=database, collection_name=name),
        doing=doing,
    )
    unknown = _unknown(said.schema, "schema")
    if whole and unknown:
        raise UnsupportedError(
            "the schema holds what this version of pymilvus does not know, and would lose it",
            where=name,
            seen=f"{unknown[0]} of a later Milvus",
            remedy="update milvus-kit",
        )
    with connection.explained(doing):
        names = connection.client.list_indexes(name, timeout=connection.timeout)
    indexes = []
    for index in sorted(names):
        asked = milvus_pb2.DescribeIndexRequest(
            db_name=database, collection_name=name, index_name=index
        )
        (one,) = connection.wire.call(
            "DescribeIndex", asked, doing=f"describe index {index} of {name}"
        ).index_descriptions
        parameters = {pair.key: pair.value for pair in one.params}
        indexes.append({"name": index, "field": one.field_name, "parameters": parameters})
    replicas, groups = _replicas(connection, name, said.collectionID)
    schema = json_format.MessageToDict(said.schema, preserving_proto_field_name=True)
    return Collection(
        schema=schema,
        settings={
            "shards_num": said.shards_num,
            "consistency_level": said.consistency_level,
            "num_partitions": said.num_partitions,
            "replicas": replicas,
            "resource_groups": groups,
        },
        properties={pair.key: pair.value for pair in said.properties},
        indexes=indexes,
        aliases=[],
        partitions={},
        loaded=False,
    )


def _replicas(connection: Connection, name: str, number: int) -> tuple[int, int]:
    """Return how often a collection is loaded, and into how many resource groups of a name."""
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

    if connection.is_lite or not described.is_loaded(connection, name):
        return 0, 0
    asked = milvus_pb2.GetReplicasRequest(collectionID=number, db_name=connection.endpoint.database)
    try:
        answer = connection.wire.call("GetReplicas", asked, doing=f"ask for the replicas of {name}")
    except (
        MeasurementError,
        CredentialsError,
    ):  # who may read rows need not be allowed to ask for this
        return 0, 0
    groups = {one.resource_group_name for one in answer.replicas} - {"", _DEFAULT_GROUP}
    return len(answer.replicas), len(groups)


def _unknown(message: Any, at: str) -> list[str]:
    """Return where a message holds fields that its definition does not know, by path and number."""
    from google.protobuf.message import Message  # noqa: PLC0415  (slow to import)
    from google.protobuf.unknown_fields import UnknownFieldSet  # noqa: PLC0415

    found = [f"{at}.{one.field_number}" for one in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        several: Any = [value] if isinstance(value, Message) else value
        for one in several.values() if hasattr(several, "values") else several:
            if isinstance(one, Message):
                found += _unknown(one, f"{at}.{field.name}")
    return found


def fields_of(made: Collection, *, where: str) -> files.Fields:
    """Return how the rows of a collection are kept.

    Args:
        made: What a server said of it.
        where: Its name, for the error.

    Raises:
        UnsupportedError: It cannot be made again by inserting rows: its keys are the server's own,
            its rows lie elsewhere, or a field has a type that is not backed up.
    """
    schema, kept, key = made.schema_, {}, ""
    why = ""
    if schema.get("struct_array_fields"):
        why = "it has arrays of structs, which are not backed up"
    elif schema.get("external_source"):
        why = "its rows lie outside of Milvus"
    why = why or _computed_elsewhere(schema)
    for field in schema["fields"]:
        name, kind = field["name"], str(field["data_type"])
        key = name if field.get("is_primary_key") else key
        if field.get("autoID"):
            why = f"Milvus itself makes its keys ({name}): rows that are inserted get others"
        if field.get("is_function_output"):
            continue
        if kind not in columns.KINDS:
            why = f"field {name} is of a type that is not backed up: {kind}"
            continue
        parameters = {one["key"]: one["value"] for one in field.get("type_params", ())}
        dim, element = int(parameters.get("dim", 0)), str(field.get("element_type", ""))
        kept[name] = columns.field_of(kind, name, dim=dim, element=element)
    if schema.get("enable_dynamic_field"):
        kept[described.DYNAMIC] = columns.field_of("JSON", described.DYNAMIC)
    if why:
        raise UnsupportedError(
            f"this collection cannot be backed up: {why}",
            where=where,
            remedy="name the others with --collection; milvus-backup copies Milvus's own files",
        )
    nullable = frozenset(one["name"] for one in schema["fields"] if one.get("nullable"))
    return files.Fields(key, kept, nullable, where)


def _computed_elsewhere(schema: Mapping[str, Any]) -> str:
    """Return that a function but BM25 fills fields, by models and settings that are not kept."""
    for function in schema.get("functions", ()):
        kind = str(function.get("type", "Unknown"))
        if kind != "BM25":
            outputs = ", ".join(function.get("output_field_names", ()))
            return (
                f"nothing vouches for what function {function.get('name')} ({kind}) computes"
                f" ({outputs})"
            )
    return ""
