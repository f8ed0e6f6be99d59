"""Parts of uploads as Milvus's two clients send them where they add checksums.

aws-sdk-cpp does so by default since 1.11.486 (as seen of 1.11.900 in Arrow 26): over TLS and over
plain HTTP alike each part, be it of one byte, goes without a Content-Length, its CRC-64/NVME in a
trailer. minio-go does where TrailingHeaders was set, which Milvus does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from validation.s3.client.endpoint import endpoint_of
from validation.s3.client.signing import Payload
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.integrity import CPP, FRAMED
from validation.s3.conformance.writing.objects import noise
from validation.s3.workspace import Workspace

_CPP = {"payload": Payload.UNSIGNED_TRAILER, "algorithm": "crc64nvme", "streamed": True}
_SIZES = (1, 300_000)
"""Of a part: within one chunk, and in several. Larger ones differ by no header."""


def _assembled(
    space: Workspace, body: bytes, begun: Mapping[str, str], *, named: str = "", **sent: object
) -> None:
    """Require that a part sent in some way makes an object of its content alone.

    Args:
        space: Where.
        body: The content.
        begun: Headers of the request that begins the upload.
        named: A checksum of the part that the completion repeats, by its name there.
        sent: How the part is sent, as of `Workspace.send`.
    """
    key = space.key("parts")
    started = space.send("POST", key, query={"uploads": ""}, headers=begun)
    found = re.search(rb"<UploadId>([^<]+)</UploadId>", started.body)
    require(started.ok and found is not None, f"beginning an upload was answered {started}")
    upload = found.group(1).decode() if found else ""
    space.adopt(key, upload)
    query = {"partNumber": "1", "uploadId": upload}
    reply = space.send("PUT", key, query=query, body=body, **sent)
    require(reply.ok, f"a part of {len(body):,} bytes was answered {reply}", answer=str(reply))
    inside = f"<PartNumber>1</PartNumber><ETag>{reply.headers.get('etag', '')}</ETag>"
    if named:
        value = reply.headers.get(f"x-amz-{named.replace('Checksum', 'checksum-').lower()}", "")
        inside += f"<{named}>{value}</{named}>"
    document = f"<CompleteMultipartUpload><Part>{inside}</Part></CompleteMultipartUpload>"
    done = space.send("POST", key, query={"uploadId": upload}, body=document.encode())
    require(done.ok and not done.code, f"the completion was answered {done}")
    kept = space.get(key)
    require(kept == body, "what was stored is not the part", stored=len(kept), lost=True)


@check(
    "integrity.cpp-parts",
    by=f"{CPP}, at its defaults",
    breaks="every file that it writes in parts is refused or stored damaged",
    need=Need.OPERATION,
)
def cpp_parts(space: Workspace) -> Evidence:
    """Parts streamed with a trailing CRC-64/NVME, of one byte too, make the object they hold."""
    for size in _SIZES:
        _assembled(space, noise(size, 1), {}, **_CPP)
    return {"part_bytes": list(_SIZES)}


@check(
    "integrity.go-parts",
    by="minio-go with TrailingHeaders (tools of users; Milvus leaves it off)",
    breaks=FRAMED,
    need=Need.OPERATION,
)
def go_parts(space: Workspace) -> Evidence:
    """Parts with a trailing CRC-32C, as minio-go sends them, make the object they hold."""
    tls = endpoint_of(space.storage).tls
    payload = Payload.UNSIGNED_TRAILER if tls else Payload.CHUNKS_TRAILER
    begun = {"x-amz-checksum-algorithm": "CRC32C"}
    way = {"payload": payload, "algorithm": "crc32c", "go": True}
    for size in _SIZES:
        _assembled(space, noise(size, 2), begun, named="ChecksumCRC32C", **way)
    return {"part_bytes": list(_SIZES)}
