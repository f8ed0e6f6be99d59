"""What is measured for the attribution, and what is made of it: plain values."""

from __future__ import annotations

import dataclasses
import math
from enum import StrEnum
from typing import Any

import numpy as np

from validation.load.replies import Replies
from validation.milvus.storage_reads import StorageReads

HALF = 0.5
"""A stack is bound by what takes more than half of its time."""


class Bound(StrEnum):
    """What a stretch of time is bound by."""

    COMPUTE = "compute-bound"
    STORAGE = "storage-bound"
    UNDECIDED = "undecided"


@dataclasses.dataclass(frozen=True)
class Replay:
    """A client that only read a collection's objects, with several connections.

    Args:
        bytes: That it read.
        requests: That it made.
        seconds: From the first request to the last answer.
        request_seconds: The requests' durations added up.
    """

    bytes: int
    requests: int
    seconds: float
    request_seconds: float


@dataclasses.dataclass(frozen=True)
class ColdLoad:
    """One load of a released collection.

    Args:
        seconds: From the order until all of it could be searched, at most.
        seconds_low: The same, at least: until it was last said not to be there yet.
        index_bytes: What lies in the bucket of its index.
        row_bytes: What lies there of its rows, which a load without an index reads.
        stored_bytes: What lies there of the collection in all.
        in_flight: Seconds during which, for certain, at least one read was under way; see `flight`.
        segments: How many segments the watched processes loaded; None if they do not say.
        reads: What the watched processes read; None if that is not known.
        unknown: Why it is not known.
    """

    seconds: float
    seconds_low: float
    index_bytes: int
    row_bytes: int
    stored_bytes: int
    in_flight: float = 0.0
    segments: float | None = None
    reads: StorageReads | None = None
    unknown: str = ""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What each search says of its own reading, float64, shape (n,); NaN where it says nothing.

    Args:
        remote_bytes: Of what it touched, how much was not cached, so that it waited for the store.
        total_bytes: How much it touched. Zero with tracking off, so only more is a proof of it.
        hit_ratio: The share that was cached.
    """

    remote_bytes: np.ndarray = dataclasses.field(repr=False)
    total_bytes: np.ndarray = dataclasses.field(repr=False)
    hit_ratio: np.ndarray = dataclasses.field(repr=False)

    @property
    def tracked(self) -> np.ndarray:
        """Which searches really say what they read, bool, shape (n,)."""
        return np.isfinite(self.remote_bytes) & (np.nan_to_num(self.total_bytes) > 0)


@dataclasses.dataclass(frozen=True)
class Searches:
    """Searches sent one after the other.

    Args:
        state: ``cold`` right after a load, else ``warm``.
        latencies_ms: Of each, float64, shape (n,); ``inf`` for one that failed.
        began: When each was sent, on `time.monotonic`, shape (n,).
        counted: How many searches the watched processes served; None if they do not say.
        reads: As in `ColdLoad`.
        under_way: When, for certain, a read was under way, on the same clock; see `flight`.
        cost: What each says of its reads.
        unknown: As in `ColdLoad`.
        replies: What they said, the first to the first request of the plan.
    """

    state: str
    latencies_ms: np.ndarray = dataclasses.field(repr=False)
    began: np.ndarray = dataclasses.field(repr=False)
    cost: Cost = dataclasses.field(repr=False)
    counted: float | None = None
    reads: StorageReads | None = None
    under_way: tuple[tuple[float, float], ...] = ()
    unknown: str = ""
    replies: Replies | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Part:
    """What the store explains of one stretch of time.

    Args:
        name: Of the stretch, such as ``cold load``.
        low: The least share, in [0, 1]; None if nothing is known.
        high: The largest share.
        reason: Why nothing is known.
        arithmetic: How the bounds came about, with their figures.
        inputs: The figures themselves.
    """

    name: str
    low: float | None = None
    high: float | None = None
    reason: str = ""
    arithmetic: str = ""
    inputs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def bound(self) -> Bound:
        """What this stretch is bound by."""
        if self.low is None or self.high is None:
            return Bound.UNDECIDED
        if self.low >= HALF:
            return Bound.STORAGE
        return Bound.COMPUTE if self.high < HALF else Bound.UNDECIDED

    def text(self) -> str:
        """Return the share in words, e.g. ``the store explains 1 to 5 % of the cold load``."""
        if self.low is None or self.high is None:
            return f"unknown for the {self.name}: {self.reason}"
        low, high = _percent(self.low, math.floor), _percent(self.high, math.ceil)
        shown = f"{low} to {high} %" if self.low else f"at most {high} %"
        return f"the store explains {high + ' %' if low == high else shown} of the {self.name}"

    def evidence(self) -> dict[str, Any]:
        """Return what a report shows."""
        return {
            "bound": self.bound.value,
            "low": self.low,
            "high": self.high,
            "reason": self.reason,
            "arithmetic": self.arithmetic,
            **self.inputs,
        }


def _percent(share: float, rounded: Any) -> str:
    """Return a share in percent, rounded outwards, with digits enough to stay on its side."""
    value = round(100 * share, 9)
    for digits in range(9):
        shown = rounded(value * 10**digits) / 10**digits
        if (shown >= 100 * HALF) == (share >= HALF):
            return f"{shown:.{digits}f}"
    return f"{value:g}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer in one word and one line, and the parts it rests on."""

    bound: Bound
    line: str
    parts: tuple[Part, ...]
