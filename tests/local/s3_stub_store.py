"""What the S3 stub does with a request that may be served: buckets, objects, listings, uploads."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape, unescape

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_RIVAL_SECONDS = 2.0
"""How long a write waits for a rival's, which may never come."""


@dataclasses.dataclass
class Version:
    body: bytes
    etag: str
    metadata: dict[str, str]
    time: datetime
    id: str = "null"
    locked_until: datetime | None = None
    deleted: bool = False


@dataclasses.dataclass
class Bucket:
    versioned: bool = False
    lockable: bool = False
    objects: dict[str, list[Version]] = dataclasses.field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = dataclasses.field(default_factory=dict)
    tombs: dict[str, Version] = dataclasses.field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        versions = self.objects.get(key)
        return versions[-1] if versions and not versions[-1].deleted else None


class S3Error(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Operations:
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

    def xml(self, name: str, inside: str, status: int = 200) -> None:
        self.http.answer(status, f"<?xml version='1.0'?><{name} {XMLNS}>{inside}</{name}>".encode())

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
            self._list_uploads()
        elif "versions" in self.query:
            self._list_versions()
        else:
            self._list()

    def _list_uploads(self) -> None:
        inside = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId></Upload>"
            for upload, (key, _) in self.bucket.uploads.items()
            if key.startswith(self.query.get("prefix", "")) and not self.broken("multipart.listing")
        )
        self.xml("ListMultipartUploadsResult", inside)

    def _list_versions(self) -> None:
        inside = "".join(
            f"<{tag}><Key>{escape(key)}</Key><VersionId>{one.id}</VersionId></{tag}>"
            for key, versions in sorted(self.bucket.objects.items())
            for one in versions
            if (tag := "DeleteMarker" if one.deleted else "Version")
            and key.startswith(self.query.get("prefix", ""))
        )
        self.xml("ListVersionsResult", inside)

    def _visible(self, prefix: str) -> dict[str, Version]:
        if self.broken("listing.prefix"):
            prefix = prefix.rstrip("/")
        found = {
            key: one
            for key in sorted(self.bucket.objects)
            if key.startswith(prefix) and (one := self.bucket.current(key)) is not None
        }
        exact = found.get(prefix)
        late = exact and exact.body == b"x" and self.broken("consistency.list-after-write")
        if late and self.stub.first(f"LIST {prefix}"):
            found = {}
        ghost = self.bucket.tombs.get(prefix)
        if ghost and ghost.body == b"x" and self.broken("consistency.list-after-delete"):
            found[prefix] = ghost
        return found

    def _list(self) -> None:
        query, second = self.query, self.query.get("list-type") == "2"
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        if self.broken(f"listing.v{1 + second}-delimiter"):
            delimiter = ""
        token = base64.b64decode(query.get("continuation-token", "")).decode()
        after = token or query.get("start-after" if second else "marker", "")
        visible = self._visible(prefix)
        keys = [key for key in visible if key > after]
        if second and not token and after in visible and self.broken("listing.start-after"):
            keys.insert(0, after)
        if not second and after in visible and self.broken("listing.v1-paging"):
            keys.insert(0, after)
        if token and self.broken("listing.v2-paging"):
            keys = keys[1:]
        entries, shared = [], []
        for key in keys:
            tail = key[len(prefix) :]
            if delimiter and delimiter in tail:
                group = prefix + tail.split(delimiter)[0] + delimiter
                if group not in shared:
                    shared.append(group)
            else:
                entries.append(key)
        limit = int(query.get("max-keys", 1_000))
        page, cut = entries[:limit], len(entries) > limit
        inside = f"<IsTruncated>{str(cut).lower()}</IsTruncated><KeyCount>{len(page)}</KeyCount>"
        if cut:
            text = base64.b64encode(page[-1].encode()).decode()
            inside += f"<NextContinuationToken>{text}</NextContinuationToken>"
            inside += f"<NextMarker>{escape(page[-1])}</NextMarker>"
        inside += "".join(self._entry(key, visible[key]) for key in page)
        inside += "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in shared
        )
        self.xml("ListBucketResult", inside)

    def _entry(self, key: str, one: Version) -> str:
        size = len(one.body) + self.broken("listing.attributes")
        return (
            f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>{one.etag}</ETag>"
            f"<LastModified>{one.time:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
        )

    def post_bucket(self) -> None:
        by_md5 = "content-md5" in self.headers
        if not by_md5 and self.broken("listing.batch-delete-checksum"):
            raise S3Error(400, "MissingContentMD5")
        keys = [unescape(key) for key in re.findall(r"<Key>([^<]*)</Key>", self.body.decode())]
        if by_md5 and self.broken("listing.batch-delete"):
            keys = keys[:1]
        for key in keys:
            self._delete(key)
        self.xml("DeleteResult", "".join(f"<Deleted><Key>{k}</Key></Deleted>" for k in keys))

    # --- objects

    def _delete(self, key: str) -> None:
        current = self.bucket.current(key)
        if current is None:
            return
        self.bucket.tombs[key] = current
        if self.bucket.versioned:
            marker = Version(b"", "", {}, datetime.now(UTC), str(next(self.stub.ids)), deleted=True)
            self.bucket.objects[key].append(marker)
        else:
            del self.bucket.objects[key]

    def _store(self, body: bytes, *, etag: str = "") -> Version:
        metadata = {
            name: value for name, value in self.headers.items() if name.startswith("x-amz-meta-")
        }
        if "x-amz-meta-note" in metadata and self.broken("objects.metadata"):
            metadata = {}
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        one = Version(body, etag or f'"{md5}"', metadata, datetime.now(UTC))
        if self.bucket.versioned:
            one.id = str(next(self.stub.ids))
        until = self.headers.get("x-amz-object-lock-retain-until-date")
        if until and self.bucket.lockable:
            one.locked_until = datetime.fromisoformat(until)
        history = self.bucket.objects.get(self.key, [])
        self.bucket.objects[self.key] = [*history, one] if self.bucket.versioned else [one]
        self.bucket.tombs.pop(self.key, None)
        return one

    def _conditions(self, *, multipart: bool = False) -> None:
        current = self.bucket.current(self.key)
        if self.headers.get("if-none-match") == "*":
            if multipart and self.broken("no conditional completion"):
                raise S3Error(412, "PreconditionFailed")
            if self.bucket.versioned and self.broken("conditional.versioned"):
                raise S3Error(501, "NotImplemented")
            if self.key in self.bucket.tombs and self.broken("conditional.after-delete"):
                raise S3Error(412, "PreconditionFailed")
            if current is not None and not self._ignored(current, multipart=multipart):
                if self.body == b"second" and self.broken("conditional.create"):
                    self._store(self.body)
                raise S3Error(412, "PreconditionFailed")
        match = self.headers.get("if-match")
        outdated = match and (current is None or current.etag != match)
        if outdated and not self.broken("conditional.if-match"):
            raise S3Error(412, "PreconditionFailed")

    def _ignored(self, current: Version, *, multipart: bool) -> bool:
        """Tell whether a fault lets a conditional write pass that must be refused."""
        last = self.key.rpartition("/")[2]
        fences = [one.get("x-amz-meta-fenced") for one in (current.metadata, self.headers)]
        return (
            (multipart and self.broken("conditional.multipart"))
            or (last == "0.blk" and self.broken("conditional.fence-race"))
            or (fences == ["true", "true"] and self.broken("conditional.fence"))
            or (
                last.startswith("race-")
                and not self.bucket.versioned
                and self.broken("conditional.race")
                and self.stub.first(f"second winner {self.key}")
            )
        )

    def put_object(self) -> None:
        if "uploadId" in self.query:
            self._put_part()
        elif "retention" in self.query:
            self._put_retention()
        elif "x-amz-copy-source" in self.headers:
            self._copy()
        elif self.broken("no object is taken"):
            raise S3Error(507, "InsufficientStorage")
        else:
            self._conditions()
            self._pause()
            current = self.bucket.current(self.key)
            if current and self.body.startswith(b"new ") and self.broken("objects.overwrite"):
                self.http.answer(headers={"ETag": current.etag})
                return
            stale = "consistency.read-after-overwrite"
            if current and self.body.startswith(b"content ") and self.broken(stale):
                self.bucket.tombs[f"stale {self.key}"] = current
                one = self._store(self.body)
                self.http.answer(headers={"ETag": one.etag})
                return
            one = self._store(self.body)
            self.http.answer(headers={"ETag": one.etag, "x-amz-version-id": one.id})

    def _pause(self) -> None:
        """Let a rival in between the check of a condition and the write that stands on it."""
        raced = self.key.rpartition("/")[2].startswith(("race-", "0.blk"))
        if raced and self.broken("check, then write") and "if-none-match" in self.headers:
            self.stub.writers[self.key] += 1
            self.stub.checked.notify_all()
            self.stub.checked.wait_for(lambda: self.stub.writers[self.key] > 1, _RIVAL_SECONDS)

    def _copy(self) -> None:
        name, _, key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = self.stub.buckets[name].current(key)
        if source is None:
            raise S3Error(404, "NoSuchKey")
        one = self._store(source.body[: -1 if self.broken("objects.copy") else None])
        self.xml("CopyObjectResult", f"<ETag>{one.etag}</ETag>")

    def _found(self) -> Version:
        wanted = self.query.get("versionId")
        if wanted and not self.broken("protection.backup-versions"):
            for one in self.bucket.objects.get(self.key, []):
                if one.id == wanted:
                    return one
        current = self.bucket.current(self.key)
        if current is None:
            hidden = self.http.command == "HEAD" and self.broken("objects.missing")
            raise S3Error(403, "AccessDenied") if hidden else S3Error(404, "NoSuchKey")
        return current

    def head_object(self) -> None:
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
            self._list_parts()
            return
        if "x-amz-checksum-mode" in self.headers and self.broken("integrity.default-checksums"):
            raise S3Error(501, "NotImplemented")
        one = self._found()
        body = self._as_read(one)
        headers = self._object_headers(one)
        if self.broken("integrity.etag"):
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
        if not first:
            if self.broken("objects.suffix-range"):
                return 0, int(last) - 1
            return max(0, size - int(last)), size - 1
        end = min(int(last), size - 1) if last else size - 1
        return int(first), end - (self.broken("objects.range") and int(first) > 0)

    def _as_read(self, one: Version) -> bytes:
        """Return an object's content as this server gives it back, faults and all."""
        body = one.body
        damaged = {4_095: "objects.body", 300_000: "objects.large"}.get(len(body))
        if damaged and self.broken(damaged):
            return bytes([body[0] ^ 1]) + body[1:]
        if not body and self.broken("objects.zero-byte"):
            return b"\n"
        if body == b"by path" and self.broken("addressing.path"):
            raise S3Error(404, "NoSuchKey")
        by_link = body == b"by link" and "X-Amz-Signature" in self.query
        if by_link and self.broken("access.presigned"):
            raise S3Error(403, "AccessDenied")
        new = self.key.endswith("/new") and self.broken("consistency.read-after-write")
        if new and self.stub.first(f"GET {self.key}"):
            raise S3Error(404, "NoSuchKey")
        stale = self.bucket.tombs.pop(f"stale {self.key}", None)
        return stale.body if stale else body

    def delete_object(self) -> None:
        if "uploadId" in self.query:
            kept = ("multipart.abort", "an aborted upload can be completed")
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
            self._delete(self.key)
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

    # --- multipart uploads

    def _parts(self) -> dict[int, bytes]:
        found = self.bucket.uploads.get(self.query["uploadId"])
        if found is None:
            raise S3Error(404, "NoSuchUpload")
        return found[1]

    def _list_parts(self) -> None:
        inside = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(body)}</Size></Part>"
            for number, body in sorted(self._parts().items())
        )
        self.xml("ListPartsResult", inside)

    def _put_part(self) -> None:
        if self.body == b"late" and self.broken("an aborted upload can be completed"):
            raise S3Error(404, "NoSuchUpload")
        self._parts()[int(self.query["partNumber"])] = self.body
        if self.body == b"only part" and self.broken("multipart.invisible"):
            self._store(self.body)
        md5 = hashlib.md5(self.body, usedforsecurity=False).hexdigest()
        self.http.answer(headers={} if self.broken("no ETag") else {"ETag": f'"{md5}"'})

    def post_object(self) -> None:
        if "uploads" in self.query:
            upload = f"upload-{next(self.stub.ids)}"
            self.bucket.uploads[upload] = (self.key, {})
            self.xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
            return
        parts = self._parts()
        if self.broken("completions break"):
            raise S3Error(500, "InternalError")
        if self.broken("completions are throttled"):
            raise S3Error(503, "SlowDown")
        self._conditions(multipart=True)
        text = self.body.decode()
        wanted = re.findall(r"<PartNumber>(\d+)</PartNumber>", text)
        tags = [tag.strip('"') for tag in re.findall(r"<ETag>([^<]+)</ETag>", text)]
        found = [hashlib.md5(parts[int(n)], usedforsecurity=False).hexdigest() for n in wanted]
        tags = [tag.replace("&quot;", "").strip('"') for tag in tags]
        if tags != found and not self.broken("multipart.wrong-part"):
            raise S3Error(400, "InvalidPart")
        order = list(parts) if self.broken("multipart.out-of-order") else sorted(map(int, wanted))
        one = self._store(b"".join(parts[number] for number in order), etag='"assembled-1"')
        del self.bucket.uploads[self.query["uploadId"]]
        self.xml("CompleteMultipartUploadResult", f"<ETag>{one.etag}</ETag>")
