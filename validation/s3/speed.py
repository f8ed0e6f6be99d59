"""The performance part of a profile: which points are measured, and what is kept of each."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median_high
from typing import Any

from pydantic import BaseModel, ConfigDict

from validation.s3.performance import BODY, OPERATIONS, Meter, Plan, Point, knee
from validation.s3.workspace import Workspace

_KINDS = ("insert_log", "delta_log", "stats_log", "index_files", "wp")
_LISTED = 20_000


class Figure(BaseModel):
    """A percentile in ms with its interval; ``inf`` where requests failed or n is too small."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    value: float
    low: float
    high: float


class Speed(BaseModel):
    """One measured point as the profile keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    operation: str
    size: int
    concurrency: int
    endpoints: int
    n: int
    requests_per_second: float
    bytes_per_second: float
    total_ms: dict[str, Figure]
    first_byte_ms_p50: float
    errors: dict[str, int]
    retries: int
    cpu_share: float
    void: str
    knee: bool = False
    samples: str = ""


def summarised(point: Point, *, at_knee: bool = False, samples: str = "") -> Speed:
    """Return what is kept of a point."""
    figures = {
        name: Figure(value=found.value, low=found.low, high=found.high)
        for name, found in point.percentiles().items()
    }
    return Speed(
        operation=point.operation,
        size=point.size,
        concurrency=point.concurrency,
        endpoints=point.endpoints,
        n=len(point.total_ms),
        requests_per_second=round(point.requests_per_second, 2),
        bytes_per_second=round(point.bytes_per_second),
        total_ms=figures,
        first_byte_ms_p50=median_high(point.first_byte_ms.tolist()),
        errors=point.errors,
        retries=point.retries,
        cpu_share=round(point.cpu_share, 3),
        void=point.void,
        knee=at_knee,
        samples=samples,
    )


def measured(
    space: Workspace,
    plan: Plan,
    *,
    endpoints: Sequence[str] = (),
    folder: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Speed]:
    """Measure every operation, each to its knee.

    Args:
        space: Where objects are written.
        plan: Sizes, levels and limits; sizes found in Milvus's own objects are added.
        endpoints: Further endpoints of the same store: GET is measured again with two, four, eight
            and so on, and with all of them.
        folder: Raw samples go here, one CSV a point.
        tell: Shows what is measured now.
    """
    sizes = sorted({*plan.sizes, *written_by_milvus(space).values()})
    meter, kept = Meter(space), []
    for operation in OPERATIONS:
        for size in sizes if operation in BODY else (0,):
            tell(f"{operation} of {size:,} bytes")
            points = list(meter.sweep(operation, size, plan))
            kept += _kept(points, folder)
    middle = sizes[len(sizes) // 2]
    tell(f"first and repeated GET of {middle:,} bytes")
    kept += [summarised(point) for point in meter.first_and_again(middle, 4, plan)]
    for count in _growing(1 + len(endpoints)):
        tell(f"GET of {middle:,} bytes over {count} endpoints")
        meter = Meter(space, endpoints[: count - 1])
        kept += _kept(list(meter.sweep("GET", middle, plan)), folder)
    return kept


def _growing(most: int) -> list[int]:
    """Return with how many endpoints to measure: each doubling, and all; one is measured anyway."""
    doublings = {2**power for power in range(1, most.bit_length())}
    return sorted(count for count in doublings | {most} if 1 < count <= most)


def _kept(points: Sequence[Point], folder: Path | None) -> list[Speed]:
    if not points:
        return []
    best = knee(points)
    return [
        summarised(point, at_knee=point is best, samples=_saved(point, folder)) for point in points
    ]


def _saved(point: Point, folder: Path | None) -> str:
    """Write a point's raw samples and return the file's name; empty if none are kept."""
    if folder is None:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{point.operation}-{point.size}-{point.concurrency}x{point.endpoints}.csv".lower()
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("total_ms", "first_byte_ms"))
        writer.writerows(zip(point.total_ms, point.first_byte_ms, strict=True))
    return name


def written_by_milvus(space: Workspace) -> dict[str, int]:
    """Return the median size of each kind of object that Milvus has below the root path.

    Reads one listing and nothing else; a fresh bucket yields nothing.
    """
    root = space.storage.root_path.strip("/")
    sizes: dict[str, list[int]] = defaultdict(list)
    pages = space.s3.get_paginator("list_objects_v2").paginate(
        Bucket=space.bucket,
        Prefix=f"{root}/" if root else "",
        PaginationConfig={"MaxItems": _LISTED},
    )
    for entry in (entry for page in pages for entry in page.get("Contents", ())):
        kind = entry["Key"].removeprefix(f"{root}/").split("/")[0]
        if kind in _KINDS and entry["Size"]:
            sizes[kind].append(entry["Size"])
    return {kind: int(median_high(found)) for kind, found in sizes.items()}


SHOWN = ("p50", "p99")
"""Percentiles in the table; the profile has them all."""


def rows(speeds: Sequence[Speed]) -> list[tuple[str, ...]]:
    """Return the table a user sees: of each sweep the single request and the knee."""
    return [
        (
            speed.operation,
            _bytes(speed.size) if speed.size else "",
            f"{speed.concurrency}" + (f" x{speed.endpoints}" if speed.endpoints > 1 else ""),
            f"{speed.requests_per_second:,.0f}/s",
            f"{speed.bytes_per_second / 1e6:,.0f} MB/s" if speed.size else "",
            *(_interval(speed.total_ms[name]) for name in SHOWN),
            _notes(speed),
        )
        for speed in speeds
        if speed.concurrency == 1 or speed.knee or " " in speed.operation or speed.void
    ]


def _bytes(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def _interval(figure: Figure) -> str:
    value, low, high = (_ms(end) for end in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def _ms(value: float) -> str:
    if not math.isfinite(value):
        return "?"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004  (three digits)


def _notes(speed: Speed) -> str:
    parts: list[Any] = ["knee"] if speed.knee else []
    parts += [f"{number} x {code}" for code, number in speed.errors.items()]
    parts += [f"{speed.retries} retried"] if speed.retries else []
    parts += [f"void: {speed.void}"] if speed.void else []
    return ", ".join(parts)
