"""Charts of a sustained rate: latency against the offered rate, and over time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from validation.report import drawing, wording
from validation.report.store import read_samples
from validation.verdicts.intervals import estimate
from validation.verdicts.verdict import Observation

METRIC = "load.sustained_rate"


def draw(measured: Sequence[Observation], folder: Path) -> list[drawing.Chart]:
    """Return the charts of each search of a sustained rate."""
    mine = [seen for seen in measured if seen.metric == METRIC]
    return [
        chart
        for number, seen in enumerate(mine)
        for chart in [*_trials(number, seen, folder), *_over_time(number, seen)]
    ]


def _trials(number: int, seen: Observation, folder: Path) -> Iterator[drawing.Chart]:
    """Yield p99 of every trial over its rate; the interval of the rate is where the curve bends."""
    points = [
        {"rate": one["rate"], "ms": float(one["p99"]), "held": str(one["held"])}
        for one in seen.evidence.get("trials") or ()
        if _drawable(one.get("p99"))
    ]
    if not points:
        return
    found = estimate("p50", read_samples(folder, seen))
    limits = [{"rate": rate} for rate in sorted({found.low, found.high}) if rate > 0]
    said = [f"{point['rate']:g}/s: p99 {point['ms']:g} ms, {point['held']}" for point in points]
    chart = drawing.finished(
        f"trials-{number}",
        f"Latency against the offered rate: {', '.join(wording.label_values(seen))}",
        said,
        drawing.trials(points, limits),
    )
    note = "A point a trial. Upright lines: the interval of the sustained rate."
    yield dataclasses.replace(chart, note=note)


def _over_time(number: int, seen: Observation) -> Iterator[drawing.Chart]:
    """Yield p50 and p99 over the time of the whole search, with what went on beside it."""
    points = [
        {"at": one["at"], "ms": float(one[name]), "series": name}
        for one in seen.evidence.get("over_time") or ()
        for name in ("p50", "p99")
        if _drawable(one[name])
    ]
    if not points:
        return
    phases: list[dict[str, Any]] = list(seen.evidence.get("phases_beside") or ())
    worst = max(points, key=lambda point: point["ms"])
    said = [f"{len(points) // 2} stretches of half a second"]
    said.append(f"the worst {worst['series']} is {worst['ms']:g} ms, after {worst['at']:g} s")
    said += [
        f"{one['name']} from {one['begin']:g} to {one['end']:g} s" for one in phases[:_MOST_SAID]
    ]
    chart = drawing.finished(
        f"over-time-{number}",
        f"Latency over time: {', '.join(wording.label_values(seen))}",
        said,
        drawing.over_time(points, phases),
    )
    note = "Each half second of each trial; rates differ from trial to trial."
    if phases:
        note += " Stretches below: what went on beside the searches."
    yield dataclasses.replace(chart, note=note)


_MOST_SAID = 12


def _drawable(value: Any) -> bool:
    return 0 < float(value or 0) < math.inf  # a saved run spells infinity out
