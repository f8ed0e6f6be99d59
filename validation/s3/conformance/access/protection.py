"""Data protection: encryption, immutability where backups go, and none of it where it would hurt.

These are checks like those of `validation.s3.conformance` and stand in the same table. What is
locked is locked for seconds, below the run's own prefix, and deleted when its time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.failures import error_code, is_failure, status_of
from validation.s3.conformance.model import (
    Evidence,
    Need,
    NotDeclaredError,
    RuleBroken,
    check,
    require,
)
from validation.s3.workspace import Workspace

_GARBAGE = "garbage collection deletes and nothing is freed: the bucket grows for ever"
_LOST = "an attacker or a mistake with the key destroys the backups"
_MADE = "no backup bucket was named; on one made for this"
_UNTOLD = frozenset({400, 403, 404, 501})


@check("protection.milvus-unversioned", by="garbage collection", breaks=_GARBAGE)
def milvus_unversioned(space: Workspace) -> Evidence:
    """Milvus's own bucket has no versioning."""
    status = _setting(space.s3.get_bucket_versioning, space).get("Status", "never enabled")
    require(status != "Enabled", "versioning is enabled on Milvus's bucket", status=status)
    version = _version(space)
    require(version is None, "what is overwritten in Milvus's bucket is kept", version=version)
    return {"status": status}


def _version(space: Workspace) -> str | None:
    """Return the version of what is overwritten in Milvus's bucket; None if none is kept.

    That a write is told one says nothing: Garage gives each write a name and keeps the last.
    """
    key = space.key()
    told = space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"once").get("VersionId")
    if told in {None, "null"}:  # the latter as S3 says where versioning was suspended
        return None
    space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"again")
    try:
        kept = space.get(key, VersionId=told) == b"once"
    except boto.ClientError as error:
        if is_failure(error) and status_of(error) != HTTPStatus.NOT_IMPLEMENTED:
            raise
        kept = status_of(error) == HTTPStatus.FORBIDDEN  # it may be there, and not be ours to read
    return told if kept else None


def _setting(ask: Callable[..., dict[str, Any]], space: Workspace) -> dict[str, Any]:
    """Return a setting of Milvus's bucket; where it is not told, the answer as its ``Status``.

    Milvus's key need not be allowed to ask: 403 says nothing, and what a write does says all.
    """
    try:
        return ask(Bucket=space.bucket)
    except boto.ClientError as error:
        if status_of(error) not in _UNTOLD:
            raise
        return {"Status": f"{status_of(error)} {error_code(error)}"}


@check("protection.milvus-unlocked", by="garbage collection", breaks=_GARBAGE)
def milvus_unlocked(space: Workspace) -> Evidence:
    """Milvus's own bucket has no object lock."""
    found = _setting(space.s3.get_object_lock_configuration, space)
    enabled = found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
    require(not enabled, "object lock is enabled on Milvus's bucket")
    forbidden = found.get("Status", "").startswith("403")
    if forbidden and _version(space) is not None:  # only what keeps versions can lock
        raise UnsupportedError("the key may not ask for object lock, and the bucket keeps versions")
    return {"status": found.get("Status", "not enabled")}


@check(
    "protection.encryption",
    by="data protection policy",
    breaks="vectors lie readable on the media",
    need=Need.DECLARED,
)
def encryption(space: Workspace) -> Evidence:
    """Objects are encrypted at rest as declared, by the store's own word."""
    key = space.put(b"secret")
    seen = space.s3.head_object(Bucket=space.bucket, Key=key).get("ServerSideEncryption")
    declared = space.storage.encryption
    if declared is None:
        raise NotDeclaredError(f"no encryption was declared; the store reports: {seen or 'none'}")
    require(seen == declared, f"declared {declared}, the store reports {seen or 'none'}")
    return {"reported": seen}


@contextmanager
def _backup_bucket(space: Workspace, suffix: str) -> Iterator[str]:
    """Give the declared backup bucket, or one made for this.

    What turns out about a bucket made for this says something of the store, and it is told; but
    only a backup bucket that was declared has to keep what a backup bucket promises.
    """
    declared = space.permissions.backup_bucket
    if declared is not None:
        yield declared
        return
    if not space.permissions.make_buckets:
        raise NotDeclaredError("no backup bucket was named (--backup-bucket)")
    try:
        yield space.make_bucket(suffix, ObjectLockEnabledForBucket=True)
    except boto.ClientError as error:
        said = f"{error.operation_name} answered {status_of(error)} {error_code(error)}"
        raise NotDeclaredError(f"{_MADE}: {said}") from None
    except RuleBroken as broken:
        raise NotDeclaredError(f"{_MADE}: {broken}") from None


@check("protection.backup-versions", by="milvus-backup", breaks=_LOST, need=Need.DECLARED)
def backup_versions(space: Workspace) -> Evidence:
    """In the backup bucket an overwritten object's earlier content can be read."""
    with _backup_bucket(space, "versions") as bucket:
        key = space.key("backup", bucket=bucket)
        first = space.s3.put_object(Bucket=bucket, Key=key, Body=b"good").get("VersionId")
        require(bool(first), "the backup bucket keeps no versions")
        space.s3.put_object(Bucket=bucket, Key=key, Body=b"bad")
        found = space.s3.get_object(Bucket=bucket, Key=key, VersionId=first)["Body"].read()
        require(found == b"good", "the earlier version has other content")


@check("protection.backup-lock", by="milvus-backup", breaks=_LOST, need=Need.DECLARED, waits=True)
def backup_lock(space: Workspace) -> Evidence:
    """A locked object can be neither deleted nor released early by the key that wrote it."""
    with _backup_bucket(space, "lock") as bucket:
        until = _server_time(space) + timedelta(seconds=space.effort.retention_seconds)
        key = space.key("locked", bucket=bucket)
        put = space.s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=b"immutable",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until,
            ChecksumAlgorithm="CRC32",
        )
        locked = {"Bucket": bucket, "Key": key, "VersionId": put.get("VersionId") or "null"}
        try:
            require(bool(put.get("VersionId")), "a locked object has no version")
            refusals = _resists(space, locked, until)
        finally:
            _await_release(space, locked, until)
        after = _refusal(lambda: space.s3.delete_object(**locked))
        if after:
            raise UnsupportedError(
                f"the object cannot be deleted after its time either ({after}): the refusals before"
                " may have another cause than the lock"
            )
        return refusals


def _resists(space: Workspace, locked: dict[str, str], until: datetime) -> Evidence:
    """Try to get rid of a locked object before its time."""
    earlier = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(seconds=1)}
    refusals = {
        "shorten": _refusal(lambda: space.s3.put_object_retention(**locked, Retention=earlier)),
        "delete": _refusal(lambda: space.s3.delete_object(**locked)),
    }
    if _server_time(space) >= until - timedelta(seconds=1):
        raise UnsupportedError("the lock ran out before it could be tested: the store is too slow")
    for what, answer in refusals.items():
        require(bool(answer), f"the key could {what} a locked object", **refusals)
    found = space.s3.get_object(**locked)["Body"].read()
    require(found == b"immutable", "the locked object's content changed")
    return refusals | {"seconds": space.effort.retention_seconds}


def _await_release(space: Workspace, locked: dict[str, str], until: datetime) -> None:
    """Wait until the store's own clock lets the sweep delete the object."""
    while _server_time(space) <= until and not _refusal(lambda: space.s3.head_object(**locked)):
        time.sleep(0.25)


def _refusal(call: Callable[[], Any]) -> str:
    """Return how the store refused something; empty if it did not."""
    try:
        call()
    except boto.ClientError as error:
        if is_failure(error):
            raise
        return f"{status_of(error)} {error_code(error)}"
    return ""


def _server_time(space: Workspace) -> datetime:
    """Return the store's time, by its Date header: retention is counted by it."""
    return parsedate_to_datetime(space.send("GET", query={"location": ""}).headers["date"])
