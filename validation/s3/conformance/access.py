"""Access: only the declared key gets in, and only where it belongs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.conformance.model import Evidence, Need, NotDeclaredError, check, require
from validation.s3.endpoint import Keys, keys_of
from validation.s3.failures import error_code, is_throttled, status_of
from validation.s3.signing import encoded_path
from validation.s3.sweeping import TROUBLE, versions_left
from validation.s3.wire import link
from validation.s3.workspace import Workspace

_LEAK = "anyone who reaches the endpoint can read or change every vector"
_REFUSALS = frozenset({400, 401, 403})
_FORBIDDEN = frozenset({401, 403})
"""What refuses a good key: a 400 says that the request was wrong, not that it is not allowed."""
_CLIENT_ERRORS = range(400, 500)
"""A stranger may be told anything but success, or a failure of the store."""
_THEIRS = b"another tenant's"


def _all_answered(
    calls: Mapping[str, Callable[[], Any]], refusals: Container[int], where: str
) -> dict[str, str]:
    """Require that every call is answered with one of the statuses that refuse it."""
    answers: dict[str, str] = {}
    for name, call in calls.items():
        try:
            call()
        except boto.ClientError as error:
            if is_throttled(error):
                raise
            answers[name] = f"{status_of(error)} {error_code(error)}"
            require(status_of(error) in refusals, f"{name} {where} is not refused", **answers)
            continue
        require(False, f"{name} {where} was allowed", **answers)
    return answers


def _all_refused(space: Workspace, client: Any, who: str) -> Evidence:
    """Require that reading, listing, writing and deleting are refused to a client."""
    key, target = space.put(b"private"), space.key("theirs")
    calls = {
        "GET": lambda: client.get_object(Bucket=space.bucket, Key=key),
        "LIST": lambda: client.list_objects_v2(Bucket=space.bucket, MaxKeys=1),
        "PUT": lambda: client.put_object(Bucket=space.bucket, Key=target, Body=b"theirs"),
        "DELETE": lambda: client.delete_object(Bucket=space.bucket, Key=key),
    }
    answers = _all_answered(calls, _CLIENT_ERRORS, f"by {who}")
    require(space.get(key) == b"private", f"{who} was refused and changed the object", **answers)
    return answers


@check("access.anonymous", by="tenant isolation", breaks=_LEAK)
def anonymous(space: Workspace) -> Evidence:
    """Requests without a signature are refused."""
    return _all_refused(space, space.client(anonymous=True), "a client without keys")


@check("access.unknown-key", by="tenant isolation", breaks=_LEAK)
def unknown_key(space: Workspace) -> Evidence:
    """Requests with a key nobody has are refused."""
    return _all_refused(space, space.client(keys=space.stranger()), "an unknown key")


@check("access.wrong-secret", by="tenant isolation", breaks=_LEAK)
def wrong_secret(space: Workspace) -> Evidence:
    """Requests with our key and a wrong secret are refused."""
    keys = Keys(keys_of(space.storage).access, space.stranger().secret)
    return _all_refused(space, space.client(keys=keys), "our key with a wrong secret")


@check(
    "access.other-bucket",
    by="tenant isolation",
    breaks="a leaked Milvus key opens other buckets too",
    need=Need.DECLARED,
)
def other_bucket(space: Workspace) -> Evidence:
    """The Milvus key is refused in another tenant's bucket, also for an object that is there."""
    bucket = space.permissions.other_bucket
    if bucket is None:
        raise NotDeclaredError("no other bucket was named (--other-bucket)")
    return _isolated(space, bucket, f"in bucket {bucket}")


@check(
    "access.other-prefix",
    by="tenant isolation in a shared bucket",
    breaks="tenants of one bucket can read each other's data",
    need=Need.DECLARED,
)
def other_prefix(space: Workspace) -> Evidence:
    """The Milvus key is refused outside its root path, also for an object that is there."""
    if not space.permissions.prefix_isolation:
        raise NotDeclaredError("isolation by prefix was not declared (--prefix-isolation)")
    return _isolated(space, space.bucket, "outside the root path")


def _isolated(space: Workspace, bucket: str, where: str) -> Evidence:
    """Require that the Milvus key is refused in a place, whatever it asks there.

    What is asked for can be nobody's: the names are this run's own.
    """
    folder = f"milvus-kit-preflight-{space.run}-outside/"
    there = {"Bucket": bucket, "Key": f"{folder}object"}
    calls = {
        "LIST": lambda: space.s3.list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=1),
        "GET": lambda: space.s3.get_object(**there),
        "DELETE": lambda: space.s3.delete_object(**there),
    }
    if space.permissions.outsider is None:
        _all_answered(calls, _FORBIDDEN, where)
        raise UnsupportedError(
            f"LIST, GET and DELETE of an absent object are refused {where}, which a key that may"
            " not list is told also where it may read: name a key that may write there"
            " (--outsider-access-key-env)"
        )
    calls["PUT"] = lambda: space.s3.put_object(**there, Body=b"theirs no more")
    with _object_of_another(space, there) as content:
        answers = _all_answered(calls, _FORBIDDEN, where)
        require(content() == _THEIRS, "the key was refused and changed the object", **answers)
    return answers


@contextmanager
def _object_of_another(space: Workspace, there: Mapping[str, str]) -> Iterator[Callable[[], bytes]]:
    """Let the other key write an object and remove it in the end; give what reads it."""
    outsider: Any = space.client(keys=space.permissions.outsider)
    try:
        made = outsider.put_object(**there, Body=_THEIRS).get("VersionId")
    except boto.ClientError as error:
        if is_throttled(error):
            raise
        raise UnsupportedError(
            f"the other key cannot write there: {status_of(error)} {error_code(error)}"
        ) from None
    try:
        yield lambda: bytes(outsider.get_object(**there)["Body"].read())
    finally:
        bucket, key = there["Bucket"], there["Key"]
        try:
            outsider.delete_object(**there)
        except TROUBLE:
            space.outside.append(f"{bucket}/{key}")
        if made not in {None, "null"}:  # deleting it has only added a marker
            found = versions_left(outsider, bucket, {key}, key, versioned=True)
            space.outside += [f"{bucket}/{one}" for one in found]


def _fetch(space: Workspace, url: str) -> tuple[int, bytes]:
    reply = space.follow(url)
    return reply.status, reply.body


def _require_refusal(status: int, works: str) -> None:
    """Require that a link is refused; an answer that is neither is not told as one that works."""
    what = works if status == http.client.OK else f"it was answered {status}, which is no refusal"
    require(status in _REFUSALS, what, status=status)


def _presigned(space: Workspace, key: str, age: timedelta = timedelta()) -> str:
    """Return a link that reads a key for a minute, made some time ago."""
    return link(space.storage, key, age=age, seconds=60)


@check(
    "access.presigned",
    by="support tools, import",
    breaks="presigned links do not work",
    need=Need.OPERATION,
)
def presigned(space: Workspace) -> Evidence:
    """A presigned URL reads its object without any key."""
    status, body = _fetch(space, _presigned(space, space.put(b"by link")))
    require((status, body) == (http.client.OK, b"by link"), "the link does not work", status=status)


@check(
    "access.presigned-tampered",
    by="tenant isolation",
    breaks="a link for one opens all",
    need=Need.OPERATION,
)
def presigned_tampered(space: Workspace) -> Evidence:
    """A presigned URL that was changed to another key is refused."""
    first, second = space.put(b"shared"), space.put(b"private")
    url = _presigned(space, first).replace(encoded_path(first), encoded_path(second))
    status, _ = _fetch(space, url)
    _require_refusal(status, "the link reads another object")
    return {"status": status}


@check(
    "access.presigned-expired",
    by="tenant isolation",
    breaks="leaked links work for ever",
    need=Need.OPERATION,
)
def presigned_expired(space: Workspace) -> Evidence:
    """A presigned URL whose time is over is refused."""
    key = space.put(b"for a moment")
    url = _presigned(space, key, age=timedelta(minutes=5))
    status, _ = _fetch(space, url)
    _require_refusal(status, "an expired link still works")
    return {"status": status}
