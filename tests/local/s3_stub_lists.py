"""Listings of the S3 stub, and its batch delete."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape, unescape

from s3_stub_model import Request, S3Error, Version

ROUND = b"content "
"""What the rounds that look for weak consistency write."""
_PAGE = 1_000
_FEW = 7
"""What stands for 1,000 where a fault is about more than that."""


def _names(keys: Iterable[str], prefix: str, delimiter: str) -> list[str]:
    """Return keys and common prefixes in their order."""
    names: dict[str, None] = {}
    for key in keys:
        tail = key[len(prefix) :]
        shared = delimiter and delimiter in tail
        names[prefix + tail.split(delimiter)[0] + delimiter if shared else key] = None
    return list(names)


class Lists(Request):
    """The requests to a bucket that show or delete many keys."""

    def list_uploads(self) -> None:
        inside = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId></Upload>"
            for upload, (key, _) in self.bucket.uploads.items()
            if key.startswith(self.query.get("prefix", "")) and not self.broken("multipart.listing")
        )
        self.xml("ListMultipartUploadsResult", inside)

    def list_versions(self) -> None:
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
        late = exact and exact.body.startswith(ROUND)
        late = late and self.broken("consistency.list-after-write")
        if late and self.stub.first(f"LIST {prefix}"):
            found = {}
        ghost = self.bucket.tombs.get(prefix)
        left = ghost and ghost.body.startswith(ROUND)
        if ghost and left and self.broken("consistency.list-after-delete"):
            found[prefix] = ghost
        return self._lagging(found)

    def _lagging(self, found: dict[str, Version]) -> dict[str, Version]:
        """Leave out of one listing in a hundred what is younger than 50 ms."""
        if not self.broken("one listing of a hundred lags"):
            return found
        if next(self.stub.listings) % 100:
            return found
        young = datetime.now(UTC) - timedelta(milliseconds=50)
        return {key: one for key, one in found.items() if one.time < young}

    def _emptied(self, prefix: str) -> list[str]:
        """Return deleted keys below a prefix whose folders are still listed."""
        below = f"{prefix}emptied/" if self.broken("listing.emptied-folder") else prefix
        stay = self.broken("listing.emptied-folder") or self.broken("emptied folders stay")
        return [key for key in self.bucket.tombs if stay and key.startswith(below)]

    def _break(self) -> None:
        breaks = self.broken("one listing of ten breaks") and not next(self.stub.listings) % 10
        if breaks or self.broken("listings break"):
            raise S3Error(500, "InternalError")

    def list_objects(self) -> None:
        self._break()
        query, second = self.query, self.query.get("list-type") == "2"
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = base64.b64decode(query.get("continuation-token", "")).decode()
        after = token or query.get("start-after" if second else "marker", "")
        visible = self._visible(prefix)
        names = _names(visible, prefix, delimiter)
        if gone := self._emptied(prefix) if delimiter else []:
            names = sorted({*names, *_names(gone, prefix, delimiter)})
        if delimiter and self.broken(f"listing.v{1 + second}-delimiter"):
            names = [name for name in names if name not in visible]
        left = [name for name in names if name > after]
        if second and not token and after in visible and self.broken("listing.start-after"):
            left.insert(0, after)
        if not second and after in visible and self.broken("listing.v1-paging"):
            left.insert(0, after)
        if token and not delimiter and self.broken("listing.v2-paging"):
            left = left[1:]
        if token and self.broken("listing.many-prefixes"):
            left = [name for name in left if name in visible]
        ends = "max-keys" not in query and not delimiter and self.broken("listing.default-page")
        limit = min(int(query.get("max-keys") or (_FEW if ends else _PAGE)), _PAGE)
        if self.broken("a page is as long as the store likes"):
            limit = _PAGE
        page, cut = left[:limit], len(left) > limit and not ends
        inside = f"<IsTruncated>{str(cut).lower()}</IsTruncated><KeyCount>{len(page)}</KeyCount>"
        if cut:
            text = base64.b64encode(page[-1].encode()).decode()
            inside += f"<NextContinuationToken>{text}</NextContinuationToken>"
            inside += f"<NextMarker>{escape(page[-1])}</NextMarker>"
        inside += "".join(self._entry(name, visible[name]) for name in page if name in visible)
        inside += "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
            for one in page
            if one not in visible
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
        if len(keys) > _FEW and self.broken("listing.batch-delete-many"):
            raise S3Error(400, "MalformedXML")
        if by_md5 and len(keys) <= _FEW and self.broken("listing.batch-delete"):
            keys = keys[:1]
        for key in keys:
            self.remove(key)
        self.xml(
            "DeleteResult", "".join(f"<Deleted><Key>{k}</Key></Deleted>" for k in map(escape, keys))
        )
