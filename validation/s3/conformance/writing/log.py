"""Woodpecker's own requests: how it finds out what a store can do, and how it writes then.

They are sent by hand as its client sends them (Woodpecker 0.1.29 with minio-go 7.0.73): a store may
keep a condition in one request and pass over it in another. Over plain HTTP a body goes in signed
chunks whose coding no header names, over TLS it is not signed.

Set to ``auto``, its default in Milvus, Woodpecker asks once, in a row and never at once, and goes
on with locks in etcd if that fails 30 times, after about a minute; set to ``enable`` it panics
after ten. What it found stays in etcd under ``woodpecker/conditionwrite`` and is believed of
whatever store is there later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from validation.s3.client.endpoint import endpoint_of
from validation.s3.client.signing import Payload
from validation.s3.client.wire import Reply, Request
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.conditional import BY, EXISTS, SPLIT, WRITTEN
from validation.s3.conformance.writing.objects import noise
from validation.s3.workspace import Workspace

_LOCKS = (
    "Woodpecker's detection fails: set to auto it goes on with locks in etcd after about a minute,"
    " set to enable it panics"
)
NEW = {"if-none-match": "*"}
FENCE = {**NEW, "x-amz-meta-fenced": "true"}
"""A fence is known by this mark; its content is the single byte F."""
_BLOCK_BYTES = 2_000_000
"""Its ``maxFlushSize`` unless raised: a block is written when so much has come together."""


def put(
    space: Workspace, key: str, body: bytes, headers: Mapping[str, str], *, bucket: str = ""
) -> Request:
    """Return the request by which Woodpecker writes a key."""
    tls = endpoint_of(space.storage).tls
    return Request(
        "PUT",
        key,
        bucket=bucket or None,
        body=body,
        headers={"content-type": "application/octet-stream", **headers},
        payload=Payload.UNSIGNED if tls else Payload.CHUNKS,
        go=True,
    )


def _put(space: Workspace, key: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    return space.ask(put(space, key, body, headers))


def _says_exists(reply: Reply) -> bool:
    """Return whether Woodpecker reads an answer as: there is such a key.

    It goes by the code; minio-go takes an answer without one by its status.
    """
    if reply.code:
        return reply.code in {"PreconditionFailed", "FileAlreadyExists"}
    return reply.status == EXISTS


def is_fence(space: Workspace, key: str) -> bool:
    """Return whether what is there is a fence, as Woodpecker tells."""
    reply = space.send("HEAD", key)
    require(reply.ok, f"HEAD of a key that is there was answered {reply}")
    return reply.headers.get("x-amz-meta-fenced") == "true"


def _require_new(reply: Reply, what: str) -> None:
    require(reply.status == WRITTEN, f"{what} was answered {reply}")


def _require_refused(space: Workspace, key: str, reply: Reply, what: str, *, fence: bool) -> None:
    """Require that a write on a key that is there is refused so that Woodpecker knows why."""
    require(not reply.ok, f"{what} was written")
    require(_says_exists(reply), f"{what} was answered {reply}, not 412 PreconditionFailed")
    looks = is_fence(space, key)
    require(looks == fence, f"{what} met {'a' if looks else 'no'} fence by the key's metadata")


@check("conditional.detection", by=BY, breaks=_LOCKS, need=Need.WOODPECKER)
def detection(space: Workspace) -> Evidence:
    """Woodpecker's detection, request by request, finds that a condition is kept."""
    name = f"conditional_write_test-{space.run}"
    block, fence = space.key(name), space.key(f"fenced_{name}")
    body = b"test-conditional-write-data"
    _require_new(_put(space, block, body, NEW), "a new key")
    again = _put(space, block, body, NEW)
    _require_refused(space, block, again, "the same key again", fence=False)
    over = _put(space, block, b"F", FENCE)
    _require_refused(space, block, over, "a fence on a block", fence=False)
    require(space.get(block) == body, "a refused write changed the object")
    _require_new(_put(space, fence, b"F", FENCE), "a fence")
    late = _put(space, fence, body, NEW)
    _require_refused(space, fence, late, "a block on a fence", fence=True)
    twice = _put(space, fence, b"F", FENCE)
    _require_refused(space, fence, twice, "a second fence", fence=True)
    require(space.get(fence) == b"F", "a refused write changed the fence")
    return {"refused_with": str(late)}


@check(
    "conditional.block",
    by=BY,
    breaks="acknowledged rows cannot be read back",
    need=Need.WOODPECKER,
)
def block(space: Workspace) -> Evidence:
    """A block of 2 MB, written as Woodpecker does, is found and read back."""
    segment = space.folder()
    size = min(_BLOCK_BYTES, space.effort.large_bytes - 1)
    rows = noise(size, 7)
    key = space.key("0.blk", folder=segment)
    _require_new(_put(space, key, rows, NEW), "a block")
    head = space.send("HEAD", key)
    require(head.ok, f"HEAD of a block was answered {head}")
    told = int(head.headers.get("content-length", "-1"))
    require(told == size, "HEAD tells another size", told=told, written=size, lost=True)
    answer = space.send("GET", key, headers={"range": f"bytes=0-{size - 1}"})
    require(answer.ok, f"GET of a block was answered {answer}")
    kept = answer.body == rows
    require(kept, "a block came back changed", read=len(answer.body), lost=True)
    return {"bytes": size}


@check("conditional.fence", by=BY, breaks=SPLIT, need=Need.WOODPECKER)
def fence(space: Workspace) -> Evidence:
    """A fence stops the old owner of a log segment, each written as Woodpecker does."""
    segment = space.folder()
    blocks = [space.key(f"{number}.blk", folder=segment) for number in range(4)]
    *written, last = blocks
    for key in written:  # the old owner appends, each block created exactly once
        _require_new(_put(space, key, b"rows", NEW), "a block")
    listed = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=segment).get("Contents", ())
    require(len(list(listed)) == len(written), "the new owner does not see the blocks")
    _require_new(_put(space, last, b"F", FENCE), "the fence")
    late = _put(space, last, b"late rows", NEW)
    require(not late.ok, "the old owner wrote behind the fence", lost=True)
    _require_refused(space, last, late, "a late block", fence=True)
    again = _put(space, last, b"F", FENCE)
    _require_refused(space, last, again, "a second fence", fence=True)
    require(space.get(last) == b"F", "the fence is gone", lost=True)


@check(
    "conditional.large-block",
    by="Woodpecker, for blocks above 16 MiB (they have 2 MB unless maxFlushSize was raised)",
    breaks="such a block overwrites another writer's, whatever its condition said",
    need=Need.OPERATION,
)
def large_block(space: Workspace) -> Evidence:
    """An upload begun on condition that its key is absent, as minio-go does, replaces no object."""
    key = space.put(b"another's block")
    begun = space.send("POST", key, query={"uploads": ""}, headers=NEW)
    found = re.search(rb"<UploadId>([^<]+)</UploadId>", begun.body)
    if begun.ok and found:
        upload = {"Bucket": space.bucket, "Key": key, "UploadId": found.group(1).decode()}
        space.adopt(key, upload["UploadId"])
        part = space.s3.upload_part(**upload, PartNumber=1, Body=b"a block")
        done = [{"PartNumber": 1, "ETag": part["ETag"]}]
        space.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
    kept = space.get(key) == b"another's block"
    require(kept, "the object was replaced: the condition was passed over")
    return {"answer": str(begun)}
