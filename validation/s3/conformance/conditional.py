"""Conditional writes: what Woodpecker's fence stands on, and with it every acknowledged row."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.multipart import send_parts
from validation.s3.failures import error_code, status_of
from validation.s3.workspace import Workspace

_BY = "Woodpecker on an object store"
_PANIC = "Milvus panics at start: CheckIfConditionWriteSupport failed"
_SPLIT = "two writers both believe that they own the log; acknowledged rows are lost"
_EXISTS, _CONFLICT = 412, 409
_FENCED = {"Fenced": "true"}
"""The user metadata by which Woodpecker marks a fence; its content is the single byte F."""
_WATCH_SECONDS = 30


def create(space: Workspace, key: str, body: bytes, *, bucket: str = "", **more: Any) -> int:
    """Write a key that must not exist; return the status, 200 if it was written."""
    try:
        space.s3.put_object(
            Bucket=bucket or space.bucket, Key=key, Body=body, IfNoneMatch="*", **more
        )
    except boto.ClientError as error:
        if status_of(error) in {_EXISTS, _CONFLICT}:
            return status_of(error)
        raise
    return 200


def race(space: Workspace, key: str, *, bucket: str = "") -> tuple[list[int], bytes]:
    """Let many writers create one key at the same moment.

    Returns:
        The status each writer saw, and the content the winner ought to have left.
    """
    count = space.effort.racers
    barrier = threading.Barrier(count, timeout=_WATCH_SECONDS)

    def writer(number: int) -> int:
        barrier.wait()
        return create(space, key, f"writer {number}".encode(), bucket=bucket)

    with ThreadPoolExecutor(count) as pool:
        seen = list(pool.map(writer, range(count)))
    winners = [number for number, status in enumerate(seen) if status == 200]  # noqa: PLR2004
    return seen, f"writer {winners[0]}".encode() if winners else b""


def _races(space: Workspace, rounds: int, *, bucket: str = "") -> Evidence:
    conflicts = 0
    for number in range(rounds):
        key = space.key(f"race-{number}", bucket=bucket)
        seen, wanted = race(space, key, bucket=bucket)
        winners = seen.count(200)
        require(
            winners == 1,
            f"{winners} of {len(seen)} writers won race {number + 1}",
            winners=winners,
            writers=len(seen),
        )
        found = space.s3.get_object(Bucket=bucket or space.bucket, Key=key)["Body"].read()
        require(found == wanted, "a loser's content was stored", race=number + 1)
        conflicts += seen.count(_CONFLICT)
    return {"races": rounds, "writers": space.effort.racers, "answered_409": conflicts}


@check("conditional.create", by=_BY, breaks=_PANIC, need=Need.WOODPECKER)
def if_none_match(space: Workspace) -> Evidence:
    """PUT with If-None-Match: * writes a new key and refuses an existing one with 412."""
    key = space.key()
    require(create(space, key, b"first") == 200, "a new key was refused")  # noqa: PLR2004
    again = create(space, key, b"second")
    require(again == _EXISTS, "an existing key is not answered with 412", status=again)
    require(space.get(key) == b"first", "a refused write changed the object")


@check("conditional.race", by=_BY, breaks=_SPLIT, need=Need.WOODPECKER)
def winner(space: Workspace) -> Evidence:
    """Of many writers that create one key at once, exactly one wins."""
    return _races(space, space.effort.races)


@check(
    "conditional.after-delete",
    by=_BY,
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
    by="Woodpecker, for blocks above the part size",
    breaks=_SPLIT,
    need=Need.WOODPECKER,
)
def multipart(space: Workspace) -> Evidence:
    """A multipart upload completed with If-None-Match: * makes a key and replaces none."""
    key = space.key()
    first, second = (_uploaded(space, key, body) for body in (b"first block", b"second block"))
    space.s3.complete_multipart_upload(**first)
    require(space.get(key) == b"first block", "the completed object differs from its part")
    try:
        space.s3.complete_multipart_upload(**second)
    except boto.ClientError as error:
        require(status_of(error) == _EXISTS, "not 412", status=status_of(error))
        require(space.get(key) == b"first block", "a refused completion changed the object")
        return
    require(False, "an existing key was overwritten by a conditional completion")


def _uploaded(space: Workspace, key: str, body: bytes) -> dict[str, Any]:
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
        require(status_of(error) == _EXISTS, "not 412", code=error_code(error))
        require(space.get(key) == b"second", "a refused write changed the object")
        return
    require(False, "an outdated ETag was accepted")


@check("conditional.fence", by=_BY, breaks=_SPLIT, need=Need.WOODPECKER)
def fence(space: Workspace) -> Evidence:
    """A fence object stops the old owner of a log segment, as Woodpecker sets it."""
    segment = space.folder()
    blocks = [space.key(f"{number}.blk", folder=segment) for number in range(4)]
    for number in range(3):  # the old owner appends, each block created exactly once
        require(create(space, blocks[number], b"rows") == 200, "a block was refused")  # noqa: PLR2004
    listed = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=segment).get("Contents", ())
    require(len(list(listed)) == 3, "the new owner does not see the blocks")  # noqa: PLR2004
    status = create(space, blocks[3], b"F", Metadata=_FENCED)
    require(status == 200, "the fence could not be set", status=status)  # noqa: PLR2004
    late = create(space, blocks[3], b"late rows")
    require(late == _EXISTS, "the old owner wrote behind the fence", status=late)
    again = create(space, blocks[3], b"F", Metadata=_FENCED)
    require(again == _EXISTS, "a second fence was not recognised", status=again)
    require(_is_fence(space, blocks[3]), "the fence is not recognisable by its metadata")


@check("conditional.fence-race", by=_BY, breaks=_SPLIT, need=Need.WOODPECKER)
def fence_race(space: Workspace) -> Evidence:
    """When an owner's write meets a fence, one wins and all see which."""
    won = 0
    for _ in range(space.effort.races):
        key = space.key("0.blk")
        barrier = threading.Barrier(2, timeout=_WATCH_SECONDS)

        def owner(key: str = key, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            return create(space, key, b"rows")

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(owner)
            barrier.wait()
            fencing = create(space, key, b"F", Metadata=_FENCED)
            statuses = (writing.result(), fencing)
        require(statuses.count(200) == 1, "both or neither won", owner_fence=statuses)
        is_fence = fencing == 200  # noqa: PLR2004
        require(_is_fence(space, key) == is_fence, "the object is not the winner's")
        won += is_fence
    return {"races": space.effort.races, "won_by_fence": won}


def _is_fence(space: Workspace, key: str) -> bool:
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


@check(
    "conditional.versioned",
    by="Woodpecker, should Milvus's bucket ever be versioned",
    breaks="writes on a versioned bucket are refused (NotImplemented) or not exclusive",
    need=Need.OPERATION,
)
def versioned(space: Workspace) -> Evidence:
    """On a versioned bucket too, exactly one of many creators wins."""
    bucket = versioned_bucket(space)
    return _races(space, space.effort.versioned_races, bucket=bucket)
