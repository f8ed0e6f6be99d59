"""Isolation: the Milvus key is of no use in another bucket, nor outside its root path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.failures import error_code, is_throttled, status_of
from validation.s3.conformance.access.access import all_answered
from validation.s3.conformance.model import Evidence, Need, NotDeclaredError, check, require
from validation.s3.sweeping import TROUBLE, versions_left
from validation.s3.workspace import Workspace

_FORBIDDEN = frozenset({401, 403})
"""What refuses a good key: a 400 says that the request was wrong, not that it is not allowed."""
_NO_VERSIONS = _FORBIDDEN | {405, 501}
"""A store that has no versions shows none."""
_THEIRS = b"another tenant's"
_VERSIONS = "LIST VERSIONS"
_LISTS = {"LIST": "list_objects_v2", "LIST V1": "list_objects", _VERSIONS: "list_object_versions"}
_AFTER = {"LIST": "StartAfter", "LIST V1": "Marker", _VERSIONS: "KeyMarker"}
_FEW = 10
_HEAD = (
    "HeadBucket, which Milvus asks for at its start, needs the same permission (s3:ListBucket) in"
    " S3: only a store that knows s3:HeadBucket, as MinIO does, can grant one without the other;"
    " elsewhere give each tenant a bucket"
)


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
    return _isolated(space, bucket, f"in bucket {bucket}", prefix="")


@check(
    "access.other-prefix",
    by="tenant isolation in a shared bucket",
    breaks="tenants of one bucket can read each other's data",
    need=Need.DECLARED,
)
def other_prefix(space: Workspace) -> Evidence:
    """The Milvus key is refused outside its root path, also for an object that is there."""
    _require_declared(space)
    return _isolated(space, space.bucket, "outside the root path", prefix=_folder(space))


@check(
    "access.other-names",
    by="tenant isolation in a shared bucket",
    breaks="tenants of one bucket see each other's names: collections, segments, backups",
    need=Need.DECLARED,
)
def other_names(space: Workspace) -> Evidence:
    """Listings of the whole bucket show the Milvus key no name outside its root path."""
    _require_declared(space)
    there = {"Bucket": space.bucket, "Key": f"{_folder(space)}object"}
    known = space.permissions.outsider is not None
    with _object_of_another(space, there) if known else nullcontext():
        answers, told = _names_told(space)
    _require_hidden(answers, told)
    if told and not known:
        raise UnsupportedError(
            "the key may list the whole bucket, and nothing of another was there to be seen: name a"
            " key that may write outside the root path (--outsider-access-key-env)"
        )
    return answers


def _require_hidden(answers: Mapping[str, str], told: Mapping[str, int]) -> None:
    shown = ", ".join(name for name, count in told.items() if count)
    said = f"{shown} of the bucket shows names outside the root path. {_HEAD}"
    require(not shown, said, **answers)


def _names_told(space: Workspace) -> tuple[dict[str, str], dict[str, int]]:
    """List the whole bucket in each way.

    What sorts before the root path is what a listing begins with; the rest comes after it.

    Returns:
        The answers, and how many names outside the root path were shown. The names themselves are
        others' and stay out of the profile.
    """
    root = space.storage.root
    answers, told = {}, {}
    for name, call in _LISTS.items():
        for where, more in (("", {}), (" after the root path", {_AFTER[name]: f"{root}0"})):
            refused = _NO_VERSIONS if name == _VERSIONS else _FORBIDDEN
            try:
                page = getattr(space.s3, call)(Bucket=space.bucket, MaxKeys=_FEW, **more)
            except boto.ClientError as error:
                if status_of(error) not in refused:
                    raise
                answers[name + where] = f"{status_of(error)} {error_code(error)}"
                continue
            kinds = ("Contents", "Versions", "DeleteMarkers")
            keys = [entry["Key"] for kind in kinds for entry in page.get(kind, ())]
            told[name + where] = sum(not key.startswith(f"{root}/") for key in keys)
            answers[name + where] = f"200, {told[name + where]} names outside"
    return answers, told


def _require_declared(space: Workspace) -> None:
    if not space.permissions.prefix_isolation:
        raise NotDeclaredError("isolation by prefix was not declared (--prefix-isolation)")
    if not space.storage.root:
        raise NotDeclaredError("there is no root path, so nothing is outside of it")


def _folder(space: Workspace) -> str:
    """Return a folder outside the root path whose name is this run's own: it can be nobody's."""
    return f"milvus-kit-preflight-{space.run}-outside/"


def _isolated(space: Workspace, bucket: str, where: str, *, prefix: str) -> Evidence:
    """Require that the Milvus key is refused in a place, whatever it asks there.

    Args:
        space: Whose key.
        bucket: Where.
        where: The same in words.
        prefix: What is listed there.
    """
    there = {"Bucket": bucket, "Key": f"{_folder(space)}object"}

    def listing(call: str) -> Callable[[], Any]:
        return lambda: getattr(space.s3, call)(Bucket=bucket, Prefix=prefix, MaxKeys=1)

    versions = {_VERSIONS: listing(_LISTS[_VERSIONS])}
    calls = {name: listing(call) for name, call in _LISTS.items() if name != _VERSIONS} | {
        "GET": lambda: space.s3.get_object(**there),
        "DELETE": lambda: space.s3.delete_object(**there),
    }
    if space.permissions.outsider is None:
        all_answered(versions, _NO_VERSIONS, where)
        all_answered(calls, _FORBIDDEN, where)
        raise UnsupportedError(
            f"LIST, GET and DELETE of an absent object are refused {where}, which a key that may"
            " not list is told also where it may read: name a key that may write there"
            " (--outsider-access-key-env)"
        )
    calls["PUT"] = lambda: space.s3.put_object(**there, Body=b"theirs no more")
    with _object_of_another(space, there) as content:
        answers = all_answered(versions, _NO_VERSIONS, where)
        answers |= all_answered(calls, _FORBIDDEN, where)
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
        left = []
        try:
            outsider.delete_object(**there)
        except TROUBLE:
            left.append(key)
        if made not in {None, "null"}:  # deleting it has only added a marker
            left += versions_left(outsider, bucket, {key}, key, versioned=True)
        found = [f"{bucket}/{one}" for one in left]
        space.outside += [one for one in found if one not in space.outside]
