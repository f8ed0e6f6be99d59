"""Integrity: damaged bodies are refused, and no framing of the wire ends up inside an object."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.checksums import ALGORITHMS, checksum, content_md5
from validation.s3.client.failures import status_of
from validation.s3.client.signing import Payload
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.objects import noise
from validation.s3.workspace import Workspace

_GO = "minio-go, the Go client of every role"
CPP = "aws-sdk-cpp, the C++ client of query and data nodes"
FRAMED = "chunk signatures are stored inside segments, which cannot be read any more"


@check("integrity.etag", by="If-Match, backup", breaks="versions of an object cannot be told apart")
def etag(space: Workspace) -> Evidence:
    """PUT, HEAD and GET give one ETag for one content and another for other content."""
    key = space.key("tagged")
    seen = []
    for body in (b"first", b"second"):
        put = space.s3.put_object(Bucket=space.bucket, Key=key, Body=body)["ETag"]
        head = space.s3.head_object(Bucket=space.bucket, Key=key)["ETag"]
        get = space.s3.get_object(Bucket=space.bucket, Key=key)["ETag"]
        require(put == head == get, "PUT, HEAD and GET disagree", put=put, head=head, get=get)
        seen.append(put)
    require(seen[0] != seen[1], "other content has the same ETag", etag=seen[0])
    plain = seen[1].strip('"') == base64.b64decode(content_md5(b"second")).hex()
    return {"etag_is_md5": plain}


def refused(
    space: Workspace, what: str, *, right: Mapping[str, object] | None = None, **request: object
) -> Evidence:
    """Require that a damaged request is refused, by whatever status, and leaves nothing behind.

    Args:
        space: Where.
        what: The damage, in words.
        right: The same request undamaged: who refuses that too says nothing by refusing the other.
        request: As of `Workspace.send`.

    Raises:
        UnsupportedError: The right one was refused.
    """
    if right is not None:
        reply = space.send("PUT", space.key(), **right)
        if not reply.ok:
            raise UnsupportedError(f"such a body is refused also if it is right: {reply}")
    key = space.key()
    reply = space.send("PUT", key, **request)
    require(not reply.ok, f"{what} was accepted")
    try:
        space.get(key)
    except boto.ClientError as error:
        if status_of(error) != 404:  # noqa: PLR2004  (anything else does not say that it is absent)
            raise
        return {"answer": str(reply)}
    require(False, f"{what} was refused and stored all the same")
    return None


@check("integrity.content-md5", by=_GO, breaks="damage on the way is stored unnoticed")
def md5(space: Workspace) -> Evidence:
    """A body that does not match its Content-MD5 is refused."""
    key, body = space.key(), noise(1_000)
    right = space.send("PUT", key, body=body, headers={"content-md5": content_md5(body)})
    require(right.ok, f"a right Content-MD5 was answered {right}")
    wrong = {"content-md5": content_md5(b"other")}
    return refused(space, "a wrong Content-MD5", body=body, headers=wrong)


@check("integrity.signed-payload", by=_GO, breaks="damage on the way is stored unnoticed")
def signed_payload(space: Workspace) -> Evidence:
    """A body that does not match its signed SHA-256 is refused."""
    body = noise(1_000)
    return refused(
        space,
        "a body that was changed after signing",
        right={"body": body},
        body=body,
        tamper=lambda sent: sent[:-1] + bytes([sent[-1] ^ 1]),
    )


@check("integrity.unsigned-payload", by=f"{_GO}, over TLS", breaks="every write is refused")
def unsigned_payload(space: Workspace) -> Evidence:
    """A body declared as unsigned is stored as it is."""
    stored(space, Payload.UNSIGNED)


def stored(space: Workspace, payload: Payload, algorithm: str = "", *, go: bool = False) -> None:
    """Require that bodies sent in a way of signing are stored without a trace of it."""
    for size in (1, 65_536, 200_001):
        key, body = space.key("framed"), noise(size)
        sent = {"body": body, "payload": payload, "algorithm": algorithm, "go": go}
        reply = space.send("PUT", key, **sent)
        require(reply.ok, f"a body of {size} bytes was answered {reply}")
        found = space.get(key)
        require(
            found == body,
            "what was stored is not the body",
            sent=size,
            stored=len(found),
            signatures_inside=b"chunk-signature=" in found,
            lost=True,
        )


@check("integrity.signed-chunks", by=f"{_GO}, over plain HTTP", breaks=FRAMED)
def signed_chunks(space: Workspace) -> Evidence:
    """A body in signed chunks is stored without its chunk signatures."""
    stored(space, Payload.CHUNKS, go=True)


@check("integrity.tampered-chunk", by=_GO, breaks="damage on the way is stored unnoticed")
def tampered_chunk(space: Workspace) -> Evidence:
    """A body with a chunk that was changed after signing is refused."""
    body = noise(100_000)
    sent = {"body": body, "payload": Payload.CHUNKS, "go": True}
    damage = flip(body[70_000:70_032])
    return refused(space, "a changed chunk", right=sent, **sent, tamper=damage)


def flip(piece: bytes) -> Callable[[bytes], bytes]:
    """Return a function that changes one bit of a piece inside a framed body."""
    return lambda framed: framed.replace(piece, bytes([piece[0] ^ 1]) + piece[1:], 1)


def _header(algorithm: str) -> Callable[[Workspace], Evidence]:
    """Return the check of one checksum in a header."""

    def measured(space: Workspace) -> Evidence:
        key, body = space.key(), noise(5_000)
        name = f"x-amz-checksum-{algorithm}"
        right = space.send("PUT", key, body=body, headers={name: checksum(algorithm, body)})
        require(right.ok, f"a right {name} was answered {right}")
        require(space.get(key) == body, "what was stored is not the body")
        wrong = {name: checksum(algorithm, b"other")}
        return refused(space, f"a wrong {name}", body=body, headers=wrong)

    measured.__doc__ = f"A right {algorithm} checksum is accepted and a wrong one refused."
    return measured


for _algorithm in ALGORITHMS:
    check(
        f"integrity.{_algorithm}",
        by="AWS SDKs with explicit checksums",
        breaks="damage on the way is stored unnoticed",
        need=Need.OPERATION,
    )(_header(_algorithm))
