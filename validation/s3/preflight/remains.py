"""What runs that were killed left in the bucket: found at the start of the next, removed if asked.

A run writes its mark first and deletes it last. What carries it is ours: it stands at one place
below a prefix whose name only a run of the kit gives itself, and so do all the keys of that run.
Nothing else is touched, whatever a listing shows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from validation.errors import CredentialsError, UnreachableError
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.s3.preflight.reach import reach
from validation.s3.sweeping import TROUBLE, listed, swept
from validation.s3.workspace import MARK, MARKED, NAME, UNFINISHED, prefix_below
from validation.target import Storage

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Cleaned:
    """What became of the prefixes that were found.

    Args:
        removed: Those that are gone.
        objects: How many objects went with them.
        unmarked: Those that nobody can tell to be ours; they stay.
    """

    removed: tuple[str, ...]
    objects: int
    unmarked: tuple[str, ...]


def remains(storage: Storage) -> list[str]:
    """Return the prefixes of other runs below the root path: killed ones, or still under way."""
    below, client = prefix_below(storage.root), connect(storage)
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=storage.bucket, Prefix=f"{below}{NAME}-", Delimiter="/"
    )
    found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
    shape = re.compile(re.escape(f"{below}{NAME}-") + "[0-9a-f]{12}/")
    return [
        prefix
        for prefix in found
        # There are stores that go on listing a folder when its last object is gone.
        if shape.fullmatch(prefix)
        and client.list_objects_v2(Bucket=storage.bucket, Prefix=prefix, MaxKeys=1).get("Contents")
    ]


def warning(storage: Storage) -> str:
    """Return what a user should know of other runs; empty if there are none, or none to be seen."""
    try:
        found = remains(storage)
    except TROUBLE:
        return ""  # the checks of listing say what is wrong with that
    if not found:
        return ""
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    count = "one earlier run" if len(found) == 1 else f"{len(found)} earlier runs"
    return (
        f"objects of {count} are in bucket {storage.bucket}, killed or still under way:"
        f" {', '.join(found[:_SHOWN])}{more}\n"
        "  -> when no preflight is running, remove them with the same command and --clean"
    )


def clean(storage: Storage, others: Iterable[str] = ()) -> Cleaned:
    """Remove what killed runs left below the root path.

    Args:
        storage: The store.
        others: Further buckets in which those runs were allowed to write.

    Raises:
        UnreachableError: There is no S3 store at the endpoint.
        CredentialsError: It refuses the keys, or to delete.
        ConfigurationError: The contract is wrong, or there is no such bucket.
    """
    problem = reach(storage).tls_problem
    if problem:
        raise UnreachableError(
            f"the store's certificate is refused: {problem}",
            where=storage.endpoint,
            remedy="give the CA that signed it with --ca-file (storage.ca)",
        )
    removed, unmarked, left, objects = [], [], [], 0
    with translated(storage):
        client = connect(storage)
        for prefix in remains(storage):
            if not _is_ours(client, storage.bucket, prefix):
                unmarked.append(prefix)
                continue
            stay: list[str] = []
            for bucket in (*others, storage.bucket):  # the mark goes last
                gone, kept = _emptied(client, bucket, prefix, versioned=bucket != storage.bucket)
                objects += gone
                stay += [f"{bucket}/{one}" for one in kept]
                if stay:
                    break
            left += stay
            removed += [] if stay else [prefix]
    if left:
        raise CredentialsError(
            f"{len(left)} objects or uploads could not be deleted",
            where=f"{storage.endpoint}, bucket {storage.bucket}",
            seen=", ".join(left[:_SHOWN]),
            remedy="use a key that may list, delete and abort uploads below the root path",
        )
    return Cleaned(tuple(removed), objects, tuple(unmarked))


def _is_ours(client: Any, bucket: str, prefix: str) -> bool:
    try:
        body = client.get_object(Bucket=bucket, Key=prefix + MARKED)["Body"]
        return body.read(len(MARK) + 1) == MARK
    except TROUBLE:
        return False


def _emptied(client: Any, bucket: str, prefix: str, *, versioned: bool) -> tuple[int, list[str]]:
    """Delete a run's keys in a bucket, its mark last; return how many, and what is left.

    Unfinished uploads are aborted first; while one is left, the mark stays for the next try.
    """
    shape = re.compile(re.escape(prefix) + r"\d{4,}/.+", re.DOTALL)
    for key, upload in _uploads(client, bucket, prefix, shape):
        with suppress(*TROUBLE):
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    uploads = [f"{key} ({UNFINISHED})" for key, _ in _uploads(client, bucket, prefix, shape)]
    keys = {key for key in _all_of(client, bucket, prefix) if shape.fullmatch(key)}
    mark = prefix + MARKED
    left = swept(client, bucket, sorted(keys - {mark}), prefix, versioned=versioned) + uploads
    if mark in keys and not left:
        left = swept(client, bucket, [mark], prefix, versioned=versioned)
    return len(keys), left


def _uploads(
    client: Any, bucket: str, prefix: str, shape: re.Pattern[str]
) -> list[tuple[str, str]]:
    """Return key and id of a run's unfinished uploads; none where the store does not list them."""
    with suppress(*TROUBLE):
        found = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", ())
        return [(one["Key"], one["UploadId"]) for one in found if shape.fullmatch(one["Key"])]
    return []


def _all_of(client: Any, bucket: str, prefix: str) -> set[str]:
    """Return the keys below a prefix, also of objects of which only versions are left."""
    keys = listed(client, bucket, prefix)
    with suppress(*TROUBLE):
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                keys.add(entry["Key"])
    return keys
