"""What is planted in the bucket itself: another place, an object that is gone, one too many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from validation.milvus import objects
from validation.milvus.connection import connect
from validation.milvus.objects import Stored
from validation.runs.profiles import Profile
from validation.s3.client.boto import connect as connect_store
from validation.target import Storage, Target

_NOBODY = "999999"
"""The number of a segment that is nobody's: Milvus's own are timestamps."""


@contextlib.contextmanager
def other_bucket(target: Target, _: Profile) -> Iterator[Target]:
    """Declare a bucket in which nothing is; of a wrong root path alone the right one is told."""
    storage = _storage(target)
    elsewhere = storage.model_copy(update={"bucket": f"{storage.bucket}-elsewhere"})
    store = connect_store(storage)
    store.create_bucket(Bucket=elsewhere.bucket)
    try:
        yield target.model_copy(update={"storage": elsewhere})
    finally:
        store.delete_bucket(Bucket=elsewhere.bucket)


@contextlib.contextmanager
def other_root_path(target: Target, _: Profile) -> Iterator[Target]:
    """Declare another prefix of the bucket than the one below which Milvus keeps its objects."""
    storage = _storage(target)
    elsewhere = storage.model_copy(update={"root_path": f"{storage.root}-elsewhere"})
    yield target.model_copy(update={"storage": elsewhere})


@contextlib.contextmanager
def lost_object(target: Target, _: Profile) -> Iterator[Target]:
    """Take an object with values away from each collection of generated rows, and put it back."""
    storage = _storage(target)
    store = connect_store(storage)
    taken: dict[str, bytes] = {}
    try:
        for one in _first_logs(target, storage):
            taken[one.key] = store.get_object(Bucket=storage.bucket, Key=one.key)["Body"].read()
            store.delete_object(Bucket=storage.bucket, Key=one.key)
        yield target
    finally:
        for key, body in taken.items():
            store.put_object(Bucket=storage.bucket, Key=key, Body=body)


@contextlib.contextmanager
def foreign_object(target: Target, _: Profile) -> Iterator[Target]:
    """Put an object of a segment of nobody's beside those of each collection of generated rows."""
    storage = _storage(target)
    store = connect_store(storage)
    put: list[str] = []
    try:
        for one in _first_logs(target, storage):
            key = one.key.replace(f"/{objects.segment_of(one)}/", f"/{_NOBODY}/")
            store.put_object(Bucket=storage.bucket, Key=key, Body=b"left behind")
            put.append(key)
        yield target
    finally:
        for key in put:
            store.delete_object(Bucket=storage.bucket, Key=key)


def _storage(target: Target) -> Storage:
    assert target.storage is not None  # noqa: S101  (the embedded stack always has a store)
    return target.storage


def _first_logs(target: Target, storage: Storage) -> Iterator[Stored]:
    """Yield an insert log of each of the kit's collections of generated rows."""
    with connect(target) as connection:
        for name in connection.client.list_collections():
            if name.startswith("mk_") and "generated" in name:
                stored = objects.listed(connection, name, storage)[1]
                yield from [one for one in stored if one.kind == "insert_log"][:1]
