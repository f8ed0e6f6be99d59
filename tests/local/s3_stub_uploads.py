"""Multipart uploads of the S3 stub."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

from s3_stub_conditions import Conditions
from s3_stub_model import S3Error


class Uploads(Conditions):
    """The requests that send, show and complete uploads."""

    def _parts(self) -> dict[int, bytes]:
        found = self.bucket.uploads.get(self.query["uploadId"])
        if found is None:
            raise S3Error(404, "NoSuchUpload")
        return found[1]

    def list_parts(self) -> None:
        inside = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(body)}</Size></Part>"
            for number, body in sorted(self._parts().items())
        )
        self.xml("ListPartsResult", inside)

    def put_part(self) -> None:
        if self.body == b"late" and self.broken("an aborted upload can be completed"):
            raise S3Error(404, "NoSuchUpload")
        self._parts()[int(self.query["partNumber"])] = self.body
        if self.body == b"only part" and self.broken("multipart.invisible"):
            self.keep(self.body)
        md5 = hashlib.md5(self.body, usedforsecurity=False).hexdigest()
        self.http.answer(headers={} if self.broken("no ETag") else {"ETag": f'"{md5}"'})

    def copy_part(self) -> None:
        name, _, key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = self.stub.buckets[name].objects[key][-1].body
        first, _, last = (
            self.headers["x-amz-copy-source-range"].removeprefix("bytes=").partition("-")
        )
        body = source if self.broken("multipart.part-copy") else source[int(first) : int(last) + 1]
        self._parts()[int(self.query["partNumber"])] = body
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self.xml("CopyPartResult", f'<ETag>"{md5}"</ETag>')

    def post_object(self) -> None:
        if "uploads" in self.query:
            upload = f"upload-{next(self.stub.ids)}"
            self.bucket.uploads[upload] = (self.key, {})
            self.stub.uploaded.add(self.key)
            self.xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
            return
        parts = self._parts()
        if self.broken("completions break"):
            raise S3Error(500, "InternalError")
        if self.broken("completions are throttled"):
            raise S3Error(503, "SlowDown")
        self.check_conditions(multipart=True)
        self.assemble()
        text = self.body.decode()
        wanted = re.findall(r"<PartNumber>(\d+)</PartNumber>", text)
        tags = [tag.strip('"') for tag in re.findall(r"<ETag>([^<]+)</ETag>", text)]
        found = [hashlib.md5(parts[int(n)], usedforsecurity=False).hexdigest() for n in wanted]
        tags = [tag.replace("&quot;", "").strip('"') for tag in tags]
        if tags != found and not self.broken("multipart.wrong-part"):
            raise S3Error(400, "InvalidPart")
        order = list(parts) if self.broken("multipart.out-of-order") else sorted(map(int, wanted))
        body = b"".join(parts[number] for number in order)
        tag = f"{hashlib.md5(body, usedforsecurity=False).hexdigest()}-{len(order)}"
        one = self.keep(body, etag=f'"{tag}"')
        del self.bucket.uploads[self.query["uploadId"]]
        told = '"of the upload"' if self.broken("multipart.etag") else one.etag
        self.xml("CompleteMultipartUploadResult", f"<ETag>{told}</ETag>")
