"""The performance part of a profile: which points are measured, and what is kept of each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from validation.s3.speed.milvus_sizes import sizes_of
from validation.s3.speed.performance import OPERATIONS, Meter, Plan
from validation.s3.speed.points import BODY, PERCENTILES, Point
from validation.s3.workspace import Workspace
from validation.verdicts.intervals import Estimate, samples_needed

_AGED_CONCURRENCY = 4


class Figure(BaseModel):
    """A percentile in ms with its interval; ``inf`` where requests failed."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    value: float
    low: float
    high: float


class Speed(BaseModel):
    """One measured point as the profile keeps it.

    ``too_few`` names the percentiles that so few requests cannot have, with how many they need.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    operation: str
    size: int
    size_of: str = ""
    concurrency: int
    endpoints: int
    objects: int
    n: int
    requests_per_second: float
    bytes_per_second: float
    total_ms: dict[str, Figure]
    first_byte_ms: dict[str, Figure]
    too_few: dict[str, int]
    errors: dict[str, int]
    retries: int
    sampled: int = 0
    loop_share: float
    cpu_share: float
    host_share: float
    void: str
    knee: bool = False
    cut: str = ""
    samples: str = ""


def summarised(
    point: Point,
    *,
    size_of: str = "",
    at_knee: bool = False,
    cut: str = "",
    folder: Path | None = None,
) -> Speed:
    """Return what is kept of a point, and keep its raw samples.

    Args:
        point: What was measured.
        size_of: Which of Milvus's objects have this size.
        at_knee: It is the knee of its sweep, or the best of it.
        cut: Why more concurrency might bring more.
        folder: Where raw samples go.
    """
    n = len(point.total_ms)
    return Speed(
        operation=point.operation,
        size=point.size,
        size_of=size_of,
        concurrency=point.concurrency,
        endpoints=point.endpoints,
        objects=point.objects,
        n=n,
        requests_per_second=round(point.requests_per_second, 2),
        bytes_per_second=round(point.bytes_per_second),
        total_ms=_figures(point.totals()),
        first_byte_ms=_figures(point.first_bytes()),
        too_few={p: samples_needed(p) for p in PERCENTILES if n < samples_needed(p)},
        errors=point.errors,
        retries=point.retries,
        sampled=point.sampled,
        loop_share=round(point.load.loop, 3),
        cpu_share=round(point.load.process, 3),
        host_share=round(point.load.host, 3),
        void=point.void,
        knee=at_knee,
        cut=cut if at_knee else "",
        samples=_saved(point, folder),
    )


def _figures(found: Mapping[str, Estimate]) -> dict[str, Figure]:
    return {
        name: Figure(value=one.value, low=one.low, high=one.high) for name, one in found.items()
    }


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
        plan: Sizes, levels and limits; the sizes of Milvus's own objects are added.
        endpoints: Further endpoints of the same store: GET is measured again with two, four, eight
            and so on, and with all of them.
        folder: Raw samples go here, one CSV a point.
        tell: Shows what is measured now.
    """
    milvus, meter = sizes_of(space), Meter(space)
    kept: list[Speed] = []
    tell(f"sizes of Milvus's objects: those of {milvus.source}")
    sizes = sorted({*plan.sizes, *milvus.by_kind.values()})

    def sweep(meter: Meter, operation: str, size: int) -> None:
        found, size_of = meter.sweep(operation, size, plan), milvus.kinds(size)
        for point in found.points:
            best = point is found.knee
            kept.append(
                summarised(point, size_of=size_of, at_knee=best, cut=found.cut, folder=folder)
            )

    middle = sizes[len(sizes) // 2]
    number = max(_AGED_CONCURRENCY, min(plan.requests, plan.memory // 2 // max(middle, 1)))
    aged = meter.written(middle, number)  # now, so that much is written before they are read
    for operation in OPERATIONS:
        for size in sizes if operation in BODY else (milvus.middle,):
            tell(f"{operation} of {size:,} bytes")
            sweep(meter, operation, size)
    tell(f"first and repeated GET of {middle:,} bytes")
    kept += [
        summarised(point, size_of=milvus.kinds(middle), folder=folder)
        for point in meter.first_and_again(aged, middle, _AGED_CONCURRENCY, plan)
    ]
    for count in _growing(1 + len(endpoints)):
        tell(f"GET of {middle:,} bytes over {count} endpoints")
        sweep(Meter(space, endpoints[: count - 1]), "GET", middle)
    return kept


def missing(speeds: Sequence[Speed]) -> str:
    """Return which operations have no point that says anything, and why; empty if all have one."""
    groups: dict[tuple[str, int, int], list[Speed]] = {}
    for speed in speeds:
        groups.setdefault((speed.operation, speed.size, speed.endpoints), []).append(speed)
    void = [group[0] for group in groups.values() if all(speed.void for speed in group)]
    if not void:
        return ""
    first = void[0]
    others = f", and {len(void) - 1} more" if len(void) > 1 else ""
    return f"{first.operation} of {first.size:,} bytes{others}: {first.void}"


def _growing(most: int) -> list[int]:
    """Return with how many endpoints to measure: each doubling, and all; one is measured anyway."""
    doublings = {2**power for power in range(1, most.bit_length())}
    return sorted(count for count in doublings | {most} if 1 < count <= most)


def _saved(point: Point, folder: Path | None) -> str:
    """Write a point's raw samples and return the file's name; empty if none are kept."""
    if folder is None:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{point.operation}-{point.size}-{point.concurrency}x{point.endpoints}.csv"
    name = name.lower().replace(" ", "-")
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("total_ms", "first_byte_ms"))
        writer.writerows(zip(point.total_ms, point.first_byte_ms, strict=True))
    return name
