"""Races: many writers of one key at the same moment, of whom exactly one may win.

A store that checks a condition and writes in two steps is right whenever nobody else comes; only
rivals that come at once show it. A win is judged whatever else happened in its race: that another
writer met an error takes nothing back of two acknowledgements.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from validation.s3.conformance.conditional import (
    BY,
    CONFLICT,
    FENCED,
    LARGE,
    SPLIT,
    completed,
    create,
    is_fence,
    uploaded,
    versioned_bucket,
)
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.workspace import Workspace

_WATCH_SECONDS = 30
_WON = 200


@dataclasses.dataclass(frozen=True)
class Racer:
    """One who writes a key.

    Args:
        body: What is read if this one wins.
        write: Writes it and returns the status.
    """

    body: bytes
    write: Callable[[], int]


def _together(racers: Sequence[Racer]) -> list[int | Exception]:
    """Let all write at the same moment and return what each of them saw."""
    barrier = threading.Barrier(len(racers), timeout=_WATCH_SECONDS)

    def run(racer: Racer) -> int | Exception:
        barrier.wait()
        try:
            return racer.write()
        except Exception as error:  # noqa: BLE001  (told after the wins are counted)
            return error

    with ThreadPoolExecutor(len(racers)) as pool:
        return list(pool.map(run, racers))


def decided(
    space: Workspace, key: str, racers: Sequence[Racer], *, number: int = 1, bucket: str = ""
) -> list[int]:
    """Hold a race; require that one wins and that its content is stored.

    Returns:
        The status each saw, in their order.
    """
    seen = _together(racers)
    winners = [racer for racer, status in zip(racers, seen, strict=True) if status == _WON]
    failed = [one for one in seen if isinstance(one, Exception)]
    told = [type(one).__name__ if isinstance(one, Exception) else one for one in seen]
    require(
        len(winners) == 1 or (not winners and bool(failed)),
        f"{len(winners)} of {len(seen)} writers won race {number}",
        winners=len(winners),
        writers=len(seen),
        answers=told,
    )
    if winners:
        found = space.s3.get_object(Bucket=bucket or space.bucket, Key=key)["Body"].read()
        right = found == winners[0].body
        require(right, "a loser's content was stored", race=number, answers=told)
    for error in failed:
        raise error
    return [one for one in seen if isinstance(one, int)]


def _creators(space: Workspace, key: str, count: int, *, bucket: str = "") -> list[Racer]:
    """Return writers that create a key by a conditional PUT."""

    def one(number: int) -> Racer:
        body = f"writer {number}".encode()
        return Racer(body, lambda: create(space, key, body, bucket=bucket))

    return [one(number) for number in range(count)]


def _completers(space: Workspace, key: str, count: int) -> list[Racer]:
    """Return writers that have sent their part and will complete their upload on condition."""

    def one(number: int) -> Racer:
        body = f"upload {number}".encode()
        done = uploaded(space, key, body)
        return Racer(body, lambda: completed(space, done))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def _races(
    space: Workspace,
    rounds: int,
    made: Callable[[str], list[Racer]],
    *,
    bucket: str = "",
) -> Evidence:
    conflicts = writers = 0
    for number in range(rounds):
        key = space.key(f"race-{number}", bucket=bucket)
        seen = decided(space, key, made(key), number=number + 1, bucket=bucket)
        conflicts += seen.count(CONFLICT)
        writers = len(seen)
    return {"races": rounds, "writers": writers, "answered_409": conflicts}


@check("conditional.race", by=BY, breaks=SPLIT, need=Need.WOODPECKER)
def winner(space: Workspace) -> Evidence:
    """Of many writers that create one key at once, exactly one wins."""
    return _races(space, space.effort.races, lambda key: _creators(space, key, space.effort.racers))


@check(
    "conditional.multipart-race",
    by=LARGE,
    breaks=SPLIT,
    need=Need.WOODPECKER,
)
def multipart_race(space: Workspace) -> Evidence:
    """Of many uploads to one key that are completed on condition at once, exactly one wins."""
    count = max(2, space.effort.racers // 2)  # each costs three requests before the race begins
    return _races(space, space.effort.races, lambda key: _completers(space, key, count))


@check(
    "conditional.mixed-race",
    by=f"{LARGE}, and the fences that meet them",
    breaks=SPLIT,
    need=Need.WOODPECKER,
)
def mixed_race(space: Workspace) -> Evidence:
    """When a conditional completion meets conditional PUTs of its key, exactly one wins."""

    def made(key: str) -> list[Racer]:
        return [*_completers(space, key, 1), *_creators(space, key, space.effort.racers - 1)]

    return _races(space, space.effort.races, made)


@check("conditional.fence-race", by=BY, breaks=SPLIT, need=Need.WOODPECKER)
def fence_race(space: Workspace) -> Evidence:
    """When an owner's write meets a fence, one wins and all see which."""
    won = 0
    for number in range(space.effort.races):
        key = space.key("0.blk")
        rows = Racer(b"rows", lambda key=key: create(space, key, b"rows"))
        fence = Racer(b"F", lambda key=key: create(space, key, b"F", Metadata=FENCED))
        _, fencing = decided(space, key, [rows, fence], number=number + 1)
        fenced = fencing == _WON
        require(is_fence(space, key) == fenced, "the object is not the winner's")
        won += fenced
    return {"races": space.effort.races, "won_by_fence": won}


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
