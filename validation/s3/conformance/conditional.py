"""Conditional writes: what Woodpecker's fence stands on, and with it every acknowledged row.

Here one writer comes after the other; `races` lets them come at once.

Woodpecker writes a block, the lock of a segment and a fence each with If-None-Match: *. Up to
16 MiB (blocks have 2 MB unless its ``maxFlushSize`` was raised) minio-go does that in one PUT.
Above, it begins an upload on that condition and, up to its release 7.4.1, completes it on none; so
the rules about conditional completions are what such a block needs of a store, not all it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.multipart import send_parts
from validation.s3.failures import error_code, status_of
from validation.s3.workspace import Workspace

BY = "Woodpecker on an object store"
LARGE = "Woodpecker, for blocks above 16 MiB (they have 2 MB unless that was raised)"
_PANIC = "Milvus panics at start: CheckIfConditionWriteSupport failed"
SPLIT = "two writers both believe that they own the log; acknowledged rows are lost"
EXISTS, CONFLICT = 412, 409
FENCED = {"Fenced": "true"}
"""The user metadata by which Woodpecker marks a fence; its content is the single byte F."""


def create(space: Workspace, key: str, body: bytes, *, bucket: str = "", **more: Any) -> int:
    """Write a key that must not exist; return the status, 200 if it was written."""
    target = bucket or space.bucket
    return _status(
        lambda: space.s3.put_object(Bucket=target, Key=key, Body=body, IfNoneMatch="*", **more)
    )


def _status(write: Callable[[], Any]) -> int:
    """Return 200 for a conditional write that was done, 409 or 412 for one that was refused."""
    try:
        write()
    except boto.ClientError as error:
        if status_of(error) in {EXISTS, CONFLICT}:
            return status_of(error)
        raise
    return 200


@check("conditional.create", by=BY, breaks=_PANIC, need=Need.WOODPECKER)
def if_none_match(space: Workspace) -> Evidence:
    """PUT with If-None-Match: * writes a new key and refuses an existing one with 412."""
    key = space.key()
    require(create(space, key, b"first") == 200, "a new key was refused")  # noqa: PLR2004
    again = create(space, key, b"second")
    require(again == EXISTS, "an existing key is not answered with 412", status=again)
    require(space.get(key) == b"first", "a refused write changed the object")


@check(
    "conditional.after-delete",
    by=BY,
    breaks="a log segment cannot be written anew after clean-up",
    need=Need.WOODPECKER,
)
def after_delete(space: Workspace) -> Evidence:
    """A deleted key counts as absent."""
    key = space.key()
    create(space, key, b"first")
    space.s3.delete_object(Bucket=space.bucket, Key=key)
    status = create(space, key, b"second")
    require(status == 200, "a deleted key still counts as there", status=status)  # noqa: PLR2004


@check(
    "conditional.multipart",
    by=LARGE,
    breaks=SPLIT,
    need=Need.WOODPECKER,
)
def multipart(space: Workspace) -> Evidence:
    """A multipart upload completed with If-None-Match: * makes a key and replaces none."""
    key = space.key()
    first, second = (uploaded(space, key, body) for body in (b"first block", b"second block"))
    status = completed(space, first)
    require(status == 200, f"a new key was refused with {status}")  # noqa: PLR2004
    require(space.get(key) == b"first block", "the completed object differs from its part")
    status = completed(space, second)
    require(status != 200, "an existing key was overwritten by a conditional completion")  # noqa: PLR2004
    require(status == EXISTS, "not 412", status=status)
    require(space.get(key) == b"first block", "a refused completion changed the object")


def uploaded(space: Workspace, key: str, body: bytes) -> dict[str, Any]:
    """Return what completes an upload on condition that the key does not exist."""
    upload = space.upload(key)
    done = send_parts(space, key, upload, [body])
    return {
        "Bucket": space.bucket,
        "Key": key,
        "UploadId": upload,
        "MultipartUpload": {"Parts": done},
        "IfNoneMatch": "*",
    }


def completed(space: Workspace, done: dict[str, Any]) -> int:
    """Complete an upload from `uploaded`; return the status, 200 if it made the object."""
    return _status(lambda: space.s3.complete_multipart_upload(**done))


@check(
    "conditional.if-match",
    by="optimistic updates of metadata (Iceberg, Storage V2 manifests)",
    breaks="concurrent updates overwrite each other",
    need=Need.OPERATION,
)
def if_match(space: Workspace) -> Evidence:
    """PUT with If-Match replaces the named version and refuses any other with 412."""
    key = space.key()
    tag = space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"first")["ETag"]
    space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"second", IfMatch=tag)
    try:
        space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"third", IfMatch=tag)
    except boto.ClientError as error:
        require(status_of(error) == EXISTS, "not 412", code=error_code(error))
        require(space.get(key) == b"second", "a refused write changed the object")
        return
    require(False, "an outdated ETag was accepted")


@check("conditional.fence", by=BY, breaks=SPLIT, need=Need.WOODPECKER)
def fence(space: Workspace) -> Evidence:
    """A fence object stops the old owner of a log segment, as Woodpecker sets it."""
    segment = space.folder()
    blocks = [space.key(f"{number}.blk", folder=segment) for number in range(4)]
    for number in range(3):  # the old owner appends, each block created exactly once
        require(create(space, blocks[number], b"rows") == 200, "a block was refused")  # noqa: PLR2004
    listed = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=segment).get("Contents", ())
    require(len(list(listed)) == 3, "the new owner does not see the blocks")  # noqa: PLR2004
    status = create(space, blocks[3], b"F", Metadata=FENCED)
    require(status == 200, "the fence could not be set", status=status)  # noqa: PLR2004
    late = create(space, blocks[3], b"late rows")
    require(late == EXISTS, "the old owner wrote behind the fence", status=late)
    again = create(space, blocks[3], b"F", Metadata=FENCED)
    require(again == EXISTS, "a second fence was not recognised", status=again)
    require(is_fence(space, blocks[3]), "the fence is not recognisable by its metadata")


def is_fence(space: Workspace, key: str) -> bool:
    """Return whether an object is a fence, as Woodpecker recognises one."""
    found = space.s3.head_object(Bucket=space.bucket, Key=key)
    marks = {name.lower(): value for name, value in found["Metadata"].items()}
    return marks.get("fenced") == "true" and found["ContentLength"] == 1


def versioned_bucket(space: Workspace) -> str:
    """Return a bucket with versioning that may be used.

    Raises:
        UnsupportedError: The store has none to offer.
        UsageError: None was named and none may be made.
    """
    named = space.permissions.versioned_bucket
    bucket = named or space.make_bucket("versioned")
    if named is None:
        try:
            space.s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        except boto.ClientError as error:
            raise UnsupportedError(
                f"the store has no versioning: {status_of(error)} {error_code(error)}"
            ) from None
    status = space.s3.get_bucket_versioning(Bucket=bucket).get("Status")
    if status != "Enabled":
        raise UnsupportedError(f"bucket {bucket} has no versioning (status: {status or 'none'})")
    return bucket
