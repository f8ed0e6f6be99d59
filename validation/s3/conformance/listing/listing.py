"""Listings: how Milvus finds what it stored, and what garbage collection may delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.sax.saxutils import escape

from validation.s3.client.checksums import content_md5
from validation.s3.client.wire import Reply
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.workspace import Workspace

BY = "garbage collection, data coordinator"
_NAMES = ("a/1", "a/2", "a/deep/3", "b/4", "top")
_THREADS = 16


def filled(space: Workspace, names: Iterable[str]) -> str:
    """Write empty objects with these names into a fresh folder and return it."""
    folder = space.folder()
    keys = [space.key(name, folder=folder) for name in names]

    def put(key: str) -> None:
        space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"")

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(put, keys))
    return folder


def both(page: dict[str, Any], folder: str) -> tuple[list[str], list[str]]:
    """Return the keys and common prefixes of a page, without the folder."""
    keys = [entry["Key"].removeprefix(folder) for entry in page.get("Contents", ())]
    shared = [entry["Prefix"].removeprefix(folder) for entry in page.get("CommonPrefixes", ())]
    return keys, shared


def _listed(space: Workspace, folder: str, **asked: str) -> list[str]:
    """Return the keys of a folder as ListObjectsV2 names them, without the folder."""
    page = space.s3.list_objects_v2(**{"Bucket": space.bucket, "Prefix": folder, **asked})
    return both(page, folder)[0]


def _delimiter(space: Workspace, call: Callable[..., dict[str, Any]]) -> None:
    folder = filled(space, _NAMES)
    found = both(call(Bucket=space.bucket, Prefix=folder, Delimiter="/"), folder)
    require(found == (["top"], ["a/", "b/"]), "not one level of the tree", seen=found)


@check("listing.v2-delimiter", by=BY, breaks="segments are not found, or all are at once")
def v2_delimiter(space: Workspace) -> Evidence:
    """ListObjectsV2 with a delimiter shows one level of the tree."""
    _delimiter(space, space.s3.list_objects_v2)


@check(
    "listing.v1-delimiter", by="older Milvus and tools (list V1)", breaks="segments are not found"
)
def v1_delimiter(space: Workspace) -> Evidence:
    """ListObjects (V1) with a delimiter shows one level of the tree."""
    _delimiter(space, space.s3.list_objects)


@check("listing.prefix", by=BY, breaks="garbage collection sees what belongs to others")
def prefix(space: Workspace) -> Evidence:
    """A listing with a prefix holds every key below it and no other."""
    folder = filled(space, ("seg/1", "seg/2", "segment/3", "se"))
    found = _listed(space, folder, Prefix=f"{folder}seg/")
    require(found == ["seg/1", "seg/2"], "wrong keys below a prefix", seen=found[:10])


@check("listing.start-after", by="Woodpecker, backup", breaks="resumed listings skip or repeat")
def start_after(space: Workspace) -> Evidence:
    """ListObjectsV2 with StartAfter begins behind that key."""
    folder = filled(space, ("1", "2", "3"))
    found = _listed(space, folder, StartAfter=f"{folder}1")
    require(found == ["2", "3"], "does not begin behind the key", seen=found)


@check("listing.attributes", by=BY, breaks="young files are taken for old garbage, and deleted")
def attributes(space: Workspace) -> Evidence:
    """A listing tells each key's true size, ETag and time."""
    key = space.put(b"123456789")
    head = space.s3.head_object(Bucket=space.bucket, Key=key)
    entries = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=key).get("Contents", [])
    require(len(entries) == 1, "the object is not listed once", listed=len(entries))
    entry = entries[0]
    require(entry["Size"] == 9, "wrong size", seen=entry["Size"])  # noqa: PLR2004
    require(entry["ETag"] == head["ETag"], "another ETag than HEAD's", seen=entry["ETag"])
    apart = abs((entry["LastModified"] - head["LastModified"]).total_seconds())
    require(apart < 2, "another time than HEAD's", seconds=apart)  # noqa: PLR2004


def deleted(space: Workspace, keys: Iterable[str]) -> Reply:
    """Delete keys in one request, as minio-go does: it sends a Content-MD5."""
    inside = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    document = f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</Delete>'.encode()
    headers = {"content-md5": content_md5(document), "content-type": "application/xml"}
    reply = space.send("POST", query={"delete": ""}, body=document, headers=headers)
    require(reply.ok, f"answered {reply}")
    return reply


@check("listing.batch-delete", by="garbage collection (minio-go)", breaks="garbage is never freed")
def batch_delete(space: Workspace) -> Evidence:
    """DeleteObjects with Content-MD5 deletes every named key and no other."""
    folder = filled(space, ("1", "2", "3"))
    reply = deleted(space, [f"{folder}1", f"{folder}2", f"{folder}absent"])
    require(b"<Error>" not in reply.body, "an absent key is reported as an error")
    left = _listed(space, folder)
    require(left == ["3"], "not exactly the named keys are gone", left=left)


@check(
    "listing.batch-delete-checksum",
    by="AWS SDKs since 2025, among them the C++ client",
    breaks="deletes by these SDKs are refused",
    need=Need.OPERATION,
)
def batch_delete_checksum(space: Workspace) -> Evidence:
    """DeleteObjects with a CRC checksum instead of Content-MD5 is accepted."""
    folder = filled(space, ("1", "2"))
    objects = [{"Key": f"{folder}1"}, {"Key": f"{folder}2"}]
    answer = space.s3.delete_objects(Bucket=space.bucket, Delete={"Objects": objects})
    require(not answer.get("Errors"), "keys could not be deleted", errors=answer.get("Errors"))
    left = _listed(space, folder)
    require(left == [], "keys are still there", left=left)
