"""How fast a store is: each operation at the sizes Milvus writes, concurrency swept to the knee.

The load is closed loop: a fixed number of requests is under way at any time, as in Milvus's own
pools. Time to first byte is the time until the answer's head is there; the total ends with the last
byte. Memory is bounded by concurrency times `fast_client.PART` for reads, and for writes by one
body, which all requests share.

Outside the clock some of the bodies are read again and compared with what was written.

A failed request is infinitely slow. A request is sent again after 429, 500 and 503, as Milvus's
clients do; that is counted, and its time includes the waiting. A point at which the client was the
limit is void (`client_load`), because it then measured itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from validation.errors import MeasurementError
from validation.s3.speed.client_load import Watch
from validation.s3.speed.fast_client import CALLS, compared, error_code, fast_store
from validation.s3.speed.points import BODY, KNEE_GAIN, Point, Sweep
from validation.s3.workspace import Workspace
from validation.verdicts.intervals import samples_needed

OPERATIONS = tuple(CALLS)
_WRITERS = 16
_STOCK = 128
_DRAWN = 1 << 20
_TRIES = 3
_AGAIN = frozenset({"429", "500", "503"})
_WAIT_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        sizes: Object sizes in bytes.
        levels: Concurrency levels, rising.
        requests: Requests a point: so many that p99.9 has an interval, where time allows it.
        seconds: How long a point may take; it ends then, with the requests it has.
        memory: Bytes that bodies under way may take; levels beyond are left out.
        written: Bytes that a point may write, so many that 8 MiB has a p99; at least four requests
            for each that is under way.
    """

    sizes: tuple[int, ...] = (64 << 10, 1 << 20, 8 << 20, 64 << 20)
    levels: tuple[int, ...] = (1, 4, 16, 64, 128)
    requests: int = samples_needed("p99.9")
    seconds: float = 8.0
    memory: int = 1 << 30
    written: int = 3 << 30

    def requests_at(self, operation: str, size: int, concurrency: int) -> int:
        """Return how many requests a point sends, if the time suffices."""
        least = 4 * concurrency
        if operation == "PUT":
            return max(least, min(self.requests, self.written // max(size, 1)))
        return max(least, self.requests)


@dataclasses.dataclass(frozen=True)
class _Job:
    """One point to measure: the operation, and the keys on which its requests take turns."""

    operation: str
    size: int
    concurrency: int
    keys: Sequence[str]
    requests: int
    seconds: float


class Meter:
    """Measures a store with one or several endpoints, below a workspace's prefix.

    Args:
        space: Where objects are written.
        endpoints: Further endpoints of the same store; requests take turns among all.
    """

    def __init__(self, space: Workspace, endpoints: Sequence[str] = ()) -> None:
        self.space = space
        first = space.storage
        others = [first.model_copy(update={"endpoint": endpoint}) for endpoint in endpoints]
        self.stores = [fast_store(storage) for storage in (first, *others)]
        self._turn = count()
        self._seed = space.shared.setdefault("seed of bodies", secrets.randbits(64))

    def _body(self, size: int) -> bytearray:
        """Return content that no compression hides behind: the same each time, to compare with."""
        made, random = bytearray(size), np.random.default_rng((self._seed, size))
        for at in range(0, size, _DRAWN):  # as a whole it would be there twice
            made[at : at + _DRAWN] = random.bytes(min(_DRAWN, size - at))
        return made

    def sweep(self, operation: str, size: int, plan: Plan) -> Sweep:
        """Measure one operation at rising concurrency until the knee is passed."""
        points: list[Point] = []
        for level in plan.levels:
            if points and level * size > plan.memory:
                return Sweep(tuple(points), f"{level} bodies at once take too much memory")
            points.append(self.point(operation, size, level, plan))
            if points[-1].void:
                return Sweep(tuple(points), f"void at {level} at once")
            rates = [point.requests_per_second for point in points[-2:]]
            if len(rates) > 1 and rates[1] < KNEE_GAIN * rates[0]:
                return Sweep(tuple(points), "")
        return Sweep(tuple(points), f"no more than {plan.levels[-1]} at once were tried")

    def point(self, operation: str, size: int, concurrency: int, plan: Plan) -> Point:
        """Measure one operation at one size and concurrency.

        Args:
            operation: One of `OPERATIONS`.
            size: Of the objects, in bytes.
            concurrency: Requests under way at any time.
            plan: How many requests and for how long.
        """
        requests = plan.requests_at(operation, size, concurrency)
        if operation == "PUT":
            keys = self._fresh(requests)
        elif operation == "DELETE":
            fresh = self._fresh(requests)
            keys = fresh[: self._write(fresh, size, seconds=plan.seconds)]
            requests = len(keys)
        else:
            keys = self._stock(size, plan)
        job = _Job(operation, size, concurrency, keys, requests, plan.seconds)
        found = self._measured(job)
        sent = len(found.total_ms)
        if operation in {"PUT", "DELETE"}:
            self._remove(keys[:sent] if operation == "PUT" else keys[sent:])
        return found

    def written(self, size: int, number: int) -> list[str]:
        """Write objects that nothing reads before `first_and_again` does; return their keys."""
        folder = self.space.folder()
        keys = [self.space.key(f"{name:06d}", folder=folder) for name in range(number)]
        self._write(keys, size)
        return keys

    def first_and_again(
        self, keys: Sequence[str], size: int, concurrency: int, plan: Plan
    ) -> tuple[Point, Point]:
        """Read objects for the first time since they were written, and then once more.

        A store that caches what is read shows it by the difference; what it still has in a cache
        since it was written cannot be told from outside.
        """
        job = _Job("GET", size, concurrency, keys, len(keys), plan.seconds)
        first = self._measured(job)
        read = keys[: len(first.total_ms)]
        again = self._measured(dataclasses.replace(job, keys=read, requests=len(read)))
        self._remove(keys)
        return (
            dataclasses.replace(first, operation="GET first"),
            dataclasses.replace(again, operation="GET again"),
        )

    def _fresh(self, number: int) -> list[str]:
        """Return keys under which there is nothing: earlier points have removed their objects.

        They are taken again, so that the sweep in the end has no hundred thousand to delete.
        """
        keys = self.space.shared.setdefault("fresh keys", [])
        folder = self._folder("fresh")
        names = range(len(keys), number)
        keys += [self.space.key(f"{name:06d}", folder=folder) for name in names]
        return keys[:number]

    def _stock(self, size: int, plan: Plan) -> list[str]:
        """Return the objects of a size that are read, in a folder of their own; written once."""
        keys = self.space.shared.setdefault(f"stock {size}", [])
        if not keys:
            number = min(_STOCK, plan.requests, max(16, plan.memory // max(size, 1)))
            folder = self._folder(f"stock {size}")
            keys += [self.space.key(f"{name:06d}", folder=folder) for name in range(number)]
            self._write(keys, size)
        return keys

    def _folder(self, name: str) -> str:
        return self.space.shared.setdefault(f"folder of {name}", self.space.folder())

    def _write(self, keys: Sequence[str], size: int, *, seconds: float = math.inf) -> int:
        """Write objects, for so long at most, and return how many."""
        put, body, pending = CALLS["PUT"], self._body(size), iter(keys)
        end, written = time.perf_counter() + seconds, 0

        async def worker() -> None:
            nonlocal written
            for key in pending:
                try:
                    await _patiently(partial(put, self.stores[0], key, body, size), Counter())
                except Exception as error:  # noqa: BLE001  (obstore has no common base)
                    raise MeasurementError(
                        "the objects to measure with cannot be written",
                        where=self.space.storage.endpoint,
                        seen=error_code(error),
                        remedy="look at the store's load and free space",
                    ) from None
                written += 1
                if time.perf_counter() > end:
                    return

        asyncio.run(_at_once(worker, _WRITERS))
        return written

    def _remove(self, keys: Sequence[str]) -> None:
        """Delete what a point wrote, so that the bucket holds no more than one of them."""
        pending = iter(keys)

        async def worker() -> None:
            for key in pending:
                with contextlib.suppress(Exception):  # the sweep tries again, and tells
                    await CALLS["DELETE"](self.stores[0], key, bytearray(), 0)

        asyncio.run(_at_once(worker, _WRITERS))

    def _measured(self, job: _Job) -> Point:
        """Keep ``concurrency`` requests under way until all are sent or the time is over."""
        watch = Watch()
        with asyncio.Runner(loop_factory=watch.loop) as runner:
            return runner.run(self._watched(job, watch))

    async def _watched(self, job: _Job, watch: Watch) -> Point:
        call = CALLS[job.operation]
        body = self._body(job.size if job.operation == "PUT" else 0)
        folder = self._folder(f"stock {job.size}")
        times: list[tuple[float, float]] = []
        errors: Counter[str] = Counter()
        retried: Counter[str] = Counter()
        numbers = iter(range(job.requests))
        end = time.perf_counter() + job.seconds

        async def worker() -> None:
            for number in numbers:
                started = time.perf_counter()
                if started > end:
                    return
                store = self.stores[next(self._turn) % len(self.stores)]
                argument = folder if job.operation == "LIST" else job.keys[number % len(job.keys)]
                try:
                    first = await _patiently(
                        partial(call, store, argument, body, job.size), retried
                    )
                except Exception as error:  # noqa: BLE001  (obstore has no common base)
                    errors[error_code(error)] += 1
                    times.append((math.inf, math.inf))
                else:
                    times.append((time.perf_counter() - started, first - started))

        watch.begin()
        started = time.perf_counter()
        await _at_once(worker, job.concurrency)
        seconds = time.perf_counter() - started
        load = watch.end()
        sampled, changed = await self._compared(job, len(times))
        table = np.asarray(times, dtype=np.float64).reshape(-1, 2) * 1_000
        return Point(
            operation=job.operation,
            size=job.size,
            concurrency=job.concurrency,
            endpoints=len(self.stores),
            objects=min(len(job.keys), len(times)),
            seconds=seconds,
            total_ms=table[:, 0],
            first_byte_ms=table[:, 1],
            errors=dict(errors),
            retries=retried.total(),
            load=load,
            sampled=sampled,
            changed=changed,
        )

    async def _compared(self, job: _Job, sent: int) -> tuple[int, int]:
        """Compare some bodies with what was written; return how many, and how many had changed."""
        if job.operation not in BODY or not sent:
            return 0, 0
        keys, body = job.keys[: min(sent, len(job.keys))], self._body(job.size)
        same: list[bool] = []
        for key in {keys[0], keys[len(keys) // 2], keys[-1]}:
            with contextlib.suppress(Exception):  # a request that fails was counted in its time
                same.append(await compared(self.stores[0], key, body))
        return len(same), same.count(False)


async def _at_once(worker: Callable[[], Coroutine[Any, Any, None]], number: int) -> None:
    await asyncio.gather(*(worker() for _ in range(number)))


async def _patiently(send: Callable[[], Awaitable[float]], retried: Counter[str]) -> float:
    """Send a request, again where the store asks for it; count that by what it answered."""
    for turn in range(_TRIES - 1):
        try:
            return await send()
        except Exception as error:
            code = error_code(error)
            if code not in _AGAIN:
                raise
            retried[code] += 1
            await asyncio.sleep(_WAIT_SECONDS * 2**turn)
    return await send()
