"""Multipart uploads of the S3 stub."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

from s3_stub_conditions import Conditions
from s3_stub_model import S3Error

_MANY = 10
"""What stands for 1,000 parts where a fault is about more than that."""


class Uploads(Conditions):
    """The requests that send, show and complete uploads."""

    def _parts(self) -> dict[int, bytes]:
        found = self.bucket.uploads.get(self.query["uploadId"])
        if found is None:
            odd = self.broken("what is refused is answered with 500")
            raise S3Error(500 if odd else 404, "NoSuchUpload")
        return found[1]

    def list_parts(self) -> None:
        after, most = (
            int(self.query.get(name, usual))
            for name, usual in (("part-number-marker", 0), ("max-parts", 1_000))
        )
        left = sorted(one for one in self._parts().items() if one[0] > after)
        page = left[:most]
        cut, last = len(left) > most, page[-1][0] if page else 0
        if self.broken("multipart.part-pages"):
            page.reverse()
        inside = f"<IsTruncated>{str(cut).lower()}</IsTruncated>"
        inside += f"<NextPartNumberMarker>{last}</NextPartNumberMarker>"
        inside += "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(body)}</Size></Part>"
            for number, body in page
        )
        self.xml("ListPartsResult", inside)

    def put_part(self) -> None:
        if self.body == b"late" and self.broken("an aborted upload can be completed"):
            raise S3Error(404, "NoSuchUpload")
        self._parts()[int(self.query["partNumber"])] = self.body
        if self.key.endswith("/unfinished") and self.broken("multipart.invisible"):
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
            conditional = self.headers.get("if-none-match") == "*"
            there = conditional and self.bucket.current(self.key) is not None
            if there and not self.broken("conditional.large-block"):
                raise S3Error(412, "PreconditionFailed")
            upload = f"upload-{next(self.stub.ids)}"
            self.bucket.uploads[upload] = (self.key, {})
            self.stub.uploaded.add(self.key)
            self.xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
            return
        done = self.stub.completed.get(self.query["uploadId"])
        if done is not None and not self.broken("multipart.repeated-completion"):
            self.xml("CompleteMultipartUploadResult", f"<ETag>{done}</ETag>")
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
        if self.key.endswith("/refused") and self.broken("multipart.error-status"):
            self.http.answer(body=b"<Error><Code>InvalidPart</Code></Error>")
            return
        if tags != found and not self.broken("multipart.wrong-part"):
            odd = self.broken("what is refused is answered with 500")
            raise S3Error(500 if odd else 400, "InvalidPart")
        order = sorted(map(int, wanted))
        if self.key.endswith("/assembled") and self.broken("multipart.out-of-order"):
            order = list(parts)
        if self.broken("multipart.many-parts"):
            order = order[:_MANY]
        body = b"".join(parts[number] for number in order)
        tag = f"{hashlib.md5(body, usedforsecurity=False).hexdigest()}-{len(order)}"
        one = self.keep(body, etag=f'"{tag}"')
        del self.bucket.uploads[self.query["uploadId"]]
        self.stub.completed[self.query["uploadId"]] = one.etag
        told = '"of the upload"' if self.broken("multipart.etag") else one.etag
        self.xml("CompleteMultipartUploadResult", f"<ETag>{told}</ETag>")
