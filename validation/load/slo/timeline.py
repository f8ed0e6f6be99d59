"""Latency over the time of a whole search of the rate, to be seen beside what went on meanwhile."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from validation.load.slo.background import Background

WINDOW = 0.5
"""Seconds over which one percentile is taken."""


class Timeline:
    """Collects what trials saw, in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.points: list[dict[str, Any]] = []

    def now(self) -> float:
        """Return the seconds so far."""
        return time.monotonic() - self._start

    def note(self, began: float, offsets_s: np.ndarray, latencies_ms: np.ndarray) -> None:
        """Keep percentiles of a trial, window by window; failures count as endless.

        Args:
            began: When it did, as `now` said.
            offsets_s: When each search was meant to be sent, from then on, shape (n,).
            latencies_ms: How long each took; ``inf`` if it failed.
        """
        windows = (offsets_s // WINDOW).astype(int)
        for window in np.unique(windows):
            mine = latencies_ms[windows == window]
            p50, p99 = np.percentile(mine, (50, 99), method="inverted_cdf")
            self.points.append(
                {
                    "at": round(began + (int(window) + 0.5) * WINDOW, 2),
                    "p50": round(float(p50), 3),
                    "p99": round(float(p99), 3),
                    "failed": int(np.isinf(mine).sum()),
                }
            )

    def evidence(self, beside: Background) -> dict[str, Any]:
        """Return what a report draws.

        Args:
            beside: What went on meanwhile.
        """
        phases = [
            {
                "name": name,
                "begin": round(begin - self._start, 2),
                "end": round(end - self._start, 2),
            }
            for name, begin, end in beside.phases
        ]
        return {"over_time": self.points, "phases_beside": phases}
