"""What of a collection lies in the bucket: the objects Milvus keeps of it, by what they are.

Milvus lays its objects out by numbers of its own::

    ROOT/insert_log/COLLECTION/PARTITION/SEGMENT/FIELD/LOG
    ROOT/stats_log/COLLECTION/PARTITION/SEGMENT/FIELD/LOG
    ROOT/index_files/BUILD/VERSION/PARTITION/SEGMENT/FILE

so a collection's index files are found by its partitions.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import botocore.exceptions as boto

from validation.common.stores import ROOT_PATH
from validation.errors import MeasurementError
from validation.milvus.connection import Connection
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.target import Storage

KINDS = ("insert_log", "stats_log", "index_files")
_MAX_OBJECTS = 1_000_000
_MAX_PREFIXES, _DEPTH = 200, 3
_NAME_IT = "name the prefix in the target: Milvus's minio.rootPath"
_MILVUS_FOLDERS = frozenset({*KINDS, "delta_log", "index_log", "wp", "stats"})


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
    """Count what the bucket holds of a collection.

    Args:
        connection: Milvus, which knows the collection's number.
        name: Of the collection.
        storage: The storage contract; keys that may list the bucket are enough.

    Raises:
        ConfigurationError: The bucket is not there.
        UnreachableError: The store does not answer.
        CredentialsError: It refuses the keys.
        MeasurementError: The listing has no end in sight, or nothing of the collection lies below
            any prefix, and the target names none.
    """
    number, stored = listed(connection, name, storage)
    found = Inventory(number, dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), {})
    for one in stored:
        found.objects[one.kind] += 1
        found.bytes[one.kind] += one.size
        found.examples.setdefault(one.kind, one.key)
    return found


def listed(connection: Connection, name: str, storage: Storage) -> tuple[int, list[Stored]]:
    """Return a collection's number and each of its objects; the same errors as `inventory`.

    Where the target does not say below which prefix Milvus keeps its objects, they are looked for.
    """
    with connection.explained(f"describe {name}"):
        described = connection.client.describe_collection(name, timeout=connection.timeout)
    number = int(described["collection_id"])
    with translated(storage):
        client = connect(storage)
        root = storage.root_path
        if root is None:
            root = root_of(client, storage.bucket, number)
        if root is None:
            raise MeasurementError(
                "the collection lies below none of the prefixes of the bucket that were looked at",
                where="storage.root_path",
                remedy=_NAME_IT,
            )
        found = _of_collection(client, storage, root, number)
        if not found and storage.root_path is not None:
            _refuse_elsewhere(client, storage, number)
    return number, found


def _of_collection(client: Any, storage: Storage, root: str, number: int) -> list[Stored]:
    found: list[Stored] = []
    partitions: set[str] = set()
    for kind in KINDS[:2]:
        for key, size in _objects(client, storage, root, f"{kind}/{number}/"):
            partitions.add(key.split(f"/{number}/", 1)[1].split("/")[0])
            found.append(Stored(kind, key, size))
    for key, size in _objects(client, storage, root, "index_files/"):
        if key.split("index_files/", 1)[1].split("/")[2:3] in [[one] for one in partitions]:
            found.append(Stored("index_files", key, size))
    return found


def _refuse_elsewhere(client: Any, storage: Storage, number: int) -> None:
    """Tell a place that was named wrong from rows that are not in the bucket.

    Raises:
        MeasurementError: The collection lies below another prefix.
    """
    root = root_of(client, storage.bucket, number)
    if root is not None:
        places = [f"below {one}/" if one else "at the root" for one in (storage.root, root)]
        raise MeasurementError(
            f"the target says that Milvus keeps its objects {places[0]} of the bucket, and this"
            f" collection lies {places[1]}",
            where="storage.root_path",
            seen=storage.root_path,
            remedy=f"write storage.root_path: {root or repr(root)}, Milvus's minio.rootPath",
        )


def root_of(client: Any, bucket: str, number: int) -> str | None:
    """Return the prefix below which a bucket holds a collection's rows; None if it holds none.

    Prefixes are looked at down to a depth; what may not be listed is passed over.

    Args:
        client: Of boto3.
        bucket: The bucket.
        number: The collection's, which no other collection of any Milvus has: it is a timestamp.

    Raises:
        MeasurementError: There are too many prefixes to look through.
    """
    waiting = collections.deque([(f"{ROOT_PATH}/", 1), ("", 0)])
    looked: set[str] = set()
    while waiting:
        prefix, depth = waiting.popleft()
        if prefix in looked:
            continue
        looked.add(prefix)
        if len(looked) > _MAX_PREFIXES:
            raise MeasurementError(
                f"it lies below none of the first {_MAX_PREFIXES} prefixes of the bucket",
                where="storage.root_path",
                remedy=_NAME_IT,
            )
        with contextlib.suppress(boto.ClientError):
            below = f"{prefix}{KINDS[0]}/{number}/"
            if client.list_objects_v2(Bucket=bucket, Prefix=below, MaxKeys=1).get("Contents"):
                return prefix.strip("/")
            if depth < _DEPTH:
                waiting += [(one, depth + 1) for one in _folders(client, bucket, prefix)]
    return None


def _folders(client: Any, bucket: str, prefix: str) -> list[str]:
    """Return the prefixes right below one, without those in which Milvus keeps its own objects."""
    page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
    found = [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    return [one for one in found if one.rstrip("/").rpartition("/")[2] not in _MILVUS_FOLDERS]


def of_segments(stored: Iterable[Stored], segments: Collection[str]) -> list[Stored]:
    """Return what a load of these segments reads: of each, its rows and the newest build's files.

    A segment that was compacted and the files of an index that was dropped stay in the bucket until
    Milvus collects its garbage. Builds are numbered in the order in which they were ordered.

    Args:
        stored: As `listed` returns them.
        segments: Numbers of the segments that are loaded.
    """
    live = [one for one in stored if segment_of(one) in segments]
    newest: dict[str, int] = {}
    for one in live:
        if one.kind == "index_files":
            newest[segment_of(one)] = max(newest.get(segment_of(one), 0), build_of(one))
    return [
        one for one in live if one.kind != "index_files" or build_of(one) == newest[segment_of(one)]
    ]


def segment_of(one: Stored) -> str:
    """Return the number of the segment that an object belongs to; empty if its key names none."""
    return _part(one, 3 if one.kind == "index_files" else 2)


def field_of(one: Stored) -> str:
    """Return the number of the field that an object of a log is about; empty if it names none."""
    return _part(one, 3)


def _part(one: Stored, at: int) -> str:
    below = one.key.rpartition(f"{one.kind}/")[2].split("/")
    return below[at] if len(below) > at else ""


def build_of(one: Stored) -> int:
    """Return the number of the build that a file of an index came of."""
    return int(one.key.rpartition("index_files/")[2].split("/")[0])


def require_bucket(storage: Storage) -> None:
    """Make sure that the bucket is there and may be listed.

    Raises:
        ConfigurationError: It is not there, or the keys are not declared.
        UnreachableError: The store does not answer.
        CredentialsError: It refuses the keys.
    """
    with translated(storage):
        connect(storage).list_objects_v2(Bucket=storage.bucket, Prefix=storage.root, MaxKeys=1)


def _objects(client: Any, storage: Storage, root: str, below: str) -> Iterator[tuple[str, int]]:
    prefix = f"{root}/{below}".lstrip("/")
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
