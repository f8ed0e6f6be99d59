"""Multipart uploads: how large segments and index files are written."""

from __future__ import annotations

from http import HTTPStatus

import botocore.exceptions as boto

from validation.s3.client.failures import error_code, is_throttled, status_of
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.objects import noise
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


def begun(space: Workspace, name: str) -> tuple[dict[str, str], list[dict[str, object]]]:
    """Return what names an upload that is not completed, and the list of its one part."""
    key = space.key(name)
    upload = space.upload(key)
    parts = send_parts(space, key, upload, [b"only part"])
    return {"Bucket": space.bucket, "Key": key, "UploadId": upload}, parts


@check("multipart.out-of-order", by=_BY, breaks="large files cannot be written, or come back mixed")
def out_of_order(space: Workspace) -> Evidence:
    """Parts sent in any order make the object in the order of their numbers."""
    key, parts = space.key("assembled"), parts_of(space)
    upload = space.upload(key)
    done = send_parts(space, key, upload, parts)
    space.s3.complete_multipart_upload(
        Bucket=space.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
    )
    kept = space.get(key) == b"".join(parts)
    require(kept, "the assembled object differs from its parts", lost=True)
    return {"bytes": sum(map(len, parts))}


@check(
    "multipart.etag",
    by="backup, caches that tell versions apart",
    breaks="a large object is read as changed, or a change is not seen",
    need=Need.OPERATION,
)
def etag(space: Workspace) -> Evidence:
    """Completion, HEAD, GET and LIST give one ETag for one content, another for other content."""
    key, seen = space.key("tagged"), []
    for body in (b"first", b"second"):
        upload = space.upload(key)
        done = {"Parts": send_parts(space, key, upload, [body])}
        tags = {
            "completion": space.s3.complete_multipart_upload(
                Bucket=space.bucket, Key=key, UploadId=upload, MultipartUpload=done
            )["ETag"],
            "HEAD": space.s3.head_object(Bucket=space.bucket, Key=key)["ETag"],
            "GET": space.s3.get_object(Bucket=space.bucket, Key=key)["ETag"],
        }
        (entry,) = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=key)["Contents"]
        tags["LIST"] = entry["ETag"]
        require(len(set(tags.values())) == 1, "they disagree", **tags)
        seen.append(tags["HEAD"])
    require(seen[0] != seen[1], "other content has the same ETag", etag=seen[0])
    return {"etag": seen[1]}


@check(
    "multipart.part-copy",
    by="milvus-backup and tools, for objects above 5 GiB (minio-go ComposeObject)",
    breaks="the largest objects cannot be copied by the store",
    need=Need.OPERATION,
)
def part_copy(space: Workspace) -> Evidence:
    """A part can be a range of another object."""
    content = noise(space.effort.part_bytes + 2_000, 4)
    source, key = space.put(content), space.key("composed")
    upload, size = space.upload(key), space.effort.part_bytes
    done = []
    for number, (first, last) in enumerate(((1_000, 999 + size), (0, 999)), start=1):
        answer = space.s3.upload_part_copy(
            Bucket=space.bucket,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": space.bucket, "Key": source},
            CopySourceRange=f"bytes={first}-{last}",
        )
        done.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    space.s3.complete_multipart_upload(
        Bucket=space.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
    )
    wanted = content[1_000 : 1_000 + size] + content[:1_000]
    require(space.get(key) == wanted, "the copy differs from the ranges of its source")
    return {"bytes": len(wanted)}


@check("multipart.invisible", by=_BY, breaks="half-written files are read as whole ones")
def invisible(space: Workspace) -> Evidence:
    """An upload that is not completed shows no object."""
    upload, _ = begun(space, "unfinished")
    _require_absent(space, upload["Key"], "an unfinished upload can be read")


@check("multipart.abort", by=_BY, breaks="broken uploads fill the store")
def abort(space: Workspace) -> Evidence:
    """An aborted upload is gone: it can be neither continued nor completed."""
    upload, parts = begun(space, "aborted")
    space.s3.abort_multipart_upload(**upload)
    calls = {
        "continued": lambda: space.s3.upload_part(**upload, PartNumber=2, Body=b"late"),
        "completed": lambda: space.s3.complete_multipart_upload(
            **upload, MultipartUpload={"Parts": parts}
        ),
    }
    answers = {}
    for what, call in calls.items():
        try:
            call()
        except boto.ClientError as error:
            if is_throttled(error):
                raise
            answers[what] = f"{status_of(error)} {error_code(error)}"
            continue
        require(False, f"an upload was {what} after it was aborted", **answers)
    _require_absent(space, upload["Key"], "a completion that was refused made the object")
    return answers


def _require_absent(space: Workspace, key: str, what: str) -> None:
    """Require that no object was made: a refusal is known by that, whatever its status."""
    try:
        space.get(key)
    except boto.ClientError as error:
        if status_of(error) != HTTPStatus.NOT_FOUND:
            raise
        return
    require(False, what)


@check("multipart.listing", by="operators (clearing broken uploads)", breaks="leaks stay unseen")
def listing(space: Workspace) -> Evidence:
    """Unfinished uploads and their parts are listed."""
    upload, _ = begun(space, "listed")
    key = upload["Key"]
    parts = space.s3.list_parts(**upload).get("Parts", [])
    found = space.s3.list_multipart_uploads(Bucket=space.bucket, Prefix=key).get("Uploads", [])
    require([part["Size"] for part in parts] == [9], "the part is not listed", parts=len(parts))
    seen = [(entry["Key"], entry["UploadId"]) for entry in found]
    named = (key, upload["UploadId"])
    require(named in seen, "the unfinished upload is not listed", uploads=len(seen))


@check("multipart.wrong-part", by=_BY, breaks="a damaged upload is taken for a good one")
def wrong_part(space: Workspace) -> Evidence:
    """A completion that names a part by a wrong ETag is refused."""
    upload, parts = begun(space, "right")
    # Who refuses the right one too says nothing by refusing the wrong one.
    space.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    upload, _ = begun(space, "wrong")
    wrong = {"Parts": [{"PartNumber": 1, "ETag": '"' + "0" * 32 + '"'}]}
    try:
        space.s3.complete_multipart_upload(**upload, MultipartUpload=wrong)
    except boto.ClientError as error:
        if is_throttled(error):
            raise
        _require_absent(space, upload["Key"], "a completion that was refused made the object")
        return {"answer": f"{status_of(error)} {error_code(error)}"}
    require(False, "an upload was completed with a part that was never sent", lost=True)
    return None
