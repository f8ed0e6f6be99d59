"""What is measured for the attribution, and what is made of it: plain values."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Any

import numpy as np

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
        seconds: From the order until all of it could be searched.
        index_bytes: What lies in the bucket of its index, the least that such a load reads.
        stored_bytes: What lies there of the collection in all.
        in_flight: Seconds during which, for certain, at least one read was under way; see `flight`.
        segments: How many segments the watched process loaded meanwhile; None if it does not say.
        reads: What the watched process read; None if that is not known.
        unknown: Why it is not known.
    """

    seconds: float
    index_bytes: int
    stored_bytes: int
    in_flight: float = 0.0
    segments: float | None = None
    reads: StorageReads | None = None
    unknown: str = ""


@dataclasses.dataclass(frozen=True)
class Searches:
    """Searches sent one after the other.

    Args:
        state: ``cold`` right after a load, else ``warm``.
        latencies_ms: Of each, float64, shape (n,); ``inf`` for one that failed.
        counted: How many searches the watched process served meanwhile; None if it does not say.
        reads: As in `ColdLoad`.
        remote_bytes: What each search says it read from the store, float64, shape (n,); None where
            the server says nothing. Zeros prove nothing: servers send them with tracking off.
        unknown: As in `ColdLoad`.
    """

    state: str
    latencies_ms: np.ndarray = dataclasses.field(repr=False)
    counted: float | None = None
    reads: StorageReads | None = None
    remote_bytes: np.ndarray | None = dataclasses.field(default=None, repr=False)
    unknown: str = ""


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
        low, high = round(100 * self.low), round(100 * self.high)
        shown = f"{low} to {high} %" if low < high and self.low else f"at most {high} %"
        if low == high and low:
            shown = f"{high} %"
        return f"the store explains {shown} of the {self.name}"

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


@dataclasses.dataclass(frozen=True)
class Slo:
    """The latency rule that a stack is held to: its gate, its percentile and its limit."""

    gate: str
    statistic: str
    limit_ms: float

    def text(self, latencies_ms: np.ndarray) -> str:
        """Return the rule and how measured latencies stand to it."""
        share = float(self.statistic.removeprefix("p"))
        seen = float(np.percentile(latencies_ms, share, method="inverted_cdf"))
        return f"{self.statistic} <= {self.limit_ms:g} ms, measured {seen:.3g} ms"


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer in one word and one line, and the parts it rests on."""

    bound: Bound
    line: str
    parts: tuple[Part, ...]
