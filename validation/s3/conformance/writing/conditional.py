"""Conditional writes: what Woodpecker's fence stands on, and with it every acknowledged row.

Here one writer comes after the other; `races` lets them come at once.

Woodpecker writes a block, the lock of a segment and a fence each with If-None-Match: *. Up to
16 MiB (blocks have 2 MB unless its ``maxFlushSize`` was raised) minio-go does that in one PUT.
Above, it begins an upload on that condition and, up to its release 7.4.1, completes it on none:
`log` asks what a store makes of that. Conditional completions are other clients'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.failures import error_code, status_of
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.multipart import send_parts
from validation.s3.workspace import Workspace

BY = "Woodpecker on an object store"
COMPLETERS = "clients that complete an upload on condition (AWS SDKs); Woodpecker's does not"
OVERWRITTEN = "one such client overwrites what another has just made"
SPLIT = "two writers both believe that they own the log; acknowledged rows are lost"
WRITTEN, EXISTS, _CONFLICT = 200, 412, 409
REFUSED = frozenset({EXISTS, _CONFLICT})


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
        if status_of(error) in REFUSED:
            return status_of(error)
        raise
    return WRITTEN


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
    require(status == WRITTEN, "a deleted key still counts as there", status=status)


@check(
    "conditional.multipart",
    by=COMPLETERS,
    breaks=OVERWRITTEN,
    need=Need.OPERATION,
)
def multipart(space: Workspace) -> Evidence:
    """A multipart upload completed with If-None-Match: * makes a key and replaces none."""
    key = space.key()
    first, second = (uploaded(space, key, body) for body in (b"first block", b"second block"))
    status = completed(space, first)
    require(status == WRITTEN, f"a new key was refused with {status}")
    require(space.get(key) == b"first block", "the completed object differs from its part")
    status = completed(space, second)
    require(status != WRITTEN, "an existing key was overwritten by a conditional completion")
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


def _replaced(space: Workspace, quoted: Callable[[str], str]) -> None:
    """Replace an object by its ETag, and require that an outdated one is refused."""
    key = space.key()
    told = space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"first")["ETag"]
    tag = quoted(told.strip('"'))

    def write(body: bytes) -> int:
        return _status(
            lambda: space.s3.put_object(Bucket=space.bucket, Key=key, Body=body, IfMatch=tag)
        )

    current = write(b"second")
    require(current == WRITTEN, f"the current ETag was refused with {current}", told=told, sent=tag)
    outdated = write(b"third")
    require(outdated != WRITTEN, "an outdated ETag was accepted")
    require(outdated == EXISTS, "not 412", status=outdated)
    require(space.get(key) == b"second", "a refused write changed the object")


_OPTIMISTS = "optimistic updates of metadata (Iceberg, Storage V2 manifests)"


@check(
    "conditional.if-match",
    by=_OPTIMISTS,
    breaks="each such update is refused, or overwrites another",
    need=Need.OPERATION,
)
def if_match(space: Workspace) -> Evidence:
    """PUT with If-Match replaces the version that a quoted ETag names and refuses any other."""
    _replaced(space, lambda tag: f'"{tag}"')


@check(
    "conditional.if-match-bare",
    by=f"{_OPTIMISTS}, by clients that take the quotes off (minio-go tells ETags so)",
    breaks="each such update is refused, or overwrites another",
    need=Need.OPERATION,
)
def if_match_bare(space: Workspace) -> Evidence:
    """PUT with If-Match also takes an ETag without its quotes."""
    _replaced(space, lambda tag: tag)


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
