"""Multipart uploads: how large segments and index files are written."""

from __future__ import annotations

import botocore.exceptions as boto

from validation.s3.conformance.model import Evidence, check, require
from validation.s3.conformance.objects import noise
from validation.s3.failures import error_code, status_of
from validation.s3.workspace import Workspace

_BY = "data node and index node (files above the part size)"


def parts_of(space: Workspace) -> list[bytes]:
    """Return the parts of an upload: two of full size and a short last one."""
    size = space.effort.part_bytes
    return [noise(size, 1), noise(size, 2), noise(1_000, 3)]


def send_parts(
    space: Workspace, key: str, upload: str, parts: list[bytes], *, bucket: str = ""
) -> list[dict[str, object]]:
    """Upload parts, the last one first, and return their list for the completion, in order."""
    done: list[dict[str, object]] = []
    for number in range(len(parts), 0, -1):
        answer = space.s3.upload_part(
            Bucket=bucket or space.bucket,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=parts[number - 1],
        )
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return sorted(done, key=lambda part: int(str(part["PartNumber"])))


def _begun(space: Workspace, name: str) -> tuple[str, str]:
    """Return key and id of an upload that has one part and is not completed."""
    key = space.key(name)
    upload = space.upload(key)
    send_parts(space, key, upload, [b"only part"])
    return key, upload


@check("multipart.out-of-order", by=_BY, breaks="large files cannot be written, or come back mixed")
def out_of_order(space: Workspace) -> Evidence:
    """Parts sent in any order make the object in the order of their numbers."""
    key, parts = space.key("assembled"), parts_of(space)
    upload = space.upload(key)
    done = send_parts(space, key, upload, parts)
    space.s3.complete_multipart_upload(
        Bucket=space.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
    )
    require(space.get(key) == b"".join(parts), "the assembled object differs from its parts")
    etag = space.s3.head_object(Bucket=space.bucket, Key=key)["ETag"]
    return {"etag": etag, "bytes": sum(map(len, parts))}


@check("multipart.invisible", by=_BY, breaks="half-written files are read as whole ones")
def invisible(space: Workspace) -> Evidence:
    """An upload that is not completed shows no object."""
    key, upload = _begun(space, "unfinished")
    try:
        space.get(key)
    except boto.ClientError as error:
        require(status_of(error) == 404, "not 404", status=status_of(error))  # noqa: PLR2004
    else:
        require(False, "an unfinished upload can be read")
    space.s3.abort_multipart_upload(Bucket=space.bucket, Key=key, UploadId=upload)


@check("multipart.abort", by=_BY, breaks="broken uploads fill the store")
def abort(space: Workspace) -> Evidence:
    """An aborted upload is gone: it can be neither continued nor completed."""
    key, upload = _begun(space, "aborted")
    space.s3.abort_multipart_upload(Bucket=space.bucket, Key=key, UploadId=upload)
    try:
        space.s3.upload_part(
            Bucket=space.bucket, Key=key, UploadId=upload, PartNumber=2, Body=b"late"
        )
    except boto.ClientError as error:
        require(status_of(error) == 404, "not 404", status=status_of(error))  # noqa: PLR2004
        return {"code": error_code(error)}
    require(False, "a part was accepted after the upload was aborted")
    return None


@check("multipart.listing", by="operators (clearing broken uploads)", breaks="leaks stay unseen")
def listing(space: Workspace) -> Evidence:
    """Unfinished uploads and their parts are listed."""
    key, upload = _begun(space, "listed")
    parts = space.s3.list_parts(Bucket=space.bucket, Key=key, UploadId=upload).get("Parts", [])
    found = space.s3.list_multipart_uploads(Bucket=space.bucket, Prefix=key).get("Uploads", [])
    space.s3.abort_multipart_upload(Bucket=space.bucket, Key=key, UploadId=upload)
    require([part["Size"] for part in parts] == [9], "the part is not listed", parts=len(parts))
    seen = [(entry["Key"], entry["UploadId"]) for entry in found]
    require((key, upload) in seen, "the unfinished upload is not listed", uploads=len(seen))


@check("multipart.wrong-part", by=_BY, breaks="a damaged upload is taken for a good one")
def wrong_part(space: Workspace) -> Evidence:
    """A completion that names a part by a wrong ETag is refused."""
    key, upload = _begun(space, "wrong")
    wrong = {"Parts": [{"PartNumber": 1, "ETag": '"' + "0" * 32 + '"'}]}
    try:
        space.s3.complete_multipart_upload(
            Bucket=space.bucket, Key=key, UploadId=upload, MultipartUpload=wrong
        )
    except boto.ClientError as error:
        space.s3.abort_multipart_upload(Bucket=space.bucket, Key=key, UploadId=upload)
        return {"code": error_code(error)}
    require(False, "an upload was completed with a part that was never sent")
    return None
