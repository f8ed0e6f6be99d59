"""What the S3 stub does with a request that may be served: buckets and objects."""

from __future__ import annotations

import hashlib
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

from s3_stub_lists import ROUND, Lists
from s3_stub_model import Bucket, S3Error, Version
from s3_stub_uploads import Uploads

_CACHED_SECONDS = 2.0


class Operations(Lists, Uploads):
    """What a request does, once it may."""

    def __init__(self, handler: Any) -> None:
        self.http = handler
        self.stub = handler.server
        self.broken = handler.server.broken
        self.query, self.headers, self.body = handler.query, handler.lower, handler.body
        self.name, self.key = handler.bucket_name, handler.key
        self.bucket = self.stub.buckets.get(self.name, Bucket())

    def run(self) -> None:
        if self.name not in self.stub.buckets:
            self._of_absent_bucket()
        elif self.key:
            getattr(self, f"{self.http.command.lower()}_object")()
        else:
            getattr(self, f"{self.http.command.lower()}_bucket")()

    def _of_absent_bucket(self) -> None:
        if self.http.command == "PUT" and not self.key:
            if self.broken("making buckets breaks"):
                raise S3Error(500, "InternalError")
            if self.broken("there are too many buckets"):
                raise S3Error(400, "TooManyBuckets")
            if self.broken("no bucket is ever made"):
                raise S3Error(501, "NotImplemented")
            throttled = self.broken("a bucket is made, and the answer is 503")
            if not self.broken("bucket.creation") and not throttled:
                raise S3Error(403, "AccessDenied")
            self.stub.buckets[self.name] = Bucket()
            if throttled:
                raise S3Error(503, "SlowDown")
            self.http.answer()
        elif self.http.command == "HEAD" and self.broken("bucket.missing"):
            self.http.answer()
        else:
            raise S3Error(404, "NoSuchBucket")

    # --- buckets

    def head_bucket(self) -> None:
        if self.broken("bucket.head") and not self.stub.first("HEAD bucket"):
            raise S3Error(404, "NoSuchBucket")
        self.http.answer()

    def delete_bucket(self) -> None:
        del self.stub.buckets[self.name]
        self.http.answer(204)

    def put_bucket(self) -> None:
        raise S3Error(409, "BucketAlreadyOwnedByYou")

    def get_bucket(self) -> None:
        if "location" in self.query:
            region = "eu-other-1" if self.broken("bucket.location") else ""
            self.xml("LocationConstraint", region)
        elif "versioning" in self.query:
            on = self.bucket.versioned
            on |= self.name == "milvus" and self.broken("protection.milvus-unversioned")
            self.xml("VersioningConfiguration", "<Status>Enabled</Status>" * on)
        elif "object-lock" in self.query:
            on = self.bucket.lockable
            on |= self.name == "milvus" and self.broken("protection.milvus-unlocked")
            if not on:
                raise S3Error(404, "ObjectLockConfigurationNotFoundError")
            inside = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
            self.xml("ObjectLockConfiguration", inside)
        elif "uploads" in self.query:
            self.list_uploads()
        elif "versions" in self.query:
            self.list_versions()
        else:
            self.list_objects()

    # --- objects

    def remove(self, key: str) -> None:
        current = self.bucket.current(key)
        if current is None:
            return
        self.bucket.tombs[key] = current
        if self.bucket.versioned:
            marker = Version(b"", "", {}, datetime.now(UTC), str(next(self.stub.ids)), deleted=True)
            self.bucket.objects[key].append(marker)
        else:
            del self.bucket.objects[key]

    def keep(self, body: bytes, *, etag: str = "") -> Version:
        metadata = {
            name: value for name, value in self.headers.items() if name.startswith("x-amz-meta-")
        }
        if "x-amz-meta-note" in metadata and self.broken("objects.metadata"):
            metadata = {}
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        one = Version(body, etag or f'"{md5}"', metadata, datetime.now(UTC))
        if self.bucket.versioned:
            one.id = str(next(self.stub.ids))
        coding = self.headers.get("content-encoding", "")
        if coding and self.broken("integrity.content-encoding"):
            metadata["Content-Encoding"] = coding
        until = self.headers.get("x-amz-object-lock-retain-until-date")
        if until and self.bucket.lockable:
            one.locked_until = datetime.fromisoformat(until)
        history = self.bucket.objects.get(self.key, [])
        self.bucket.objects[self.key] = [*history, one] if self.bucket.versioned else [one]
        self.bucket.tombs.pop(self.key, None)
        return one

    def put_object(self) -> None:
        if "uploadId" in self.query and "x-amz-copy-source" in self.headers:
            self.copy_part()
        elif "uploadId" in self.query:
            self.put_part()
        elif "retention" in self.query:
            self._put_retention()
        elif "x-amz-copy-source" in self.headers:
            self._copy()
        elif self.broken("no object is taken"):
            raise S3Error(507, "InsufficientStorage")
        else:
            self._refuse_name()
            self.check_conditions()
            self.pause()
            current = self.bucket.current(self.key)
            if current and self.body.startswith(b"new ") and self.broken("objects.overwrite"):
                self.http.answer(headers={"ETag": current.etag})
                return
            stale = "consistency.read-after-overwrite"
            if current and self.body.startswith(ROUND) and self.broken(stale):
                self.bucket.tombs[f"stale {self.key}"] = current
                one = self.keep(self.body)
                self.http.answer(headers={"ETag": one.etag})
                return
            one = self.keep(self.body)
            told = "of-this-write" if self.broken("each write is told a version") else one.id
            self.http.answer(headers={"ETag": one.etag, "x-amz-version-id": told})

    def _refuse_name(self) -> None:
        if self.broken("objects.key-unusual") and set(self.key) & set('<>"^`|\\'):
            raise S3Error(400, "InvalidObjectName")
        above = {self.key[:at] for at, one in enumerate(self.key) if one == "/"}
        below = any(key.startswith(f"{self.key}/") for key in self.bucket.objects)
        if self.broken("objects.beside-folder") and (below or above & self.bucket.objects.keys()):
            raise S3Error(409, "ObjectParentIsFile")
        if self.broken("objects.key-length") and len(self.key.encode()) > 1_000:
            raise S3Error(400, "KeyTooLongError")

    def _copy(self) -> None:
        name, _, key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = self.stub.buckets[name].current(key)
        if source is None:
            raise S3Error(404, "NoSuchKey")
        one = self.keep(source.body[: -1 if self.broken("objects.copy") else None])
        self.xml("CopyObjectResult", f"<ETag>{one.etag}</ETag>")

    def _found(self) -> Version:
        wanted = self.query.get("versionId")
        if wanted and not self.broken("protection.backup-versions"):
            for one in self.bucket.objects.get(self.key, []):
                if one.id == wanted:
                    return one
        current = self.bucket.current(self.key)
        if current is None:
            current = self._still_read()
        if current is None:
            self.stub.missed[self.key] = time.monotonic()
            hidden = self.http.command == "HEAD" and self.broken("objects.missing")
            raise S3Error(403, "AccessDenied") if hidden else S3Error(404, "NoSuchKey")
        self.stub.read.add(self.key)
        self._refuse_as_not_there(current)
        return current

    def _refuse_as_not_there(self, current: Version) -> None:
        """Answer 404 for what is there, as stores with caches or late replicas do."""
        missed = time.monotonic() - self.stub.missed.get(self.key, -_CACHED_SECONDS)
        if missed < _CACHED_SECONDS and self.broken("consistency.read-after-miss"):
            raise S3Error(404, "NoSuchKey")
        new = current.body.startswith(ROUND) and re.search(r"/\d{5}$", self.key)
        known = self.key in self.stub.missed or not self.stub.first(f"read {self.key}")
        if new and not known and self.broken("consistency.read-after-write"):
            raise S3Error(404, "NoSuchKey")
        young = datetime.now(UTC) - current.time < timedelta(milliseconds=50)
        if young and self.broken("one read of a hundred lags") and not next(self.stub.reads) % 100:
            raise S3Error(404, "NoSuchKey")

    def _still_read(self) -> Version | None:
        """Return a deleted object that a cache of reads still has."""
        cached = self.key in self.stub.read and self.broken("consistency.read-after-delete")
        return self.bucket.tombs.get(self.key) if cached else None

    def head_object(self) -> None:
        folder = f"{self.key.rstrip('/')}/"
        below = any(key.startswith(folder) for key in self.bucket.objects)
        absent = self.key not in self.bucket.objects
        if absent and below and self.broken("objects.head-prefix"):
            self.http.answer()
            return
        one = self._found()
        size = len(one.body)
        size -= size == 12_345 and self.broken("objects.head")
        headers = self._object_headers(one) | {"Content-Length": str(size)}
        if not self.broken("protection.encryption"):
            headers["x-amz-server-side-encryption"] = "AES256"
        self.http.answer(headers=headers)

    def _object_headers(self, one: Version) -> dict[str, str]:
        return {
            "ETag": one.etag,
            "Last-Modified": format_datetime(one.time, usegmt=True),
            "Content-Type": "application/octet-stream",
            **one.metadata,
        }

    def get_object(self) -> None:
        if "uploadId" in self.query:
            self.list_parts()
            return
        kind = "range" if "range" in self.headers else "checksums"
        if "x-amz-checksum-mode" in self.headers and self.broken(f"integrity.default-{kind}"):
            raise S3Error(501, "NotImplemented")
        one = self._found()
        body = self._as_read(one)
        headers = self._object_headers(one)
        if "-" not in one.etag and self.broken("integrity.etag"):
            headers["ETag"] = '"0"'
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("range", ""))
        if asked is None:
            self.http.answer(200, body, headers)
            return
        first, last = self._range(asked.group(1), asked.group(2), len(body))
        if first >= len(body):
            if not self.broken("objects.range-beyond"):
                raise S3Error(416, "InvalidRange")
            self.http.answer(200, body, headers)
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        self.http.answer(206, body[first : last + 1], headers)

    def _range(self, first: str, last: str, size: int) -> tuple[int, int]:
        plain = "x-amz-checksum-mode" not in self.headers
        if not first:
            if plain and self.broken("objects.suffix-range"):
                return 0, int(last) - 1
            return max(0, size - int(last)), size - 1
        end = min(int(last), size - 1) if last else size - 1
        return int(first), end - (plain and self.broken("objects.range") and int(first) > 0)

    def _as_read(self, one: Version) -> bytes:
        """Return an object's content as this server gives it back, faults and all."""
        body = one.body
        damaged = {
            4_095: "objects.body",
            299_999: "conditional.block",
            300_000: "objects.large",
        }.get(len(body))
        in_one = "-" not in one.etag  # parts of that size are the integrity checks'
        if damaged and in_one and self.broken(damaged):
            return bytes([body[0] ^ 1]) + body[1:]
        if not body and self.broken("objects.zero-byte"):
            return b"\n"
        if body == b"by path" and self.broken("addressing.path"):
            raise S3Error(404, "NoSuchKey")
        by_link = body == b"by link" and "X-Amz-Signature" in self.query
        if by_link and self.broken("access.presigned"):
            raise S3Error(403, "AccessDenied")
        stale = self.bucket.tombs.pop(f"stale {self.key}", None)
        return stale.body if stale else body

    def delete_object(self) -> None:
        if "uploadId" in self.query:
            kept = ("multipart.abort", "an aborted upload can be completed", "uploads stay listed")
            if not any(map(self.broken, kept)):
                self.bucket.uploads.pop(self.query["uploadId"], None)
            self.http.answer(204)
            return
        version = self.query.get("versionId")
        if version and self.broken("no version can be deleted"):
            raise S3Error(400, "InvalidRequest")
        if version and self.broken("deleting a version breaks"):
            raise S3Error(500, "InternalError")
        if version:
            self._delete_version(version)
        elif self.bucket.current(self.key) is None and self.broken("objects.delete"):
            raise S3Error(404, "NoSuchKey")
        else:
            self.remove(self.key)
        self.http.answer(204)

    def _delete_version(self, version: str) -> None:
        left = []
        for one in self.bucket.objects.get(self.key, []):
            locked = one.locked_until and one.locked_until > datetime.now(UTC)
            if one.id == version and locked and not self.broken("protection.backup-lock"):
                raise S3Error(403, "AccessDenied")
            if one.id != version:
                left.append(one)
        self.bucket.objects[self.key] = left
        if not left:
            del self.bucket.objects[self.key]

    def _put_retention(self) -> None:
        found = re.search(rb"<RetainUntilDate>([^<]+)<", self.body)
        one = self._found()
        until = datetime.fromisoformat(found.group(1).decode()) if found else datetime.now(UTC)
        if one.locked_until and until < one.locked_until:
            raise S3Error(403, "AccessDenied")
        one.locked_until = until
        self.http.answer()
