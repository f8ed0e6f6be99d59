"""Single objects: what Milvus writes is what it reads, whole or in ranges."""

from __future__ import annotations

import random

import botocore.exceptions as boto

from validation.s3.client.failures import error_code, is_throttled, status_of
from validation.s3.conformance.model import Evidence, check, require
from validation.s3.workspace import Workspace

_SIZES = (1, 4_095, 65_537, 1_048_576)


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that no compression, padding or deduplication hides behind."""
    return random.Random(size * 31 + seed).randbytes(size)  # noqa: S311  (content, not a secret)


@check("objects.body", by="every role", breaks="rows and indexes come back damaged")
def body(space: Workspace) -> Evidence:
    """What is read is byte for byte what was written."""
    for size in _SIZES:
        content = noise(size)
        found = space.get(space.put(content))
        require(found == content, "a body came back changed", size=size, read=len(found), lost=True)
    return {"sizes": list(_SIZES)}


@check("objects.large", by="data node, index node", breaks="large segments cannot be written")
def large(space: Workspace) -> Evidence:
    """A large object in a single PUT comes back whole."""
    content = noise(space.effort.large_bytes)
    kept = space.get(space.put(content)) == content
    require(kept, "a large body came back changed", lost=True)
    return {"bytes": len(content)}


@check("objects.zero-byte", by="data node", breaks="empty logs and markers cannot be kept")
def zero_byte(space: Workspace) -> Evidence:
    """An empty object is kept and read back as empty."""
    key = space.put(b"")
    require(space.get(key) == b"", "an empty object came back with content")
    head = space.s3.head_object(Bucket=space.bucket, Key=key)
    require(head["ContentLength"] == 0, "an empty object has a length", seen=head["ContentLength"])


@check("objects.head", by="query node (object sizes)", breaks="sizes of segments are misjudged")
def head(space: Workspace) -> Evidence:
    """HEAD tells the object's true length and its time."""
    key = space.put(noise(12_345))
    found = space.s3.head_object(Bucket=space.bucket, Key=key)
    require(found["ContentLength"] == 12_345, "wrong length", seen=found["ContentLength"])  # noqa: PLR2004
    require("LastModified" in found, "HEAD has no Last-Modified")
    return {"server_time": found["LastModified"].isoformat()}


@check(
    "objects.metadata",
    by="Woodpecker (fence marks are metadata)",
    breaks="a fenced log segment does not look fenced, and two writers go on",
)
def metadata(space: Workspace) -> Evidence:
    """User metadata is kept and shown by HEAD."""
    key = space.put(b"F", Metadata={"Fenced": "true", "note": "a b"})
    found = space.s3.head_object(Bucket=space.bucket, Key=key)["Metadata"]
    lower = {name.lower(): value for name, value in found.items()}
    require(lower == {"fenced": "true", "note": "a b"}, "metadata is lost or changed", seen=found)


@check("objects.range", by="query node, DiskANN", breaks="parts of segments are read wrongly")
def byte_range(space: Workspace) -> Evidence:
    """Ranged GET returns exactly the bytes that were asked for."""
    content = noise(100_000)
    key = space.put(content)
    for first, last in ((0, 0), (1, 4_096), (65_530, 65_545), (99_999, 99_999)):
        answer = space.s3.get_object(Bucket=space.bucket, Key=key, Range=f"bytes={first}-{last}")
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        found = answer["Body"].read()
        require(
            found == content[first : last + 1] and status == 206,  # noqa: PLR2004
            "a range came back wrong",
            range=f"{first}-{last}",
            read=len(found),
            status=status,
        )
    rest = space.get(key, Range="bytes=90000-")
    require(rest == content[90_000:], "an open range came back wrong", read=len(rest))


@check(
    "objects.range-beyond",
    by="query node",
    breaks="a reader takes the wrong bytes for the end of a file",
)
def range_beyond(space: Workspace) -> Evidence:
    """A range beyond the object's end is refused."""
    key = space.put(noise(100))
    require(len(space.get(key, Range="bytes=0-9")) == 10, "a range within it came back wrong")  # noqa: PLR2004
    try:
        found = space.get(key, Range="bytes=100-200")
    except boto.ClientError as error:
        if is_throttled(error):
            raise
        return {"answer": f"{status_of(error)} {error_code(error)}"}
    require(False, "a range beyond the end was answered", read=len(found))
    return None


@check(
    "objects.suffix-range",
    by="Arrow reader of Storage V2 (Parquet footers)",
    breaks="segment footers cannot be read",
)
def suffix_range(space: Workspace) -> Evidence:
    """A suffix range returns the object's last bytes."""
    content = noise(50_000)
    found = space.get(space.put(content), Range="bytes=-777")
    require(found == content[-777:], "a suffix range came back wrong", read=len(found))


@check("objects.missing", by="every role", breaks="an absent object looks like an outage")
def missing(space: Workspace) -> Evidence:
    """GET and HEAD of an absent key answer 404."""
    key = space.key("absent")
    seen = {}
    for name, call in (("GET", space.s3.get_object), ("HEAD", space.s3.head_object)):
        try:
            call(Bucket=space.bucket, Key=key)
        except boto.ClientError as error:
            seen[name] = f"{status_of(error)} {error_code(error)}"
            require(status_of(error) == 404, f"{name} is not answered with 404", **seen)  # noqa: PLR2004
            continue
        require(False, f"{name} finds an object that was never written")
    return seen


@check("objects.overwrite", by="metadata snapshots", breaks="old content is read as new")
def overwrite(space: Workspace) -> Evidence:
    """A PUT on an existing key replaces its content at once."""
    key = space.put(b"old content, longer")
    for turn in range(3):
        content = f"new {turn}".encode()
        space.s3.put_object(Bucket=space.bucket, Key=key, Body=content)
        require(space.get(key) == content, "old content was read after an overwrite")


@check("objects.delete", by="garbage collection", breaks="deleted data comes back or space is lost")
def delete(space: Workspace) -> Evidence:
    """A deleted object is gone, and deleting an absent one is no error."""
    key = space.put(b"to be deleted")
    for _ in range(2):
        space.s3.delete_object(Bucket=space.bucket, Key=key)
    try:
        space.get(key)
    except boto.ClientError as error:
        require(status_of(error) == 404, "not 404 after delete", status=status_of(error))  # noqa: PLR2004
        return
    require(False, "a deleted object can still be read")


@check("objects.copy", by="backup, import", breaks="server-side copies fail; backups go by client")
def copy(space: Workspace) -> Evidence:
    """A server-side copy has the same content."""
    content = noise(70_000)
    source, target = space.put(content), space.key("copy")
    space.s3.copy_object(
        Bucket=space.bucket, Key=target, CopySource={"Bucket": space.bucket, "Key": source}
    )
    require(space.get(target) == content, "a copy differs from its source")
