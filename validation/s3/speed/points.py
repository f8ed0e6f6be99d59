"""What was measured at one concurrency, what a sweep over several says, and where its knee is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from validation.s3.speed.client_load import ClientLoad
from validation.verdicts.intervals import Estimate, estimate, samples_needed

PERCENTILES = ("p50", "p95", "p99", "p99.9")
BODY = ("PUT", "GET")
"""Operations that move a body."""
KNEE_GAIN = 1.10
"""More concurrency has to bring at least this much throughput, or the knee is reached."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One operation at one size and concurrency. Times are in ms, ``inf`` for failed requests.

    ``objects`` is how many distinct objects the requests took turns on, ``sampled`` how many of
    them were compared with what was written, and ``changed`` how many differed.
    """

    operation: str
    size: int
    concurrency: int
    endpoints: int
    objects: int
    seconds: float
    total_ms: np.ndarray
    first_byte_ms: np.ndarray
    errors: dict[str, int]
    retries: int
    load: ClientLoad
    sampled: int = 0
    changed: int = 0

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
        moves = self.operation.split()[0] in BODY
        return self.requests_per_second * self.size if moves else 0.0

    @property
    def void(self) -> str:
        """Why this point says nothing of the store; empty if it does."""
        if self.changed:
            return f"{self.changed} of {self.sampled} bodies that were compared had changed"
        return self.load.limit or ("" if self.succeeded else "no request succeeded")

    def totals(self) -> dict[str, Estimate]:
        """Return the percentiles of the total time with their intervals: see `told`."""
        return told(self.total_ms)

    def first_bytes(self) -> dict[str, Estimate]:
        """Return those of the time to the first byte.

        Only GET's are told. Other answers have no body, so that it is the total; and that of LIST
        is handed over as a whole.
        """
        return told(self.first_byte_ms) if self.operation.split()[0] == "GET" else {}


def told(samples: np.ndarray) -> dict[str, Estimate]:
    """Return the percentiles for which there are samples enough: from fewer, one is no figure."""
    names = [name for name in PERCENTILES if samples.size >= samples_needed(name)]
    return {name: estimate(name, samples, span=(0.0, np.inf)) for name in names}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """One operation at one size, at rising concurrency.

    Args:
        points: In the order of their concurrency; only the last one may be void.
        cut: Why it ended before more concurrency stopped paying; empty if it did not.
    """

    points: tuple[Point, ...]
    cut: str

    @property
    def knee(self) -> Point | None:
        """The point beyond which more concurrency brings no more than 10 % of throughput.

        Void points are left out. Where the sweep was cut this is the best that was seen; more
        concurrency might bring more.
        """
        return knee(self.points)


def knee(points: Sequence[Point]) -> Point | None:
    """Return the knee of points; None if all are void."""
    valid = [point for point in points if not point.void]
    best = max((point.requests_per_second for point in valid), default=0.0)
    near = (point for point in valid if point.requests_per_second * KNEE_GAIN >= best)
    return next(near, None)
