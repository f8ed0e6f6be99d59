"""What a measurement under load yields: one row a request, nothing summed up."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_LAG_MS = 10.0
"""A client whose p99 of lag behind its own schedule is above this did not offer what it says."""

MAX_LAG_ARRIVALS = 5
"""At low rates the lag may be as long as this many mean gaps between requests: the arrivals of a
Poisson process bunch as much by themselves, so the server sees the load that was meant. Lag is
never lost: latency counts from the intended time."""

MAX_CPU = 0.85
"""A single-threaded client that uses more of a core than this is near its end: requests queue in
the client, and the queue would be counted as the server's latency."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """One measurement.

    Args:
        latencies_ms: Float64, shape (n,), in the order of sending; ``inf`` for a request that
            failed or was not answered completely.
        offsets_s: When each request was meant to be sent, seconds from the start, shape (n,).
        lag_ms: How much later than meant it was sent, shape (n,); zeros where there is no schedule.
        errors: How often each failure came up.
        seconds: From the first request to the last reply.
        client_cpu: Cores the client used meanwhile.
        saturated: Why the client could not keep up; None if it could. The samples are void then:
            they say nothing of the server.
        broken_off: Why it ended before all requests were sent; None if it did not. The samples
            stand nevertheless: what ended it was the server.
    """

    latencies_ms: np.ndarray = dataclasses.field(repr=False)
    offsets_s: np.ndarray = dataclasses.field(repr=False)
    lag_ms: np.ndarray = dataclasses.field(repr=False)
    errors: dict[str, int]
    seconds: float
    client_cpu: float
    saturated: str | None = None
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
        return self.saturated

    def evidence(self) -> dict[str, Any]:
        """Return what a report shows beside the latencies."""
        return {
            "requests": self.n,
            "failed": int(self.failed.sum()),
            "errors": dict(self.errors),
            "seconds": round(self.seconds, 3),
            "rate_per_second": round(self.n / self.seconds, 2) if self.seconds > 0 else None,
            "client_cpu_cores": round(self.client_cpu, 3),
            "send_lag_p99_ms": round(float(np.percentile(self.lag_ms, 99)), 3) if self.n else None,
            **({"broken_off": self.broken_off} if self.broken_off else {}),
        }


def saturation(lag_ms: np.ndarray, cpu: float, *, rate: float) -> str | None:
    """Return why the client could not keep up; None if it could.

    Args:
        lag_ms: Lag of each request behind the schedule.
        cpu: Cores the busiest single-threaded worker used.
        rate: Requests a second that were meant.
    """
    allowed = max(MAX_LAG_MS, MAX_LAG_ARRIVALS * 1000 / rate)
    lag = float(np.percentile(lag_ms, 99)) if len(lag_ms) else 0.0
    if lag > allowed:
        return (
            f"the client fell behind its schedule: p99 of the send lag was {lag:.1f} ms, "
            f"more than {allowed:g} ms"
        )
    if cpu > MAX_CPU:
        return f"the client used {cpu:.2f} of a core, more than {MAX_CPU:g}"
    return None


def counted(failures: Sequence[str]) -> dict[str, int]:
    """Return how often each failure came up; an empty text is none."""
    return dict(Counter(text for text in failures if text).most_common())
