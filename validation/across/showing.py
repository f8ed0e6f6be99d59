"""Trends on a terminal and as a page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from validation.across.trends import FEWEST, Series
from validation.report import drawing
from validation.report.html import rendered
from validation.report.terminal import print_item

CAUTION = (
    "No verdict: runs differ in more than what was measured. A change point says that figures"
    " before and since differ by more than they scatter, and not why."
)


def print_trends(
    found: Sequence[Series], runs: int, console: Console, *, verbose: bool = False
) -> None:
    """Print series by profile, in a line or two; those that always passed alike only if wanted."""
    for group, inside in _groups(found):
        console.print(Text(group, style="bold"))
        for one in inside if verbose else _shown(inside):
            print_item(console, Text("  "), f"{one.title}: {one.said()}")
            for said in one.changes_said():
                print_item(console, Text("    -> "), said)
        console.print(Text(f"  {_still(inside)}"))
        console.print()
    console.print(Text(f"{_count(runs)}. {CAUTION}{_too_few(runs)}"))


def page(found: Sequence[Series], runs: int, left_out: Sequence[str] = ()) -> str:
    """Return the page of all series; what moved is drawn, and named what could not be read."""
    return rendered(
        "history.html",
        groups=[
            (group, _still(inside), inside, [(one, _chart(one)) for one in _shown(inside)])
            for group, inside in _groups(found)
        ],
        runs=_count(runs),
        left_out=left_out,
        caution=CAUTION + _too_few(runs),
    )


def _groups(found: Sequence[Series]) -> list[tuple[str, list[Series]]]:
    names = dict.fromkeys(one.group for one in found)
    return [(name, [one for one in found if one.group == name]) for name in names]


def _still(inside: Sequence[Series]) -> str:
    still = [one for one in inside if not one.moved]
    without = sum(one.open for one in still)
    but = f", {without} of them without a pass" if without else ""
    return f"{len(still)} of {len(inside)} gates came to the same in every run{but}"


def _count(runs: int) -> str:
    return f"{runs} run{'' if runs == 1 else 's'}"


def _too_few(runs: int) -> str:
    return "" if runs >= FEWEST else f" They are looked for in {FEWEST} runs or more."


def _shown(inside: Sequence[Series]) -> list[Series]:
    return [one for one in inside if one.moved or one.open]


def _chart(one: Series) -> Markup:
    """Return the figures of a series as a drawing; nothing where there are none to compare."""
    if len(one.figures) < 2:  # noqa: PLR2004  (a line has two ends)
        return Markup()
    rows = [{"run": at, "figure": figure} for at, figure in enumerate(one.figures, 1)]
    runs = [point.run for point in one.measured]
    marks = [{"run": runs.index(point.run) + 1} for point in one.changes()]
    said = [one.said(), *one.changes_said()]
    slug = f"trend-{hashlib.sha256(f'{one.group} {one.title}'.encode()).hexdigest()[:12]}"
    drawn = drawing.trend(rows, marks, one.last.rule.unit)
    return Markup(drawing.finished(slug, one.title, said, drawn).svg)  # noqa: S704
