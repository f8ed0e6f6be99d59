"""Completions of uploads as networks and large files make them: twice, refused, of many parts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.failures import error_code, is_throttled, status_of
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.multipart import begun
from validation.s3.workspace import Workspace

_SENDERS = 16
_PAGE = 1_000


def _said(call: Callable[[], object]) -> str:
    """Return how a request was answered that the store may refuse."""
    try:
        call()
    except boto.ClientError as error:
        if is_throttled(error):
            raise
        return f"{status_of(error)} {error_code(error)}"
    return "200"


@check(
    "multipart.repeated-completion",
    by="every SDK, where the answer to a completion was lost on the way",
    breaks="a file that was written is told as failed, and Milvus's writer ends (milvus #44853)",
    need=Need.OPERATION,
)
def repeated(space: Workspace) -> Evidence:
    """The same completion sent twice succeeds twice, and brings back nothing overwritten since."""
    upload, parts = begun(space, "completed twice")
    key = upload["Key"]

    def complete() -> None:
        space.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    complete()
    whole = space.get(key)
    answers = {"again": _said(complete)}
    require(space.get(key) == whole, "the repetition changed the object", **answers, lost=True)
    space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"newer")
    answers["after_overwrite"] = _said(complete)
    kept = space.get(key) == b"newer"
    require(kept, "a repeated completion brought overwritten content back", **answers, lost=True)
    require(answers["again"] == "200", f"the repetition was answered {answers['again']}", **answers)
    return answers


@check(
    "multipart.error-status",
    by="clients that go by the status, as aws-sdk-cpp does of most answers",
    breaks="a completion that failed is taken for done: the file is not there",
    need=Need.OPERATION,
)
def error_status(space: Workspace) -> Evidence:
    """A completion that is refused is refused by its status, not in the document of a success."""
    upload, _ = begun(space, "refused")
    part = f"<Part><PartNumber>1</PartNumber><ETag>{'0' * 32}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    query = {"uploadId": upload["UploadId"]}
    reply = space.send("POST", upload["Key"], query=query, body=document)
    require(not (reply.ok and reply.code), f"an error came in the document of a success: {reply}")
    if reply.ok:
        raise UnsupportedError("it completed what names a part wrongly: see multipart.wrong-part")
    return {"answer": str(reply)}


def _sent(space: Workspace, upload: dict[str, str], count: int) -> list[dict[str, Any]]:
    """Send small parts in disorder and return the list that completes them."""

    def one(number: int) -> dict[str, Any]:
        body = f"part {number} ".encode()
        answer = space.s3.upload_part(**upload, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    with ThreadPoolExecutor(_SENDERS) as pool:
        return sorted(pool.map(one, range(count, 0, -1)), key=lambda part: part["PartNumber"])


@check(
    "multipart.part-pages",
    by="tools that resume an upload, and clear broken ones",
    breaks="a resumed upload leaves parts out, or sends them twice",
    need=Need.OPERATION,
)
def part_pages(space: Workspace) -> Evidence:
    """Parts are listed in the order of their numbers, page after page, none left out."""
    key = space.key("pages")
    upload = {"Bucket": space.bucket, "Key": key, "UploadId": space.upload(key)}
    count, page = 12, 5
    _sent(space, upload, count)
    seen: list[int] = []
    more: dict[str, Any] = {}
    for _ in range(count):
        answer = space.s3.list_parts(**upload, MaxParts=page, **more)
        numbers = [part["PartNumber"] for part in answer.get("Parts", ())]
        require(len(numbers) <= page, "a page holds more than was asked for", seen=numbers)
        seen += numbers
        if not answer["IsTruncated"]:
            break
        more = {"PartNumberMarker": answer["NextPartNumberMarker"]}
    require(seen == list(range(1, count + 1)), "not the parts in their order", seen=seen)


@check(
    "multipart.many-parts",
    by="Storage V2's writer (parts of 10 MiB: files above 10 GB)",
    breaks="the largest files cannot be completed, or lack what came after the first 1,000 parts",
    need=Need.OPERATION,
)
def many_parts(space: Workspace) -> Evidence:
    """More than 1,000 parts make one object of all of them."""
    count = space.effort.parts
    for some in (2, count):  # with two it shows whether a store takes parts so small
        key = space.key("many")
        upload = {"Bucket": space.bucket, "Key": key, "UploadId": space.upload(key)}
        parts = _sent(space, upload, some)
        try:
            space.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except boto.ClientError as error:
            if error_code(error) != "EntityTooSmall":
                raise
            raise UnsupportedError(
                f"the store wants parts of 5 MiB, and {count:,} of them are too much to write here"
            ) from None
        whole = b"".join(f"part {number} ".encode() for number in range(1, some + 1))
        kept = space.get(key)
        require(kept == whole, "not all of the parts", sent=len(whole), stored=len(kept), lost=True)
    return {"parts": count}
