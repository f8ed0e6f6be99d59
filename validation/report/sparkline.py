"""A gate from run to run, as a drawing of a line of text's height; small enough for every gate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.across.trends import Series
from validation.report.drawing import PALETTE
from validation.report.svg import cleaned
from validation.verdicts.verdict import Outcome

_WIDTH, _HEIGHT, _EDGE = 240, 48, 6


def drawn(one: Series, slug: str) -> str:
    """Return the SVG of a series: its figures, the rule if it is near, and where levels begin.

    A dot is a pass, a cross is none; a run without a figure stands at the foot.

    Args:
        one: The series.
        slug: Unique within the page.
    """
    across = np.linspace(_EDGE, _WIDTH - _EDGE, len(one.points))
    threshold = one.last.rule.threshold
    near = [threshold] if _is_near(threshold, one.figures) else []
    heights = _heights([*(point.figure for point in one.points), *near])
    parts = [
        _line(_EDGE, at, _WIDTH - _EDGE, at, "rule", dashes="2 3")
        for at in heights[len(one.points) :]
    ]
    changed = {point.run for point in one.changes()}
    for x, point in zip(across, one.points, strict=True):
        if point.run in changed:
            parts.append(_line(x, 0, x, _HEIGHT, "second", dashes="6 3"))
    parts.append(_curve(across, [p.figure is not None for p in one.points], heights))
    for x, y, point in zip(across, heights, one.points, strict=False):
        passed = point.outcome is Outcome.PASS
        parts.append(_dot(x, y) if passed else _cross(x, y))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' width="{_WIDTH}" height="{_HEIGHT}">{"".join(parts)}</svg>'
    )
    said = ". ".join([one.said(), *one.changes_said()])
    return cleaned(svg, slug, f"{one.title} from run to run", said)


def _is_near(threshold: float, figures: Sequence[float]) -> bool:
    """Return whether a rule can be drawn without making all figures one flat line."""
    if not figures:
        return False
    low, high = min(figures) / 2, max(figures) / 2
    room = (high - low) or abs(high) / 10
    return low - room <= threshold / 2 <= high + room


def _heights(figures: Sequence[float | None]) -> list[float]:
    """Return where figures stand, the largest on top; what is none stands at the foot."""
    known = [figure for figure in figures if figure is not None] or [0.0]
    # Halves: a span from one end of what a float can hold to the other is no float.
    low, span = min(known) / 2, max(known) / 2 - min(known) / 2
    foot, room = _HEIGHT - _EDGE, _HEIGHT - 2 * _EDGE
    return [
        foot if figure is None else foot - room * ((figure / 2 - low) / span if span else 0.5)
        for figure in figures
    ]


def _curve(across: np.ndarray, known: Sequence[bool], heights: Sequence[float]) -> str:
    """Return a line through the figures, broken where a run has none."""
    steps, drawing = [], False
    for x, y, there in zip(across, heights, known, strict=False):
        if there:
            steps.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
        drawing = there
    return f'<path d="{"".join(steps)}" fill="none" stroke="{PALETTE["first"]}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashes: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{PALETTE[colour]}" stroke-dasharray="{dashes}"/>'


def _dot(x: float, y: float) -> str:
    corner = f"M{x - 2.5:.1f} {y:.1f}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0"
    return f'<path d="{corner}" fill="{PALETTE["first"]}"/>'


def _cross(x: float, y: float) -> str:
    strokes = f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"
    return f'<path d="{strokes}" fill="none" stroke="{PALETTE["rule"]}" stroke-width="2"/>'
