"""Whether the client was the limit: a judgement over figures that were recorded, nothing else.

A reply that lies in the socket while our thread waits for a core is counted as the server's
latency, and a request that is sent late makes a load that nobody asked for. So for each request
there is its **own** part: how late it was sent, and how long our thread then waited for a core, or
stood still with its process or host, before it took the reply. What is left of the latency without
it is the server's and the network's.

The limits were found beside the embedded server, which shares two cores with the client, at 50 to
500 searches a second and with 8 under way. Healthy clients had an own part of 0 to 9 % of p50
(`OWN_SHARE` is 50 %); with six busy loops on the client's core it was 76 to 100 %, and 87 to 99 %
of p99. CPU alone does not tell: the starved client used 0.02 of a core, and a server that uses all
cores gave a healthy client 24 % of what it wanted (the starved one 2 to 15 %, `LEAST_GOT`), which
then was 9 % of p50. Both together do, where a host is so full that the server is starved as well,
and no longer the client for the most part.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.load.client import ClientUse

OWN_SHARE = 0.5
"""More than this of the median, or of p99, must not be the client's own."""

OWN_TAIL_MS = 10.0
"""Of p99, the client's own part may be this long at any share: three turns of other threads at 3 ms
each, which the kernel gives them on a healthy host too, where one search in a hundred meets them.
A stall of the client is longer, or it comes often and shows in the median."""

LEAST_GOT, OWN_SHARE_WITHOUT_CPU = 0.2, 0.05
"""Less than this of the CPU that it wanted, while more than this of the median is its own."""

MAX_LAG_MS = 10.0
"""p99 of how late requests are sent: beyond it, the load was not the one that was meant."""

MAX_CPU = 0.85
"""A thread that wants more of a core than this is near its end: requests queue in the client."""

EASY_CPU = 0.6
"""Of each core, how much clients may use so that requests do not queue in them."""

QUANTILES = {"p50": 50, "p99": 99}


@dataclasses.dataclass(frozen=True)
class Own:
    """The client's own part of one quantile, in ms.

    Args:
        quantile: ``p50`` or ``p99``.
        whole_ms: Of the latencies as they were measured.
        without_ms: Of the latencies without each one's own part.
    """

    quantile: str
    whole_ms: float
    without_ms: float

    @property
    def own_ms(self) -> float:
        """What the client added."""
        return self.whole_ms - self.without_ms

    @property
    def share(self) -> float:
        """The same as a share of the whole."""
        return self.own_ms / self.whole_ms if self.whole_ms > 0 else 0.0

    def too_much(self, got: float | None) -> bool:
        """Whether the quantile says more of the client than it may.

        Args:
            got: Share of the CPU that the client wanted which it got; None if that is not known.
        """
        if self.quantile == "p99":
            return self.share > OWN_SHARE and self.own_ms > OWN_TAIL_MS
        starved = got is not None and got < LEAST_GOT
        return self.share > (OWN_SHARE_WITHOUT_CPU if starved else OWN_SHARE)


def own_parts(latencies_ms: np.ndarray, own_ms: np.ndarray) -> list[Own]:
    """Return the client's own part of each quantile; empty where it is not known.

    Args:
        latencies_ms: Float64, shape (n,); ``inf`` for failed requests, which are left out.
        own_ms: Of each, how much was the client's own; NaN where that is not known.
    """
    known = np.isfinite(latencies_ms) & np.isfinite(own_ms)
    whole = latencies_ms[known]
    if not whole.size:
        return []
    without = whole - np.clip(own_ms[known], 0.0, whole)
    return [
        Own(name, float(np.percentile(whole, at)), float(np.percentile(without, at)))
        for name, at in QUANTILES.items()
    ]


def why_void(
    latencies_ms: np.ndarray,
    own_ms: np.ndarray,
    lag_ms: np.ndarray,
    uses: Sequence[ClientUse],
) -> str | None:
    """Return why a measurement says nothing of the server; None if it does.

    Args:
        latencies_ms: See `own_parts`.
        own_ms: See `own_parts`.
        lag_ms: How much later than meant each was sent, shape (n,); zeros without a schedule.
        uses: What each thread of the client used, one a worker.
    """
    got = _least_got(uses)
    for own in own_parts(latencies_ms, own_ms):
        if own.too_much(got):
            return (
                f"the client was starved of CPU or stood still: {own.own_ms:.1f} of "
                f"{own.whole_ms:.1f} ms of {own.quantile} were its own{_got(uses)}"
            )
    lag = float(np.percentile(lag_ms, 99)) if len(lag_ms) else 0.0
    if lag > MAX_LAG_MS:
        return (
            f"the client fell behind its schedule: p99 of the send lag was {lag:.1f} ms, "
            f"more than {MAX_LAG_MS:g} ms{_got(uses)}"
        )
    busiest = max((use.cpu / use.seconds for use in uses if use.seconds > 0), default=0.0)
    if busiest > MAX_CPU:
        cores = math.ceil(sum(_share(use, use.cpu) for use in uses) / EASY_CPU)
        return (
            f"the client used {busiest:.2f} of a core, more than {MAX_CPU:g}; this load takes "
            f"{cores} cores for clients alone"
        )
    return None


def evidence(
    latencies_ms: np.ndarray, own_ms: np.ndarray, uses: Sequence[ClientUse]
) -> dict[str, Any]:
    """Return the client's figures for a report."""
    figures: dict[str, Any] = {
        f"client_share_of_{own.quantile}": round(own.share, 3)
        for own in own_parts(latencies_ms, own_ms)
    }
    figures["client_cpu_cores"] = round(sum(_share(use, use.cpu) for use in uses), 3)
    waited = [use.waited for use in uses if use.waited is not None]
    if waited:
        figures["client_waited_for_cpu_s"] = round(sum(waited), 4)
    got = _least_got(uses)
    if got is not None:
        figures["client_cpu_got_of_wanted"] = round(got, 3)
    throttled = [use.throttled for use in uses if use.throttled is not None]
    if throttled:
        figures["client_throttled_s"] = round(max(throttled), 4)
    pressed = [use for use in uses if use.pressure is not None]
    if pressed:
        worst = max(pressed, key=lambda use: _share(use, use.pressure or 0.0))
        figures[f"cpu_pressure_of_{worst.pressure_of}"] = round(
            _share(worst, worst.pressure or 0), 3
        )
    return figures


def _got(uses: Sequence[ClientUse]) -> str:
    got = _least_got(uses)
    return "" if got is None else f"; it got {got:.0%} of the CPU that it wanted"


def _least_got(uses: Sequence[ClientUse]) -> float | None:
    known = [use.got for use in uses if use.got is not None]
    return min(known, default=None)


def _share(use: ClientUse, part: float) -> float:
    return part / use.seconds if use.seconds > 0 else 0.0
