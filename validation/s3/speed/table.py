"""The table of speeds that a user sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

from validation.s3.speed.figures import Figure, Speed

_SHOWN = ("p50", "p99", "p99.9")
"""Percentiles in the table; the profile has them all."""
HEADS = (
    *("", "size", "at once", "requests", "bodies"),
    *(f"{name} ms" for name in _SHOWN),
    *("first byte p50 ms", ""),
)


def rows(speeds: Sequence[Speed]) -> list[tuple[str, ...]]:
    """Return the table's lines: of each sweep the single request, the knee and what is void."""
    return [
        (
            speed.operation,
            _bytes(speed.size),
            f"{speed.concurrency}" + (f" x{speed.endpoints}" if speed.endpoints > 1 else ""),
            f"{speed.requests_per_second:,.0f}/s",
            f"{speed.bytes_per_second / 1e6:,.0f} MB/s" if speed.bytes_per_second else "",
            *(_cell(speed, name) for name in _SHOWN),
            _interval(speed.first_byte_ms["p50"]) if "p50" in speed.first_byte_ms else "",
            _notes(speed),
        )
        for speed in speeds
        if speed.concurrency == 1 or speed.knee or " " in speed.operation or speed.void
    ]


def legend(speeds: Sequence[Speed]) -> list[str]:
    """Return what a reader has to know: whose sizes these are, and which tails lack."""
    sizes = {speed.size: speed.size_of for speed in speeds if speed.size_of}
    lines = [f"{_bytes(size)}: the median {whose}" for size, whose in sorted(sizes.items())]
    if any(name in speed.too_few for speed in speeds for name in _SHOWN):
        lines.append("n < N: so few requests, in their time and bytes, have no such percentile")
    sampled = sum(speed.sampled for speed in speeds)
    if sampled:
        lines.append(f"{sampled} bodies were compared with what was written, byte for byte")
    if any(speed.void for speed in speeds):
        lines.append("void: says nothing of the store; busy clients measure themselves")
    return lines


def _bytes(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def _cell(speed: Speed, name: str) -> str:
    if name in speed.too_few:
        return f"n < {speed.too_few[name]:,}"
    return _interval(speed.total_ms[name])


def _interval(figure: Figure) -> str:
    value, low, high = (_ms(end) for end in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def _ms(value: float) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004  (three digits)


def _notes(speed: Speed) -> str:
    parts = []
    if speed.knee:
        parts = [f"no knee seen: {speed.cut}" if speed.cut else "knee"]
    parts += [f"{number} x {code}" for code, number in speed.errors.items()]
    parts += [f"{speed.retries} retried"] if speed.retries else []
    parts += [f"void: {speed.void}"] if speed.void else []
    return ", ".join(parts)
