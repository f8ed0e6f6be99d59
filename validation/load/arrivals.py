"""When requests are sent in an open loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Arrivals = Literal["poisson", "constant"]


def schedule(
    rate: float, seconds: float, *, arrivals: Arrivals = "poisson", seed: int = 0
) -> np.ndarray:
    """Return when to send each request, seconds from the start, ascending.

    There are always ``round(rate * seconds)`` of them, at least one. ``constant`` spaces them
    evenly. ``poisson`` draws that many moments uniformly from the interval and sorts them, which is
    a Poisson process given its number of arrivals: independent users, with the bursts they make.

    Args:
        rate: Requests per second.
        seconds: Length of the interval.
        arrivals: How they are spread.
        seed: Of the draw; the same seed gives the same schedule.

    Returns:
        Float64, shape (n,).
    """
    count = max(1, round(rate * seconds))
    if arrivals == "constant":
        return np.arange(count) / rate
    return np.sort(_drawn(count, seed)) * seconds


def ramp(rate: float, seconds: float, first: float, last: float, *, seed: int = 0) -> np.ndarray:
    """Return arrivals whose rate rises or falls evenly, and is the given one on average.

    Args:
        rate: Requests per second, on average.
        seconds: Length of the interval.
        first: The rate at its beginning, relative to the last.
        last: The rate at its end, relative to the first.
        seed: Of the draw.

    Returns:
        Float64, shape (n,), ascending: a Poisson process given its number of arrivals.
    """
    share = np.sort(_drawn(max(1, round(rate * seconds)), seed))
    if first == last:
        return share * seconds
    # Where the area under a line from first to last, which is 1 in all, reaches each share.
    total = (first + last) / 2
    root = np.sqrt(first * first + 2 * (last - first) * total * share)
    return (root - first) / (last - first) * seconds


def replayed(times: Sequence[float], rate: float) -> np.ndarray:
    """Return arrivals as they were seen, sped up or slowed down until their rate is the given one.

    Args:
        times: Seconds from the first of them on, ascending.
        rate: Requests per second, on average over all of them.
    """
    seen = np.asarray(times, dtype=np.float64)
    return seen * (len(seen) / rate / float(seen[-1]))


def _drawn(count: int, seed: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).random(count)
