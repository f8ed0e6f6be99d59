"""What a measurement under load yields: one row a request, nothing summed up."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.load import starvation
from validation.load.client import ClientUse
from validation.load.replies import Replies


@dataclasses.dataclass(frozen=True)
class Samples:
    """One measurement.

    Args:
        latencies_ms: Float64, shape (n,), in the order of sending; ``inf`` for a request that
            failed or was not answered completely.
        offsets_s: When each request was meant to be sent, seconds from the start, shape (n,).
        lag_ms: How much later than meant it was sent, shape (n,); zeros where there is no schedule.
        own_ms: Of each latency, how much was the client's own; NaN where it is not known.
        numbers: Which request of the plan each one is, int64, shape (n,).
        replies: What came back for each.
        errors: How often each failure came up.
        seconds: From the first request to the last reply.
        uses: What each of the client's threads used, one a worker.
        limited: How often the server limited the rate and was asked again, as pymilvus does.
        resent: How often the server refused a call unseen, which was then made again.
        turn_p99_ms: p99 of how long the client's loop was busy before it looked again.
        broken_off: Why it ended before all requests were sent; None if it did not. The samples
            stand nevertheless: what ended it was the server.
    """

    latencies_ms: np.ndarray = dataclasses.field(repr=False)
    offsets_s: np.ndarray = dataclasses.field(repr=False)
    lag_ms: np.ndarray = dataclasses.field(repr=False)
    own_ms: np.ndarray = dataclasses.field(repr=False)
    numbers: np.ndarray = dataclasses.field(repr=False)
    replies: Replies = dataclasses.field(repr=False)
    errors: dict[str, int]
    seconds: float
    uses: Sequence[ClientUse]
    limited: int = 0
    resent: int = 0
    turn_p99_ms: float = 0.0
    broken_off: str | None = None

    @property
    def n(self) -> int:
        """Number of requests."""
        return len(self.latencies_ms)

    @property
    def failed(self) -> np.ndarray:
        """1.0 for a request that failed, else 0.0: float64, shape (n,)."""
        return np.isinf(self.latencies_ms).astype(np.float64)

    @property
    def void(self) -> str | None:
        """Why the samples must not be judged; None if they may.

        Only a client that could not keep up voids them. Failures never do, or a dead server would
        be inconclusive instead of a fail.
        """
        return starvation.why_void(self.latencies_ms, self.own_ms, self.lag_ms, self.uses)

    def evidence(self) -> dict[str, Any]:
        """Return what a report shows beside the latencies."""
        return {
            "requests": self.n,
            "failed": int(self.failed.sum()),
            "errors": dict(self.errors),
            "seconds": round(self.seconds, 3),
            "rate_per_second": round(self.n / self.seconds, 2) if self.seconds > 0 else None,
            "send_lag_p99_ms": round(float(np.percentile(self.lag_ms, 99)), 3) if self.n else None,
            "client_loop_busy_p99_ms": round(self.turn_p99_ms, 3),
            **starvation.evidence(self.latencies_ms, self.own_ms, self.uses),
            **({"rate_limited": self.limited} if self.limited else {}),
            **({"resent": self.resent} if self.resent else {}),
            **({"broken_off": self.broken_off} if self.broken_off else {}),
        }


def limits(times: int) -> str:
    """Say that a server limited the rate itself: the waiting was its wish. Empty if it did not."""
    return f"it limited the rate {times} times (code 8), and was asked again" if times else ""


def counted(failures: Sequence[str]) -> dict[str, int]:
    """Return how often each failure came up; an empty text is none."""
    return dict(Counter(text for text in failures if text).most_common())
