"""Access: only the declared key gets in, and only where it belongs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Container, Mapping
from datetime import timedelta
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.endpoint import Keys, keys_of
from validation.s3.client.failures import error_code, is_throttled, status_of
from validation.s3.client.signing import encoded_path
from validation.s3.client.wire import link
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.workspace import Workspace

_LEAK = "anyone who reaches the endpoint can read or change every vector"
_REFUSED = range(400, 600)
"""A stranger may be told anything but success: that the store works is seen by a friend."""


def all_answered(
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
        "LIST": lambda: client.list_objects_v2(Bucket=space.bucket, Prefix=space.prefix, MaxKeys=1),
        "PUT": lambda: client.put_object(Bucket=space.bucket, Key=target, Body=b"theirs"),
        "DELETE": lambda: client.delete_object(Bucket=space.bucket, Key=key),
    }
    answers = all_answered(calls, _REFUSED, f"by {who}")
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


def _fetch(space: Workspace, url: str) -> tuple[int, bytes]:
    reply = space.follow(url)
    return reply.status, reply.body


def _require_refusal(space: Workspace, link_: str, works: str) -> Evidence:
    """Require that a link is refused, by a store that serves good ones.

    Raises:
        UnsupportedError: It serves none.
    """
    status, _ = _fetch(space, _presigned(space, space.put(b"by a good link")))
    if status != http.client.OK:
        raise UnsupportedError(f"good links are refused too: {status}")
    status, _ = _fetch(space, link_)
    what = works if status == http.client.OK else f"it was answered {status}, which is no refusal"
    require(status in _REFUSED, what, status=status)
    return {"status": status}


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
    return _require_refusal(space, url, "the link reads another object")


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
    return _require_refusal(space, url, "an expired link still works")
