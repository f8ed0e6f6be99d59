"""What came of a collection, as a verdict, as a table and as data."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from validation.errors import ExitCode
from validation.recall.comparing import Point
from validation.recall.measure import Measured
from validation.report.wording import line
from validation.verdicts.intervals import estimate

SCHEMA = "milvus-kit/recall/1"
_SHOWN = 10
_WORDS = {
    ExitCode.PASS: "PASS",
    ExitCode.FAIL: "FAIL",
    ExitCode.INCONCLUSIVE: "INCONCLUSIVE",
}


def verdict(measured: Measured) -> ExitCode:
    """Return whether the parameters given hold the recall that is wanted.

    Their whole interval has to be on the good side, and nothing else may be wrong with their
    answers: a hit that the filter excludes, or with a score of another row, is no neighbour found.
    Without a wanted recall there is nothing else to fail; what could not be measured never passes.
    """
    if measured.not_measured or not measured.points or measured.points[0].recall is None:
        return ExitCode.INCONCLUSIVE
    want, found = measured.plan.want, measured.points[0].recall
    if measured.points[0].wrong:
        return ExitCode.FAIL
    if want is None or found.low >= want:
        return ExitCode.PASS
    return ExitCode.FAIL if found.high < want else ExitCode.INCONCLUSIVE


def cheapest(measured: Measured) -> Point | None:
    """Return the first parameters, from cheap to dear, that hold the wanted recall for sure.

    Those under which answers are wrong in another way hold nothing.
    """
    want = measured.plan.want
    if want is None or measured.not_measured:
        return None
    # The first point is what was given; it takes part if the sweep does not come past it.
    return next(
        (
            one
            for one in _from_cheap_to_dear(measured)
            if one.recall and one.recall.low >= want and not one.wrong
        ),
        None,
    )


def _from_cheap_to_dear(measured: Measured) -> list[Point]:
    first, *swept = measured.points
    if not swept:
        return [first]
    moved = [name for name in swept[0].params if swept[0].params[name] != first.params.get(name)]
    values = {name: first.params[name] for name in moved if name in first.params}
    if not values or any(isinstance(one.params[moved[0]], str) for one in measured.points):
        return swept  # what the server does by itself, or a word, has no place among them
    return sorted(measured.points, key=lambda one: [float(one.params[name]) for name in moved])


def document(measured: Measured) -> dict[str, Any]:
    """Return it as data."""
    subject, plan = measured.subject, measured.plan
    best = cheapest(measured)
    return {
        "schema": SCHEMA,
        "server": {
            "uri": subject.connection.endpoint.name,
            "version": subject.connection.server_version,
        },
        "collection": {
            "name": subject.name,
            "field": subject.vector,
            "dim": subject.dim,
            "metric": subject.metric,
            "index": subject.index,
            "build": dict(subject.build),
            "rows_counted": measured.counted[1],
            "rows_read": measured.read,
        },
        "asked": {
            "queries": measured.queries,
            "source": plan.queries.name if not isinstance(plan.queries, int) else "rows",
            "seed": plan.seed,
            "k": plan.k,
            "filter": plan.condition,
            "output_fields": list(plan.fields),
            "want": plan.want,
        },
        "not_measured": measured.not_measured,
        "verdict": verdict(measured).name.lower(),
        "cheapest": best.params if best else None,
        "notes": list(measured.notes),
        "points": [] if measured.not_measured else [_point(one) for one in measured.points],
    }


def _point(point: Point) -> dict[str, Any]:
    found = point.recall
    return {
        "params": point.params,
        "refused": point.refused,
        "recall": None
        if found is None
        else {"mean": found.value, "low": found.low, "high": found.high, "n": found.n},
        "wrong": point.wrong,
        "missed": [
            {"query": one.query, "id": one.key, "rank": one.rank, "distance": one.distance}
            for one in point.missed
        ],
    }


def show(measured: Measured, console: Console) -> None:
    """Print it for a reader."""
    subject, plan = measured.subject, measured.plan
    build = ", ".join(f"{name} {value}" for name, value in subject.build.items())
    facts = [
        f"{measured.counted[1]:,} rows" + (f" where {plan.condition}" if plan.condition else ""),
        f"{subject.vector} of {subject.dim} dimensions",
        subject.metric,
        subject.index + (f" ({build})" if build else ""),
    ]
    said = f"Collection {subject.name} on {subject.connection.endpoint.name}: {', '.join(facts)}"
    console.print(Text(line(said)), soft_wrap=True)
    if measured.not_measured:
        console.print(
            Text(f"not measured: {measured.not_measured}", style="yellow"), soft_wrap=True
        )
        return
    of_rows = isinstance(plan.queries, int)
    console.print(
        Text(
            f"{measured.queries} "
            + ("rows asked with, each without itself" if of_rows else "queries from the file")
            + f", held against all {measured.read:,} rows; k {plan.k}"
        )
    )
    console.print(_table(measured))
    for note in measured.notes:
        console.print(Text(f"note: {note}"))
    _show_want(measured, console)
    _show_missed(measured.points[0], console)


def _table(measured: Measured) -> Table:
    table = Table(
        "parameters",
        f"recall@{measured.plan.k}",
        "95 % interval",
        "answers otherwise wrong",
        box=SIMPLE_HEAD,
    )
    for at, one in enumerate(measured.points):
        given = " (given)" if at == 0 else ""
        found = one.recall
        wrong = ", ".join(f"{kind} {count:,}" for kind, count in one.wrong.items())
        if found is None:
            said = one.refused or "no query has a neighbour"
            table.add_row(Text(_shown(one) + given), "not measured", "", Text(line(said)))
        else:
            interval = f"{found.low:.3f} to {found.high:.3f}"
            table.add_row(
                Text(_shown(one) + given), f"{found.value:.4f}", interval, wrong or "none"
            )
    return table


def _shown(point: Point) -> str:
    return (
        ", ".join(f"{name}={value}" for name, value in point.params.items()) or "the server's own"
    )


def _show_want(measured: Measured, console: Console) -> None:
    want = measured.plan.want
    if measured.points[0].wrong:
        console.print(
            Text(f"{_shown(measured.points[0])}: FAIL, its answers are wrong", style="red")
        )
    if want is None:
        return
    best = cheapest(measured)
    console.print(Text(f"{_shown(measured.points[0])}: {_WORDS[verdict(measured)]} of {want:g}"))
    if best is not None and best.recall is not None:
        console.print(
            Text(f"cheapest that holds {want:g}: {_shown(best)} (at least {best.recall.low:.3f})")
        )
        return
    said = f"none of these holds {want:g} for sure"
    most = _provable(measured.queries)
    if most < want:
        said += f": {measured.queries} queries prove {most:.3f} at most; ask more with --queries"
    console.print(Text(said, style="yellow"))


def _provable(queries: int) -> float:
    """Return the lower end of the interval if every neighbour of so many queries is found."""
    return estimate("proportion", np.ones(queries)).low


def _show_missed(point: Point, console: Console) -> None:
    if not point.missed:
        return
    queries = len({one.query for one in point.missed})
    console.print(
        Text(
            f"with {_shown(point)}, {len(point.missed):,} neighbours of {queries:,} queries missed:"
        )
    )
    for one in point.missed[:_SHOWN]:
        console.print(
            Text(line(f"  query {one.query}: {one.key}, neighbour {one.rank}, {one.distance:.6g}"))
        )
    if len(point.missed) > _SHOWN:
        console.print(Text(f"  … {len(point.missed) - _SHOWN:,} more: --output json lists all"))
