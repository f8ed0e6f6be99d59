"""How fast a store is: each operation at the sizes Milvus writes, concurrency swept to the knee.

The load is closed loop: a fixed number of requests is under way at any time, as in Milvus's own
pools. Time to first byte is the time until the answer's head is there; the total ends with the last
byte. Memory is bounded by concurrency times `fast_client.PIECE` for reads and by one body in each
request for writes.

A failed request is infinitely slow. A request is sent again after 429, 500 and 503, as Milvus's
clients do; that is counted, and its time includes the waiting. A point is void if the client had no
CPU to spare, because it then measured itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import numpy as np
from obstore.store import S3Store

from validation import host
from validation.errors import MeasurementError
from validation.s3.conformance.objects import noise
from validation.s3.fast_client import CALLS, Call, error_code, fast_store
from validation.s3.workspace import Workspace
from validation.statistics.intervals import Estimate, estimate

PERCENTILES = ("p50", "p95", "p99", "p99.9")
BODY = ("PUT", "GET")
"""Operations that move a body, so that size matters; the others are measured on empty objects."""
OPERATIONS = tuple(CALLS)
_TRIES = 3
_AGAIN = frozenset({"429", "500", "503"})
_WAIT_SECONDS = 0.1
_BUSY_SHARE = 0.9
"""Above this share of all cores the client itself is what limits."""
_KNEE_GAIN = 1.10
"""Twice the concurrency has to bring at least this much throughput, or the knee is reached."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        sizes: Object sizes in bytes.
        levels: Concurrency levels, rising.
        requests: Requests a point, at least.
        seconds: How long a point may take; it ends then, with the requests it has.
        memory: Bytes that bodies under way may take; levels beyond are left out.
    """

    sizes: tuple[int, ...] = (64 << 10, 1 << 20, 8 << 20, 64 << 20)
    levels: tuple[int, ...] = (1, 4, 16, 64, 128)
    requests: int = 400
    seconds: float = 8.0
    memory: int = 1 << 30


@dataclasses.dataclass(frozen=True)
class Point:
    """One operation at one size and concurrency. Times are in ms, ``inf`` for failed requests."""

    operation: str
    size: int
    concurrency: int
    endpoints: int
    seconds: float
    total_ms: np.ndarray
    first_byte_ms: np.ndarray
    errors: dict[str, int]
    retries: int
    cpu_share: float

    @property
    def succeeded(self) -> int:
        """Number of requests that were answered."""
        return int(np.isfinite(self.total_ms).sum())

    @property
    def requests_per_second(self) -> float:
        """Answered requests per second."""
        return self.succeeded / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes of bodies per second."""
        return self.requests_per_second * self.size if self.size else 0.0

    @property
    def void(self) -> str:
        """Why this point says nothing of the store; empty if it does."""
        if self.cpu_share >= _BUSY_SHARE:
            return f"the client used {self.cpu_share:.0%} of this host's CPU: it was the limit"
        return "" if self.succeeded else "no request succeeded"

    def percentiles(self) -> dict[str, Estimate]:
        """Return the percentiles of the total time with their intervals."""
        return {name: estimate(name, self.total_ms) for name in PERCENTILES}


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
        self._bodies: dict[int, bytes] = {}

    def point(self, operation: str, size: int, concurrency: int, plan: Plan) -> Point:
        """Measure one operation at one size and concurrency.

        Args:
            operation: One of `OPERATIONS`.
            size: Of the objects, in bytes.
            concurrency: Requests under way at any time.
            plan: How many requests and for how long.
        """
        requests = max(plan.requests, 4 * concurrency)
        if size:  # large objects: what fits into the time anyway, and into the bucket
            requests = min(requests, max(4 * concurrency, (2 << 30) // size))
        body = self._body(size)
        if operation in {"PUT", "DELETE"}:
            keys = [self.space.key(operation.lower()) for _ in range(requests)]
        else:
            keys = self._stock(size, min(requests, max(concurrency, 16)), concurrency)
        if operation == "DELETE":
            asyncio.run(self._write(keys, body, concurrency))
        found = asyncio.run(
            self._measured(operation, size, concurrency, keys=keys, requests=requests, plan=plan)
        )
        if operation == "PUT":
            asyncio.run(self._remove(keys, min(concurrency, 16)))
        return found

    def first_and_again(self, size: int, concurrency: int, plan: Plan) -> tuple[Point, Point]:
        """Read objects that were just written for the first time, and then once more.

        A store that caches what is read shows it by the difference; what it caches when it is
        written cannot be told from outside.
        """
        number = max(concurrency, min(plan.requests, plan.memory // 4 // max(size, 1)))
        keys = [self.space.key("fresh") for _ in range(number)]
        asyncio.run(self._write(keys, self._body(size), min(concurrency, 16)))
        points = [
            asyncio.run(
                self._measured("GET", size, concurrency, keys=keys, requests=number, plan=plan)
            )
            for _ in range(2)
        ]
        asyncio.run(self._remove(keys, min(concurrency, 16)))
        named = zip(points, ("GET first", "GET again"), strict=True)
        first, again = (dataclasses.replace(point, operation=name) for point, name in named)
        return first, again

    def _body(self, size: int) -> bytes:
        if size not in self._bodies:
            self._bodies = {size: noise(size)}  # one at a time: the largest are large
        return self._bodies[size]

    def _stock(self, size: int, number: int, concurrency: int) -> list[str]:
        """Return objects of a size to read; written once and used for every level."""
        stock = self.space.shared.setdefault(f"stock {size}", [])
        folder = self._folder(size)
        names = range(len(stock), number)
        missing = [self.space.key(f"{name:06d}", folder=folder) for name in names]
        asyncio.run(self._write(missing, self._body(size), min(concurrency, 16)))
        stock += missing
        return stock[:number]

    def _folder(self, size: int) -> str:
        name = f"folder {size}"
        if name not in self.space.shared:
            self.space.shared[name] = self.space.folder()
        return self.space.shared[name]

    async def _write(self, keys: Sequence[str], body: bytes, concurrency: int) -> None:
        pending = iter(keys)

        async def worker() -> None:
            for key in pending:
                try:
                    await _patiently(CALLS["PUT"], self.stores[0], key, body, Counter())
                except Exception as error:  # noqa: BLE001  (obstore has no common base)
                    raise MeasurementError(
                        "the objects to measure with cannot be written",
                        where=self.space.storage.endpoint,
                        seen=error_code(error),
                        remedy="look at the store's load and free space",
                    ) from None

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    async def _remove(self, keys: Sequence[str], concurrency: int) -> None:
        """Delete what a point wrote, so that the bucket holds no more than one of them."""
        pending = iter(keys)

        async def worker() -> None:
            for key in pending:
                with contextlib.suppress(Exception):  # the sweep tries again, and tells
                    await CALLS["DELETE"](self.stores[0], key, b"")

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    async def _measured(
        self,
        operation: str,
        size: int,
        concurrency: int,
        *,
        keys: Sequence[str],
        requests: int,
        plan: Plan,
    ) -> Point:
        """Keep ``concurrency`` requests under way until all are sent or the time is over."""
        call, folder = CALLS[operation], self._folder(size)
        body = self._body(size)
        times: list[tuple[float, float]] = []
        errors: Counter[str] = Counter()
        retried: Counter[str] = Counter()
        numbers = iter(range(requests))
        end = time.perf_counter() + plan.seconds

        async def worker() -> None:
            for number in numbers:
                started = time.perf_counter()
                if started > end:
                    return
                store = self.stores[next(self._turn) % len(self.stores)]
                argument = folder if operation == "LIST" else keys[number % len(keys)]
                try:
                    first = await _patiently(call, store, argument, body, retried)
                except Exception as error:  # noqa: BLE001  (obstore has no common base)
                    errors[error_code(error)] += 1
                    times.append((math.inf, math.inf))
                else:
                    times.append((time.perf_counter() - started, first - started))

        with _cpu_watched() as share:
            started = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(concurrency)))
            seconds = time.perf_counter() - started
        table = np.asarray(times, dtype=np.float64).reshape(-1, 2) * 1_000
        return Point(
            operation=operation,
            size=size,
            concurrency=concurrency,
            endpoints=len(self.stores),
            seconds=seconds,
            total_ms=table[:, 0],
            first_byte_ms=table[:, 1],
            errors=dict(errors),
            retries=retried.total(),
            cpu_share=share(),
        )

    def sweep(self, operation: str, size: int, plan: Plan) -> Iterator[Point]:
        """Measure one operation at rising concurrency until the knee is passed."""
        before = 0.0
        for level in plan.levels:
            if level * size > plan.memory:
                return
            point = self.point(operation, size, level, plan)
            yield point
            if before and point.requests_per_second < _KNEE_GAIN * before:
                return
            before = point.requests_per_second


async def _patiently(
    call: Call, store: S3Store, argument: str, body: bytes, retried: Counter[str]
) -> float:
    """Send a request, again where the store asks for it; count that by what it answered."""
    for turn in range(_TRIES - 1):
        try:
            return await call(store, argument, body)
        except Exception as error:
            code = error_code(error)
            if code not in _AGAIN:
                raise
            retried[code] += 1
            await asyncio.sleep(_WAIT_SECONDS * 2**turn)
    return await call(store, argument, body)


def knee(points: Sequence[Point]) -> Point:
    """Return the point beyond which more concurrency brings no more than 10 % of throughput."""
    best = max(point.requests_per_second for point in points)
    return next(point for point in points if point.requests_per_second * _KNEE_GAIN >= best)


@contextlib.contextmanager
def _cpu_watched() -> Iterator[Callable[[], float]]:
    """Give a function that returns the share of all cores this process used in the block."""
    wall, cpu = time.perf_counter(), time.process_time()
    result: list[float] = []
    yield lambda: result[0]
    elapsed = max(time.perf_counter() - wall, 1e-9)
    result.append((time.process_time() - cpu) / elapsed / host.cores())
