"""What a server says of a database, without what changes by itself: numbers, states, times."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from validation.errors import MilvusKitError
from validation.milvus.connection import Connection
from validation.milvus.objects import root_of
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.target import Storage
from validation.upgrade.document import Collection, Objects, Partition

DYNAMIC = "$meta"
_VOLATILE = frozenset(
    {"collection_id", "created_timestamp", "update_timestamp", "num_partitions", "aliases"}
    | {"collection_name", "consistency_level", "enable_namespace", "schema_version", "num_shards"}
)
"""Of a described collection: numbers that a restored one has of its own, what is told elsewhere,
and what later servers and clients add."""
_PROGRESS = frozenset(
    {"total_rows", "indexed_rows", "pending_index_rows", "state", "index_state_fail_reason"}
)


def collections(connection: Connection) -> list[str]:
    """Return the names of a database's collections, sorted."""
    with connection.explained("list collections"):
        return sorted(connection.client.list_collections(timeout=connection.timeout))


def collection(connection: Connection, name: str) -> tuple[Collection, list[dict[str, Any]]]:
    """Return what the server says of a collection, and its fields for who reads its rows."""
    client, limit = connection.client, connection.timeout
    with connection.explained(f"describe {name}"):
        said = dict(client.describe_collection(name, timeout=limit))
        indexes = {
            index: dict(client.describe_index(name, index, timeout=limit) or {})
            for index in sorted(client.list_indexes(name, timeout=limit))
        }
        partitions = sorted(client.list_partitions(name, timeout=limit))
    schema = {key: _plain(value) for key, value in said.items() if key not in _VOLATILE}
    schema["shards"] = said.get("num_shards")
    schema["consistency"] = said.get("consistency_level_name")
    # Milvus refuses to be asked of one partition where a key of the rows chooses it.
    if any(field.get("is_partition_key") for field in said["fields"]):
        schema["partitions"] = len(partitions)
        partitions = [""]
    made = Collection(
        described=schema,
        indexes={index: _index(one) for index, one in indexes.items()},
        aliases=sorted(said.get("aliases", ())),  # 2.3.3 has no call to list them
        partitions={partition: Partition() for partition in partitions},
        served=is_loaded(connection, name),
    )
    fields = list(said["fields"])
    if said.get("enable_dynamic_field"):
        fields.append({"name": DYNAMIC, "type": _Named("JSON"), "params": {}})
    return made, fields


def is_loaded(connection: Connection, name: str) -> bool:
    """Return whether a collection can be read."""
    with connection.explained(f"ask whether {name} is loaded"):
        state = connection.client.get_load_state(name, timeout=connection.timeout)
    return state["state"].name == "Loaded"


def release(connection: Connection, name: str) -> None:
    """Release a collection, which cannot be read then."""
    with connection.explained(f"release {name}"):
        connection.client.release_collection(name, timeout=connection.timeout)


def access(connection: Connection) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return users with their roles, and roles with their privileges."""
    client, limit = connection.client, connection.timeout
    with connection.explained("list users and roles"):
        users = {
            user: sorted(client.describe_user(user, timeout=limit).get("roles", ()))
            for user in sorted(client.list_users(timeout=limit))
        }
        roles = {
            role: sorted(
                " ".join(f"{key}={one[key]}" for key in sorted(one) if key != "role_name")
                for one in client.describe_role(role, timeout=limit).get("privileges", ())
            )
            for role in sorted(client.list_roles(timeout=limit))
        }
    return users, roles


def objects(storage: Storage, number: int) -> Objects:
    """Return how many objects of which kind Milvus keeps in its bucket.

    Args:
        storage: The storage contract; keys that may list the bucket are enough.
        number: Of a collection, to find the prefix by where it is not declared; 0 for none.
    """
    found = Objects()
    try:
        with translated(storage):
            client = connect(storage)
            root = storage.root_path
            if root is None:
                root = root_of(client, storage.bucket, number)
            if root is None:
                return Objects(not_read="below which prefix Milvus keeps its objects is not known")
            prefix = f"{root.strip('/')}/".lstrip("/")
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=storage.bucket, Prefix=prefix
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    kind = item["Key"].removeprefix(prefix).partition("/")[0]
                    found.objects[kind] = found.objects.get(kind, 0) + 1
                    found.bytes[kind] = found.bytes.get(kind, 0) + int(item["Size"])
    except MilvusKitError as error:
        return Objects(not_read=error.sentence().partition("\n")[0])
    return found


class _Named(str):
    """A type that is named, as pymilvus's are."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self)


def _index(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in said.items() if key not in _PROGRESS}


def _plain(value: Any) -> Any:
    """Return what pymilvus says as plain data of JSON."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
