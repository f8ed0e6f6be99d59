"""Races: many writers of one key at the same moment, of whom exactly one may win.

A store that checks a condition and writes in two steps is right whenever nobody else comes; only
rivals that come at once show it. A win is judged whatever else happened in its race: that another
writer met an error takes nothing back of two acknowledgements. A refusal is one whatever its
status, since what is stored is looked at; the evidence tells the answers apart.

A store can let two win now and then only. What some races did not show may still be so: the
evidence says up to what rate (``two_winners_below``, 95 %), and what share of stores that let two
win in one race of 50 so many races would have called right (``misses_1_in_50``).
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import botocore.exceptions as boto

from validation.errors import UnreachableError
from validation.s3.client.failures import is_throttled
from validation.s3.client.volley import Volley
from validation.s3.client.wire import Reply, Request
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.conformance.writing.conditional import (
    BY,
    COMPLETERS,
    OVERWRITTEN,
    REFUSED,
    SPLIT,
    WRITTEN,
    uploaded,
    versioned_bucket,
)
from validation.s3.conformance.writing.log import FENCE, NEW, is_fence, put
from validation.s3.workspace import Workspace
from validation.verdicts.intervals import rate_unseen, share_missed

_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_AT_ONCE, _MORE_AT_ONCE = 64, 256
"""So many requests are under way at once, of one race or several; more where a store lets wait.

SeaweedFS 4.53 lets eight writers of one key, or more, wait for some 5 s, of however many keys.
"""
_LONG_SECONDS = 2.0
_RARE = 1 / 50
"""A rate of races with two winners that a preflight should not miss."""


@dataclasses.dataclass(frozen=True)
class Racer:
    """One who writes a key.

    Args:
        body: What is read if this one wins.
        request: Writes it.
    """

    body: bytes
    request: Request


Seen = Reply | UnreachableError
"""What came of a racer's request."""


def _held(
    space: Workspace, rounds: int, made: Callable[[int], list[Racer]]
) -> Iterator[tuple[str, list[int]]]:
    """Hold races and require of each that one wins, and that its content is stored.

    Some are held at once: stores let those wait that come second, and there is no need to wait for
    one key's writers before others race for another. Each race's writers go one right after the
    other all the same.

    Yields:
        The key of each race and the status that each of its writers saw, in their order.
    """
    with closing(Volley(space.storage)) as volley:
        held, at_once = 0, _AT_ONCE
        while held < rounds:
            races = [made(held)]
            some = min(rounds - held, max(1, at_once // len(races[0])))
            races += [made(held + more) for more in range(1, some)]
            started = time.monotonic()
            seen = iter(volley.fire([racer.request for race in races for racer in race]))
            if time.monotonic() - started > _LONG_SECONDS:
                at_once = _MORE_AT_ONCE
            for race in races:
                held += 1
                answers = _decided(space, race, list(itertools.islice(seen, len(race))), held)
                yield race[0].request.key, answers


def _decided(
    space: Workspace, racers: Sequence[Racer], seen: Sequence[Seen], number: int
) -> list[int]:
    winners = [racer for racer, one in zip(racers, seen, strict=True) if _won(one)]
    failed = [one for one in seen if not _won(one) and not _lost(one)]
    told = [one.status if isinstance(one, Reply) else type(one).__name__ for one in seen]
    require(
        len(winners) == 1 or (not winners and bool(failed)),
        f"{len(winners)} of {len(seen)} writers won race {number}",
        winners=len(winners),
        writers=len(seen),
        answers=told,
        **({"lost": True} if len(winners) > 1 else {}),
    )
    if winners:
        request = winners[0].request
        bucket = request.bucket or space.bucket
        found = space.s3.get_object(Bucket=bucket, Key=request.key)["Body"].read()
        right = found == winners[0].body
        require(right, "a loser's content was stored", race=number, answers=told, lost=True)
    for one in failed:
        error = one if isinstance(one, UnreachableError) else _error(one, racers[0].request)
        refused = isinstance(error, boto.ClientError) and not is_throttled(error)
        if not (winners and refused):
            raise error
    return [one.status if isinstance(one, Reply) else 0 for one in seen]


def _won(seen: Seen) -> bool:
    # A completion can be refused in the document of a success.
    return isinstance(seen, Reply) and seen.ok and not seen.code


def _lost(seen: Seen) -> bool:
    return isinstance(seen, Reply) and seen.status in REFUSED


def _error(reply: Reply, request: Request) -> boto.ClientError:
    """Return a reply that is neither a win nor a loss as boto3 would raise it."""
    said = {"Code": reply.code or str(reply.status)}
    name = "PutObject" if request.method == "PUT" else "CompleteMultipartUpload"
    answer = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": reply.status}}
    return boto.ClientError(answer, name)  # pyright: ignore[reportArgumentType]


def confidence(races: int, answers: Iterable[int]) -> dict[str, object]:
    """Return how often the losers were answered what, and what so many races may have missed."""
    return {
        "races": races,
        "answered": {str(one): n for one, n in sorted(Counter(answers).items())},
        "two_winners_below": round(rate_unseen(races), 4),
        "misses_1_in_50": round(share_missed(_RARE, races), 4),
    }


def _creators(space: Workspace, key: str, count: int, *, bucket: str = "") -> list[Racer]:
    """Return writers that create a key as Woodpecker does."""
    bodies = [f"writer {number}".encode() for number in range(count)]
    return [Racer(body, put(space, key, body, NEW, bucket=bucket)) for body in bodies]


def _completers(space: Workspace, key: str, count: int) -> list[Racer]:
    """Return writers that have sent their part and will complete their upload on condition."""

    def one(number: int) -> Racer:
        body = f"upload {number}".encode()
        return Racer(body, _completion(uploaded(space, key, body)))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def _completion(done: dict[str, Any]) -> Request:
    """Return the request that completes an upload from `uploaded`."""
    parts = "".join(
        f"<Part><PartNumber>{one['PartNumber']}</PartNumber><ETag>{one['ETag']}</ETag></Part>"
        for one in done["MultipartUpload"]["Parts"]
    )
    document = f'<CompleteMultipartUpload xmlns="{_SPACE}">{parts}</CompleteMultipartUpload>'
    query = {"uploadId": done["UploadId"]}
    return Request("POST", done["Key"], query=query, headers=NEW, body=document.encode())


def _races(
    space: Workspace, rounds: int, made: Callable[[str], list[Racer]], *, bucket: str = ""
) -> Evidence:
    def one(number: int) -> list[Racer]:
        return made(space.key(f"race-{number}", bucket=bucket))

    answers = [status for _, some in _held(space, rounds, one) for status in some]
    return {**confidence(rounds, answers), "writers": len(answers) // rounds}


@check("conditional.race", by=BY, breaks=SPLIT, need=Need.WOODPECKER)
def winner(space: Workspace) -> Evidence:
    """Of many writers that create one key at once, exactly one wins."""
    return _races(space, space.effort.races, lambda key: _creators(space, key, space.effort.racers))


@check(
    "conditional.multipart-race",
    by=COMPLETERS,
    breaks=OVERWRITTEN,
    need=Need.OPERATION,
)
def multipart_race(space: Workspace) -> Evidence:
    """Of many uploads to one key that are completed on condition at once, exactly one wins."""
    count = max(2, space.effort.racers // 2)  # each costs three requests before the race begins
    return _races(space, _of_uploads(space), lambda key: _completers(space, key, count))


@check(
    "conditional.mixed-race",
    by=f"{COMPLETERS}, beside others that create the key in one request",
    breaks=OVERWRITTEN,
    need=Need.OPERATION,
)
def mixed_race(space: Workspace) -> Evidence:
    """When a conditional completion meets conditional PUTs of its key, exactly one wins."""

    def made(key: str) -> list[Racer]:
        return [*_completers(space, key, 1), *_creators(space, key, space.effort.racers - 1)]

    return _races(space, _of_uploads(space), made)


def _of_uploads(space: Workspace) -> int:
    return min(space.effort.races, space.effort.completion_races)


@check("conditional.fence-race", by=BY, breaks=SPLIT, need=Need.WOODPECKER)
def fence_race(space: Workspace) -> Evidence:
    """When an owner's write meets a fence, one wins and all see which."""

    def pair(number: int) -> list[Racer]:
        key = space.key("0.blk")
        both = [
            Racer(b"rows", put(space, key, b"rows", NEW)),
            Racer(b"F", put(space, key, b"F", FENCE)),
        ]
        return both if number % 2 else both[::-1]  # who comes first may have it easier

    won, answers = 0, []
    for number, (key, seen) in enumerate(_held(space, space.effort.races, pair)):
        fenced = seen[number % 2] == WRITTEN
        require(is_fence(space, key) == fenced, "the object is not the winner's")
        won += fenced
        answers += seen
    return {**confidence(space.effort.races, answers), "won_by_fence": won}


@check(
    "conditional.versioned",
    by="Woodpecker, should Milvus's bucket ever be versioned",
    breaks="writes on a versioned bucket are refused (NotImplemented) or not exclusive",
    need=Need.OPERATION,
)
def versioned(space: Workspace) -> Evidence:
    """On a versioned bucket too, exactly one of many creators wins."""
    bucket = versioned_bucket(space)
    return _races(
        space,
        space.effort.versioned_races,
        lambda key: _creators(space, key, space.effort.racers, bucket=bucket),
        bucket=bucket,
    )
