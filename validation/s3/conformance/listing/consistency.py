"""Strong consistency: what was acknowledged is seen at once, by every client, also under load.

A store can be wrong now and then only, so each rule is asked some hundred times by several writers
at once. What was right every time may still be wrong at a rate that so many looks do not show;
the evidence says how high that rate may be (Wilson, 95 %).

Keys are written by one client and looked for by another.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions as boto
import numpy as np

from validation.s3.client.failures import is_failure, is_throttled, status_of
from validation.s3.conformance.model import Evidence, check, require
from validation.s3.workspace import Workspace
from validation.verdicts.intervals import estimate

_WRITERS = 8
_FOLDER = 40
"""So many keys share a folder: enough for writers to meet in it, few enough to list each time."""
_WAITS = (0.2, 0.8)
_OK = 200
_BREAKS = "acknowledged rows cannot be found, or deleted ones come back"
_BY = "recovery, garbage collection"

Looks = Sequence[str]
"""What was wrong with each look that a round took at the store; empty if nothing."""


def _rounds(space: Workspace, one: Callable[[int], Looks]) -> Evidence:
    """Run a round many times, several at once, and judge all their looks together."""
    count, slowed, failed = space.effort.consistency_rounds, [], []

    def patient(number: int) -> Looks:
        """Begin a round anew if the store is too busy or fails, as clients ask again then."""
        for wait in _WAITS:
            try:
                return one(number)
            except boto.ClientError as error:
                if not is_failure(error):
                    raise
                (slowed if is_throttled(error) else failed).append(number)
                time.sleep(wait)
        return one(number)

    with ThreadPoolExecutor(_WRITERS) as pool:
        looks = [said for some in pool.map(patient, range(count)) for said in some]
    wrong = [said for said in looks if said]
    rate = estimate("proportion", np.array([bool(said) for said in looks]))
    evidence = {
        "rounds": count,
        "writers": _WRITERS,
        "looks": len(looks),
        "stale": len(wrong),
        "stale_rate_below": round(rate.high, 5),
        "asked_to_slow_down": len(slowed),
        "answered_5xx": len(failed),
    }
    said = f"{len(wrong)} of {len(looks)}: {'; '.join(sorted(set(wrong)))}"
    require(not wrong, said, **evidence, lost=True)
    return evidence


def _fresh(space: Workspace) -> Callable[[int], str]:
    """Return what gives a round a new key; some dozens of rounds share a folder."""
    shared = -(-space.effort.consistency_rounds // _FOLDER)
    folders, numbers = [space.folder() for _ in range(shared)], itertools.count()
    return lambda number: space.key(f"{next(numbers):05d}", folder=folders[number // _FOLDER])


def _answer(call: Callable[..., dict[str, Any]], space: Workspace, key: str) -> tuple[int, Any]:
    """Return status and answer of a GET or HEAD, be it there or not.

    Raises:
        ClientError: The store failed, which says nothing.
    """
    try:
        found = call(Bucket=space.bucket, Key=key)
        return _OK, found["Body"].read() if "Body" in found else found["ETag"]
    except boto.ClientError as error:
        if is_failure(error):
            raise
        return status_of(error), None


def _present(space: Workspace, reader: Any, key: str, written: _Written, what: str) -> list[str]:
    """Look for an object by GET and by HEAD."""
    looks = []
    for call, wanted in ((reader.get_object, written.body), (reader.head_object, written.etag)):
        status, found = _answer(call, space, key)
        said = "" if found == wanted else f"{what} is read as it was not written"
        looks.append(said if status == _OK else f"{what} is answered with {status}")
    return looks


def _absent(space: Workspace, reader: Any, key: str, what: str) -> list[str]:
    """Look for an object that must not be there, by GET and by HEAD.

    How a store says that it is not there is another rule's.
    """
    calls = (reader.get_object, reader.head_object)
    answers = [_answer(call, space, key)[0] for call in calls]
    return [f"{what} is answered with 200" if one == _OK else "" for one in answers]


@dataclasses.dataclass(frozen=True)
class _Written:
    body: bytes
    etag: str


def _write(space: Workspace, key: str, number: int) -> _Written:
    body = f"content {number}".encode()
    return _Written(body, space.s3.put_object(Bucket=space.bucket, Key=key, Body=body)["ETag"])


@check("consistency.read-after-write", by="query node, data node", breaks=_BREAKS)
def read_after_write(space: Workspace) -> Evidence:
    """A new object is read at once, by another client too."""
    reader, fresh = space.client(), _fresh(space)

    def one(number: int) -> Looks:
        key = fresh(number)
        body = _write(space, key, number)
        return _present(space, reader, key, body, "a new object")

    return _rounds(space, one)


@check(
    "consistency.read-after-miss",
    by="Woodpecker's recovery (asks for block after block until one is absent)",
    breaks="a log ends at a block that was once asked for too early: acknowledged rows are lost",
)
def read_after_miss(space: Workspace) -> Evidence:
    """A key that was asked for and absent is found as soon as it is written."""
    reader, fresh = space.client(), _fresh(space)

    def one(number: int) -> Looks:
        key = fresh(number)
        ask = (reader.get_object, reader.head_object)[number % 2]
        status, _ = _answer(ask, space, key)
        looks = ["a key nobody wrote is answered with 200" if status == _OK else ""]
        body = _write(space, key, number)
        return looks + _present(space, reader, key, body, "a key once asked for")

    return _rounds(space, one)


@check("consistency.read-after-overwrite", by="metadata snapshots", breaks="old state is restored")
def read_after_overwrite(space: Workspace) -> Evidence:
    """An overwritten object is read with its new content at once."""
    reader, keys = space.client(), [space.put(b"old") for _ in range(_WRITERS)]
    locks = [threading.Lock() for _ in keys]

    def one(number: int) -> Looks:
        mine = number % _WRITERS
        with locks[mine]:  # nobody else overwrites what this round wrote
            new = _write(space, keys[mine], number)
            return _present(space, reader, keys[mine], new, "an overwritten object")

    return _rounds(space, one)


@check("consistency.read-after-delete", by=_BY, breaks=_BREAKS)
def read_after_delete(space: Workspace) -> Evidence:
    """A deleted object is no longer read, by another client neither."""
    reader, fresh = space.client(), _fresh(space)

    def one(number: int) -> Looks:
        key = fresh(number)
        _write(space, key, number)
        if number % 2:
            _answer(reader.get_object, space, key)  # whoever reads it may keep it
        space.s3.delete_object(Bucket=space.bucket, Key=key)
        return _absent(space, reader, key, "a deleted object")

    return _rounds(space, one)


@check("consistency.list-after-write", by=_BY, breaks=_BREAKS)
def list_after_write(space: Workspace) -> Evidence:
    """A new object is listed at once, alone and among what others write beside it."""
    reader, fresh = space.client(), _fresh(space)

    def one(number: int) -> Looks:
        key = fresh(number)
        _write(space, key, number)
        listed = _listings(space, reader, key)
        return ["" if there else "a new object is not listed" for there in listed]

    return _rounds(space, one)


@check("consistency.list-after-delete", by=_BY, breaks=_BREAKS)
def list_after_delete(space: Workspace) -> Evidence:
    """A deleted object is no longer listed, neither alone nor among what others write beside it."""
    reader, fresh = space.client(), _fresh(space)

    def one(number: int) -> Looks:
        key = fresh(number)
        _write(space, key, number)
        space.s3.delete_object(Bucket=space.bucket, Key=key)
        listed = _listings(space, reader, key)
        return ["a deleted object is listed" if there else "" for there in listed]

    return _rounds(space, one)


def _listings(space: Workspace, reader: Any, key: str) -> list[bool]:
    """Return whether a key is in the listing of its folder, and in one of the key alone."""
    seen = []
    for prefix in (key.rpartition("/")[0] + "/", key):
        page = reader.list_objects_v2(Bucket=space.bucket, Prefix=prefix, MaxKeys=1_000)
        seen.append(key in [entry["Key"] for entry in page.get("Contents", ())])
    return seen
