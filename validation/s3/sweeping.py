"""Deletes objects by name, with all of their versions, and tells what is left of them.

What a listing shows is never deleted for that alone: it has to be among the names that are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError

from validation.s3.client.failures import status_of

TROUBLE = (boto.BotoCoreError, boto.ClientError, ResponseParserError)
TROUBLE += (KeyError, ValueError, TypeError, OverflowError)
"""What a call of boto3 may end with, also if the answer cannot be read. None of it may end this."""
SWEEPERS = 16
_BATCH = 250
"""Few enough for a slow store to delete within the time that an answer may take."""
_PLAIN = re.compile(r"(\w[\w.-]*/)*\w[\w.-]*", re.ASCII)
"""Keys that no store takes for others': one that does may wait for itself when both are named."""


def swept(
    client: Any,
    bucket: str,
    keys: Sequence[str],
    prefix: str,
    *,
    versioned: bool = False,
    again: Iterable[Callable[[str], object]] = (),
) -> list[str]:
    """Delete keys and return what is left of them.

    Those that are still there are deleted once more, one by one: whoever interrupts a write does
    not wait for its answer, and the store may do it after it was told to delete the key; and a
    store may tell that a batch was deleted which was not.

    Args:
        client: Of boto3.
        bucket: Where they are.
        keys: All that is deleted.
        prefix: Of all of them.
        versioned: Whether the bucket is known to keep versions: that they cannot be listed is told.
        again: Further ways to delete a key, each tried too.
    """
    ways = (partial(_delete, client, bucket), *again)
    told = _batched(client, bucket, keys)
    _each(ways[:1], [key for key in keys if key not in told])
    _each(ways[1:], keys)
    found = _left(client, bucket, keys, prefix, versioned=versioned)
    late = set(found) & set(keys)
    if late:
        _each(ways, sorted(late))
        more = _left(client, bucket, sorted(late), prefix, versioned=versioned)
        found = sorted({*found} - late | {*more})
    return found


def _batched(client: Any, bucket: str, keys: Sequence[str]) -> set[str]:
    """Delete keys in batches; return those that the store tells to have deleted."""

    def delete(some: Sequence[str]) -> set[str]:
        named = {"Objects": [{"Key": key} for key in some]}
        with suppress(*TROUBLE):  # not every store can, nor with each key
            answer = client.delete_objects(Bucket=bucket, Delete=named)
            return {one["Key"] for one in answer.get("Deleted", ())}
        return set()

    with ThreadPoolExecutor(SWEEPERS) as pool:
        plain = [key for key in keys if _PLAIN.fullmatch(key)]
        batches = [plain[at : at + _BATCH] for at in range(0, len(plain), _BATCH)]
        return {key for some in pool.map(delete, batches) for key in some}


def _each(ways: Iterable[Callable[[str], object]], keys: Sequence[str]) -> None:
    """Delete keys one by one, in each of some ways."""
    with ThreadPoolExecutor(SWEEPERS) as pool:
        for way in ways:
            list(pool.map(way, keys))


def _delete(client: Any, bucket: str, key: str) -> None:
    with suppress(*TROUBLE):
        client.delete_object(Bucket=bucket, Key=key)


def _left(
    client: Any, bucket: str, keys: Sequence[str], prefix: str, *, versioned: bool
) -> list[str]:
    """Return what is left of keys, after deleting their versions too."""
    left = versions_left(client, bucket, set(keys), prefix, versioned=versioned)
    try:
        found = listed(client, bucket, prefix)
    except TROUBLE as error:
        if isinstance(error, boto.ClientError) and status_of(error) == HTTPStatus.NOT_FOUND:
            return []  # there is no such bucket
        return [f"{prefix} (it could not be listed)"]
    return sorted({*(found & set(keys)), *left})


def listed(client: Any, bucket: str, prefix: str) -> set[str]:
    """Return the keys that a listing shows below a prefix, and those alone."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = {entry["Key"] for page in pages for entry in page.get("Contents", ())}
    return {key for key in keys if key.startswith(prefix)}


def versions_left(
    client: Any, bucket: str, keys: set[str], prefix: str, *, versioned: bool
) -> list[str]:
    """Delete the versions of keys, markers of deletion too; return what is left of them."""
    left = []
    try:
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                key, version = entry["Key"], entry["VersionId"]
                if key in keys:
                    try:
                        client.delete_object(Bucket=bucket, Key=key, VersionId=version)
                    except TROUBLE:
                        # Without versioning an object has one, of this name.
                        left.append(key if version == "null" else f"{key} (version {version})")
    except TROUBLE:
        if versioned:
            left.append(f"{prefix} (its versions could not be listed)")
    return left
