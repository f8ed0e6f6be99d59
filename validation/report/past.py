"""What a page says of a gate's earlier runs: a sentence, a drawing where it moved, and each run.

It stands beside a verdict and never changes one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from validation.across.earlier import Earlier
from validation.across.trends import FEWEST, Point, Series, identity
from validation.report import sparkline, wording
from validation.report.results import Results
from validation.verdicts.verdict import Outcome, Verdict


@dataclasses.dataclass(frozen=True)
class Past:
    """One gate's earlier runs, ready to stand in a page.

    Args:
        said: The series in a sentence.
        changes: Where a new level begins, a sentence each.
        svg: The drawing, safe to stand in HTML; empty where nothing moved.
        rows: Each run: when, figure, outcome, and the rule where it was another; empty likewise.
    """

    said: str
    changes: Sequence[str]
    svg: Markup
    rows: Sequence[tuple[str, str, Outcome, str]]


def pasts(results: Results, earlier: Earlier) -> Callable[[Verdict], Past | None]:
    """Return what tells a gate's past; a gate that no earlier run judged has none."""
    series = earlier.series(results)
    numbers = itertools.count(1)

    def of(gate: Verdict) -> Past | None:
        one = series.get(identity(gate))
        if one is None:
            return None
        svg = sparkline.drawn(one, f"trend-{next(numbers)}") if one.moved else ""
        rows = [_row(point, one) for point in one.points] if one.moved else []
        return Past(one.said(), one.changes_said(), Markup(svg), rows)  # noqa: S704  (cleaned)

    return of


def _row(point: Point, one: Series) -> tuple[str, str, Outcome, str]:
    now = wording.rule_text(one.last.rule)
    figure = wording.observed(one.last.model_copy(update={"observed": point.observed}))
    return when(point.started), figure, point.outcome, "" if point.rule == now else point.rule


def when(moment: datetime) -> str:
    """Return a time to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def overview(results: Results, earlier: Earlier) -> dict[str, Any] | None:
    """Return what the page says of all earlier runs together; nothing where there are none."""
    if not earlier.runs and not earlier.left_out:
        return None
    series = list(earlier.series(results).values())
    changed = [(one, said) for one in series for said in one.changes_said()]
    return {
        "runs": [(when(one.started), one.run, one.verdict) for one in earlier.runs],
        "changed": [(one.last, one.title, said) for one, said in changed],
        "still": sum(not one.moved for one in series),
        "gates": len(series),
        "too_few": FEWEST if len(earlier.runs) + 1 < FEWEST else 0,
        "others": earlier.others,
        "left_out": earlier.left_out,
    }
