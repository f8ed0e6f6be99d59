"""The one place of a bucket where checks write: a prefix of their own, swept when they are through.

Nothing is deleted that this process did not name itself: `Workspace.key` is the only way to a key
that may be written, it remembers each one, and only those are deleted. A store whose listing goes
astray can therefore not make us delete another's objects. The same holds for buckets.
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import botocore.exceptions as boto

from validation.errors import (
    MeasurementError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys
from validation.s3.client.failures import error_code, is_failure, says_full, status_of, translated
from validation.s3.client.wire import Reply, Request, exchange, is_page, located, send
from validation.s3.sweeping import SWEEPERS, TROUBLE, swept
from validation.target import Storage

NAME = "milvus-kit-preflight"
"""How the name of every prefix and bucket begins that a run gives itself."""
MARK = b"milvus-kit preflight"
MARKED = "0000/probe"
"""Where a run's mark is below its prefix: see `remains`."""
EMPTIED = "a folder without objects that the store still lists"
UNFINISHED = "an unfinished upload that is still listed"
_NOT_FOUND = 404


def prefix_below(root_path: str) -> str:
    """Return the beginning of all keys below a root path."""
    root = root_path.strip("/")
    return f"{root}/" if root else ""


class BusyError(MeasurementError):
    """The store asks to slow down: what was asked must be asked again later."""


@dataclasses.dataclass(frozen=True)
class Permissions:
    """What a user allows the checks beyond writing below their own prefix, and what they declare.

    Args:
        make_buckets: Buckets named ``milvus-kit-preflight-…`` may be made, and are removed again.
        versioned_bucket: A bucket with versioning that may be used.
        backup_bucket: The bucket for backups, with versioning and object lock.
        other_bucket: A bucket the Milvus key must not be able to read.
        bucket_creation: Whether the Milvus key should be able to make buckets.
        prefix_isolation: Whether the Milvus key should be refused outside its root path.
        outsider: A key that may write outside the root path, and in the other bucket. Only with an
            object that is there can be seen whether the Milvus key may read: of an absent one a
            key that may not list is told 403 either way.
    """

    make_buckets: bool = False
    versioned_bucket: str | None = None
    backup_bucket: str | None = None
    other_bucket: str | None = None
    bucket_creation: str | None = None
    prefix_isolation: bool = False
    outsider: Keys | None = None


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much the checks do."""

    listed_keys: int = 1_050
    page: int = 1_000
    large_bytes: int = 32 << 20
    part_bytes: int = 10 << 20
    parts: int = 1_001
    racers: int = 16
    races: int = 149
    """So many find with 95 % a store in which one race in 50 has two winners: 0.98^149 < 0.05."""
    completion_races: int = 20
    """Of uploads that are completed on condition, which no part of Milvus relies on."""
    versioned_races: int = 5
    consistency_rounds: int = 300
    retention_seconds: int = 8


class Workspace:
    """Clients of a store and a prefix of our own in its bucket. Make one with `opened`.

    Args:
        storage: The store.
        permissions: What may be done beyond the prefix.
        effort: How much is done.
    """

    def __init__(
        self, storage: Storage, permissions: Permissions | None = None, effort: Effort | None = None
    ) -> None:
        self.storage = storage
        self.bucket = storage.bucket
        self.permissions = permissions or Permissions()
        self.effort = effort or Effort()
        self.run = secrets.token_hex(6)
        self.prefix = f"{prefix_below(storage.root)}{NAME}-{self.run}/"
        self.s3 = connect(storage)
        self.shared: dict[str, Any] = {}
        """What one check prepared for others of its topic."""
        self.outside: list[str] = []
        """What another key wrote outside our prefix and could not remove again, as bucket/key."""
        self.divided: tuple[str, ...] = ()
        """Addresses of the endpoint that turned out not to show the same store."""
        self._keys: dict[str, list[str]] = {self.bucket: []}
        self._made: list[str] = []
        self._uploads: list[tuple[str, str]] = []
        self._counter = itertools.count()
        self._lock = threading.Lock()

    def folder(self) -> str:
        """Return a fresh prefix below ours, ending in a slash."""
        return f"{self.prefix}{next(self._counter):04d}/"

    def key(self, name: str = "object", *, folder: str | None = None, bucket: str = "") -> str:
        """Return a key that may be written, and remember to delete it.

        Args:
            name: Its last part; may hold slashes.
            folder: From `folder`; a fresh one if left out.
            bucket: The workspace's own if left out.
        """
        key = (folder or self.folder()) + name
        with self._lock:
            self._keys.setdefault(bucket or self.bucket, []).append(key)
        return key

    def put(self, body: bytes, name: str = "object", **more: Any) -> str:
        """Write an object under a fresh key and return the key."""
        key = self.key(name)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)
        return key

    def get(self, key: str, **more: Any) -> bytes:
        """Return an object's content."""
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)["Body"].read()

    def upload(self, key: str, **more: Any) -> str:
        """Start a multipart upload and return its id.

        It is aborted in the end, and not by checks: that a store cannot is a rule of its own.
        """
        found = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, **more)["UploadId"]
        self.adopt(key, found)
        return found

    def adopt(self, key: str, upload: str) -> None:
        """Remember to abort an upload that was begun by hand."""
        with self._lock:
            self._uploads.append((key, upload))

    def send(self, method: str, key: str = "", **more: Any) -> Reply:
        """Send a request by hand; see `wire.Request`.

        Raises:
            BusyError: The store asks us to slow down.
            UnsupportedError: The store is full.
            UnreachableError: What answers is no store any more.
        """
        return self.ask(Request(method, key, **more))

    def ask(self, request: Request) -> Reply:
        """Send a request that was made before; as `send`."""
        return self._heeded(request.method, send(self.storage, request))

    def follow(self, link: str) -> Reply:
        """Get what a presigned link names, without any key; see `wire.link`.

        Raises:
            BusyError: The store asks us to slow down.
        """
        host, _ = located(self.storage)
        return self._heeded("GET", exchange(self.storage, "GET", link, {"host": host}))

    def _heeded(self, method: str, reply: Reply) -> Reply:
        if reply.status in {429, 503}:
            raise BusyError(f"{method} answered {reply}", where=self.storage.endpoint)
        if says_full(reply.code, reply.status):
            raise UnsupportedError("the store is full", seen=f"{method}: {reply}")
        if reply.ok and is_page(reply.body):
            raise UnreachableError("a web page answers, not S3", where=self.storage.endpoint)
        return reply

    def client(self, **changes: Any) -> Any:
        """Return a client that differs from the usual one; see `client.connect`."""
        return connect(self.storage, **changes)

    def stranger(self) -> Keys:
        """Return a key pair nobody has."""
        return Keys("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))

    def make_bucket(self, suffix: str, **more: Any) -> str:
        """Make a bucket of our own, which is removed in the end.

        Raises:
            UsageError: The user did not allow it.
        """
        if not self.permissions.make_buckets:
            raise UsageError("making buckets was not allowed", remedy="give --make-buckets")
        name = f"{NAME}-{self.run}-{suffix}"
        if self.storage.region != "us-east-1":  # S3 refuses to be told its default region
            more["CreateBucketConfiguration"] = {"LocationConstraint": self.storage.region}
        self.try_bucket(name, **more)
        return name

    def try_bucket(self, name: str, **more: Any) -> None:
        """Ask for a bucket of this run's own name, which is removed in the end if it was made.

        Raises:
            ClientError: The store refuses.
        """
        self._made.append(name)  # before it is there, so that an interruption leaves none
        try:
            self.s3.create_bucket(Bucket=name, **more)
        except boto.ClientError as error:
            if error_code(error) == "BucketAlreadyOwnedByYou":
                return  # an earlier request of this run made it, to which the store answered 503
            if not is_failure(error):  # a store that fails may have made it all the same
                self._made.remove(name)
            raise

    def sweep(self) -> list[str]:
        """Delete what was written and return what is left of it, as ``bucket/key``."""
        with ThreadPoolExecutor(SWEEPERS) as pool:
            list(pool.map(self._abort, self._uploads))
        # The mark goes last, and stays where others do: by it `remains` knows that they are ours.
        mark = {self.prefix + MARKED} & set(self._keys[self.bucket])
        left = list(self.outside)
        for bucket, keys in self._keys.items():
            found = self._swept(bucket, set(keys) - mark)
            if bucket == self.bucket:
                stay = {one.partition(" (version ")[0] for one in found} & set(keys)
                found = sorted({*found, *(mark if stay else self._swept(bucket, mark))})
            if bucket not in self._made:  # those go with their bucket, or stay
                left += [f"{bucket}/{key}" for key in found]
        left += [f"{self.bucket}/{what}" for what in self._shown()]
        return left + [f"{bucket}/" for bucket in reversed(self._made) if not self._removed(bucket)]

    def _abort(self, started: tuple[str, str]) -> None:
        key, upload = started
        with suppress(*TROUBLE):
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)

    def _shown(self) -> list[str]:
        """Return what the store still shows of what should be gone: uploads, emptied folders."""
        shown = []
        ours = {"Bucket": self.bucket, "Prefix": self.prefix}
        with suppress(*TROUBLE):  # not every store lists uploads
            uploads = self.s3.list_multipart_uploads(**ours).get("Uploads", ())
            begun = {upload for _, upload in self._uploads}
            shown += [f"{one['Key']} ({UNFINISHED})" for one in uploads if one["UploadId"] in begun]
        with suppress(*TROUBLE):
            objects = self.s3.list_objects_v2(**ours, MaxKeys=1).get("Contents")
            above = {"Bucket": self.bucket, "Prefix": self.prefix.rstrip("/"), "Delimiter": "/"}
            folders = self.s3.list_objects_v2(**above).get("CommonPrefixes", ())
            if not objects and self.prefix in [one["Prefix"] for one in folders]:
                shown.append(f"{self.prefix} ({EMPTIED})")
        return shown

    def _removed(self, bucket: str) -> bool:
        try:
            self.s3.delete_bucket(Bucket=bucket)
        except boto.ClientError as error:
            return status_of(error) == _NOT_FOUND
        except TROUBLE:
            return False
        return True

    def _swept(self, bucket: str, keys: set[str]) -> list[str]:
        # What was written to several stores under one name has to be deleted in each.
        again = [partial(self._delete_at, address, bucket) for address in self.divided]
        versioned = bucket != self.bucket  # those are named because they keep versions
        return swept(self.s3, bucket, sorted(keys), self.prefix, versioned=versioned, again=again)

    def _delete_at(self, address: str, bucket: str, key: str) -> None:
        with suppress(MilvusKitError):
            self.send("DELETE", key, bucket=bucket, address=address)


@contextmanager
def opened(
    storage: Storage,
    permissions: Permissions | None = None,
    effort: Effort | None = None,
    *,
    leftovers: list[str] | None = None,
) -> Iterator[Workspace]:
    """Give a workspace and sweep it, however the block ends.

    Args:
        storage: The store; `reach.reach` should have found it.
        permissions: What may be done beyond the prefix.
        effort: How much is done.
        leftovers: Filled with what could not be deleted.

    Raises:
        CredentialsError: The keys may not write below the root path.
        OwnershipError: Something is below our prefix already.
        UnreachableError: The store is full, or went away.
    """
    space = Workspace(storage, permissions, effort)
    try:
        with translated(storage):
            found = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=space.prefix, MaxKeys=1)
            ours = [e for e in found.get("Contents", ()) if e["Key"].startswith(space.prefix)]
            if ours:
                raise OwnershipError(
                    "there are objects below the prefix that this run wanted for itself",
                    where=f"{space.bucket}/{space.prefix}",
                    remedy="run it again: each run has a prefix of its own",
                )
            space.put(MARK, MARKED.partition("/")[2])
        yield space
    finally:
        left = [f"{space.bucket}/{space.prefix} (removing it was interrupted)"]
        try:
            left = space.sweep()
        finally:
            if leftovers is not None:
                leftovers += left


def summary(permissions: Permissions) -> Mapping[str, Any]:
    """Return what was allowed and declared, for the profile."""
    given = {
        field.name: getattr(permissions, field.name) for field in dataclasses.fields(permissions)
    }
    given["outsider"] = permissions.outsider is not None  # never the key itself
    return {name: value for name, value in given.items() if value}
