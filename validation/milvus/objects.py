"""What of a collection lies in the bucket: the objects Milvus keeps of it, by what they are.

Milvus lays its objects out by numbers of its own::

    ROOT/insert_log/COLLECTION/PARTITION/SEGMENT/FIELD/LOG
    ROOT/stats_log/COLLECTION/PARTITION/SEGMENT/FIELD/LOG
    ROOT/index_files/BUILD/VERSION/PARTITION/SEGMENT/FILE

so a collection's index files are found by its partitions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator

from validation.errors import MeasurementError
from validation.milvus.connection import Connection
from validation.s3.client import connect
from validation.s3.failures import translated
from validation.target import Storage

KINDS = ("insert_log", "stats_log", "index_files")
_MAX_OBJECTS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Inventory:
    """Objects and bytes of one collection, by kind."""

    collection_id: int
    objects: dict[str, int]
    bytes: dict[str, int]
    examples: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Stored:
    """One object: its kind, key and size in bytes."""

    kind: str
    key: str
    size: int


def inventory(connection: Connection, name: str, storage: Storage) -> Inventory:
    """List what the bucket holds of a collection.

    Args:
        connection: Milvus, which knows the collection's number.
        name: Of the collection.
        storage: The storage contract; keys that may list the bucket are enough.

    Raises:
        ConfigurationError: The bucket is not there.
        UnreachableError: The store does not answer.
        CredentialsError: It refuses the keys.
        MeasurementError: The listing has no end in sight.
    """
    number, stored = listed(connection, name, storage)
    found = Inventory(number, dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), {})
    for one in stored:
        found.objects[one.kind] += 1
        found.bytes[one.kind] += one.size
        found.examples.setdefault(one.kind, one.key)
    return found


def listed(connection: Connection, name: str, storage: Storage) -> tuple[int, list[Stored]]:
    """Return a collection's number and each of its objects; the same errors as `inventory`."""
    with connection.explained(f"describe {name}"):
        described = connection.client.describe_collection(name, timeout=connection.timeout)
    number = int(described["collection_id"])
    found: list[Stored] = []
    partitions: set[str] = set()
    with translated(storage):
        client = connect(storage)
        for kind in KINDS[:2]:
            for key, size in _objects(client, storage, f"{kind}/{number}/"):
                partitions.add(key.split(f"/{number}/", 1)[1].split("/")[0])
                found.append(Stored(kind, key, size))
        for key, size in _objects(client, storage, "index_files/"):
            if key.split("index_files/", 1)[1].split("/")[2:3] in [[one] for one in partitions]:
                found.append(Stored("index_files", key, size))
    return number, found


def of_segments(stored: Iterable[Stored], segments: Collection[str]) -> list[Stored]:
    """Return what a load of these segments reads: of each, its rows and the newest build's files.

    A segment that was compacted and the files of an index that was dropped stay in the bucket until
    Milvus collects its garbage. Builds are numbered in the order in which they were ordered.

    Args:
        stored: As `listed` returns them.
        segments: Numbers of the segments that are loaded.
    """
    live = [one for one in stored if _segment(one) in segments]
    newest: dict[str, int] = {}
    for one in live:
        if one.kind == "index_files":
            newest[_segment(one)] = max(newest.get(_segment(one), 0), _build(one))
    return [
        one for one in live if one.kind != "index_files" or _build(one) == newest[_segment(one)]
    ]


def _segment(one: Stored) -> str:
    below = one.key.rpartition(f"{one.kind}/")[2].split("/")
    at = 3 if one.kind == "index_files" else 2
    return below[at] if len(below) > at else ""


def _build(one: Stored) -> int:
    return int(one.key.rpartition("index_files/")[2].split("/")[0])


def require_bucket(storage: Storage) -> None:
    """Make sure that the bucket is there and may be listed.

    Raises:
        ConfigurationError: It is not there, or the keys are not declared.
        UnreachableError: The store does not answer.
        CredentialsError: It refuses the keys.
    """
    with translated(storage):
        connect(storage).list_objects_v2(
            Bucket=storage.bucket, Prefix=storage.root_path.strip("/"), MaxKeys=1
        )


def _objects(client, storage: Storage, below: str) -> Iterator[tuple[str, int]]:  # noqa: ANN001  (boto3's clients have no type)
    prefix = f"{storage.root_path.strip('/')}/{below}".lstrip("/")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket, Prefix=prefix)
    count = 0
    for page in pages:
        for item in page.get("Contents", ()):
            count += 1
            if count > _MAX_OBJECTS:
                raise MeasurementError(
                    f"there are more than {_MAX_OBJECTS:,} objects to look through",
                    where=f"{storage.endpoint}/{storage.bucket}/{prefix}",
                    remedy="validate on a bucket and root path of its own",
                )
            yield item["Key"], int(item["Size"])
