"""Checksums as current SDKs send and ask for them by default: in trailers of aws-chunked bodies."""

from __future__ import annotations

from collections.abc import Callable

from validation.errors import UnsupportedError
from validation.s3.client.checksums import ALGORITHMS
from validation.s3.client.signing import Payload
from validation.s3.conformance.model import Evidence, Need, RuleBroken, check, require
from validation.s3.conformance.writing.integrity import CPP, FRAMED, flip, refused, stored
from validation.s3.conformance.writing.objects import noise
from validation.s3.workspace import Workspace

_SDK = "AWS SDKs since 2025, left at their defaults"


def _each(one: Callable[[str], object]) -> Evidence:
    """Require something of each algorithm, and say of which it does not hold."""
    broken: dict[str, str] = {}
    open_: dict[str, str] = {}
    lost = False
    for algorithm in ALGORITHMS:
        try:
            one(algorithm)
        except RuleBroken as error:
            if error.__context__ is not None:  # an answer that the runner has to look at
                raise
            broken[algorithm] = str(error)
            lost |= "lost" in error.evidence
        except UnsupportedError as error:
            open_[algorithm] = error.what
    said = "; ".join(f"{algorithm}: {what}" for algorithm, what in broken.items())
    require(not broken, said, broken=sorted(broken), **({"lost": True} if lost else {}))
    if open_:
        raise UnsupportedError(
            "; ".join(f"{algorithm}: {what}" for algorithm, what in open_.items())
        )
    return {"algorithms": list(ALGORITHMS)}


@check(
    "integrity.signed-trailer",
    by="minio-go with trailing checksums; AWS SDKs over plain HTTP",
    breaks=FRAMED,
    need=Need.OPERATION,
)
def signed_trailer(space: Workspace) -> Evidence:
    """A body in signed chunks with a trailing checksum is stored as the body alone."""
    return _each(lambda algorithm: stored(space, Payload.CHUNKS_TRAILER, algorithm))


@check(
    "integrity.unsigned-trailer",
    by=f"{CPP}, at its defaults",
    breaks=FRAMED,
    need=Need.OPERATION,
)
def unsigned_trailer(space: Workspace) -> Evidence:
    """An aws-chunked body with a trailing checksum is stored as the body alone."""
    return _each(lambda algorithm: stored(space, Payload.UNSIGNED_TRAILER, algorithm))


@check(
    "integrity.wrong-trailer",
    by=CPP,
    breaks="damage on the way is stored unnoticed",
    need=Need.OPERATION,
)
def wrong_trailer(space: Workspace) -> Evidence:
    """An aws-chunked body that does not match its trailing checksum is refused."""
    body = noise(10_000)

    def one(algorithm: str) -> None:
        sent = {"body": body, "payload": Payload.UNSIGNED_TRAILER, "algorithm": algorithm}
        damage = flip(body[500:532])
        refused(space, "a body that does not match its trailer", right=sent, **sent, tamper=damage)

    return _each(one)


@check(
    "integrity.content-encoding",
    by="clients that decode what they read (proxies, browsers, Arrow)",
    breaks="a body is taken for framed although it is not, and refused or cut",
    need=Need.OPERATION,
)
def content_encoding(space: Workspace) -> Evidence:
    """The coding aws-chunked is taken off with the chunks, and not told to readers."""
    key = space.key("coded")
    reply = space.send("PUT", key, body=noise(70_000), payload=Payload.CHUNKS)
    require(reply.ok, f"a body in chunks was answered {reply}")
    seen = {}
    for method in ("HEAD", "GET"):
        answer = space.send(method, key)
        require(answer.ok, f"{method} was answered {answer}")
        seen[method] = answer.headers.get("content-encoding", "")
    told = any("aws-chunked" in coding for coding in seen.values())
    require(not told, "the object is told to be aws-chunked", **seen)
    return seen


@check(
    "integrity.default-checksums",
    by=_SDK,
    breaks="writes of such clients are refused or stored damaged",
    need=Need.OPERATION,
)
def default_checksums(space: Workspace) -> Evidence:
    """An SDK that adds and verifies checksums by default can write and read."""
    client = space.client(checksums="when_supported")
    key, body = space.key(), noise(70_000)
    client.put_object(Bucket=space.bucket, Key=key, Body=body)
    found = client.get_object(Bucket=space.bucket, Key=key)["Body"].read()
    require(found == body, "what was stored is not the body", stored=len(found))
    parts = space.key("parts")
    upload = space.upload(parts)
    part = client.upload_part(
        Bucket=space.bucket, Key=parts, UploadId=upload, PartNumber=1, Body=body
    )
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(
        Bucket=space.bucket, Key=parts, UploadId=upload, MultipartUpload=done
    )
    require(space.get(parts) == body, "a multipart upload with checksums came back changed")


@check(
    "integrity.default-range",
    by=f"{_SDK}, reading parts of segments",
    breaks="ranged reads of such clients are refused, or verified against the whole object",
    need=Need.OPERATION,
)
def default_range(space: Workspace) -> Evidence:
    """An SDK that verifies checksums by default can read a range."""
    client = space.client(checksums="when_supported")
    key, body = space.key(), noise(70_000)
    client.put_object(Bucket=space.bucket, Key=key, Body=body)
    for asked, wanted in (("bytes=1000-2999", body[1_000:3_000]), ("bytes=-500", body[-500:])):
        found = client.get_object(Bucket=space.bucket, Key=key, Range=asked)["Body"].read()
        require(found == wanted, "a range came back wrong", range=asked, read=len(found))
