"""Drawing: rows of plain figures in, a chart as inline SVG out.

Altair and vl-convert draw without a browser and without a network. The colours are a light page's;
the page's style sheet maps each of them to one of a dark page, so they have to come from `PALETTE`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from validation.report.svg import cleaned

PALETTE = {
    "ink": "#1f2933",
    "muted": "#52606d",
    "grid": "#d9dee4",
    "rule": "#b42318",
    "first": "#1d5fa8",
    "second": "#a85b00",
    "third": "#2f7d4f",
    "fourth": "#7a4bb0",
}
"""Every colour of a chart; ``templates/style.css`` knows each of them."""

_SERIES = [PALETTE[name] for name in ("first", "second", "third", "fourth")]
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
_WIDTH = 480
_LONGEST_NAME = 32


@dataclasses.dataclass(frozen=True)
class Chart:
    """One chart, ready to stand in a page.

    Args:
        slug: Unique within the page; ids in the SVG start with it.
        title: What it shows.
        description: The same in words, with the figures.
        svg: The drawing, safe to stand in HTML as it is.
        note: What a reader has to know to read it rightly.
    """

    slug: str
    title: str
    description: str
    svg: str
    note: str = ""


def nines(share: float) -> float:
    """Return where a percentile stands: p90 at 1, p99 at 2, p99.9 at 3; tails get room."""
    return -math.log10(1 - share)


def latency_curves(points: list[dict[str, Any]], rules: list[dict[str, Any]]) -> Any:
    """Return curves of latency over percentile, each series in a colour and a dash of its own.

    Args:
        points: ``series``, ``x`` as of `nines`, and ``ms``, which is positive and finite.
        rules: ``x``, ``ms`` and ``label`` of each threshold.
    """
    import altair as alt  # noqa: PLC0415  (half a second, only when charts are drawn)

    series = list(dict.fromkeys(point["series"] for point in points))
    end = max([2.3, *(point["x"] for point in points), *(rule["x"] + 0.2 for rule in rules)])
    x = alt.X("x:Q", title="percentile of searches", scale=alt.Scale(domain=[0, end])).axis(
        values=[nines(share) for share in (0.5, 0.9, 0.99, 0.999, 0.9999) if nines(share) <= end],
        labelExpr="'p' + format(100 * (1 - pow(10, -datum.value)), '.6~g')",
        labelOverlap=False,
    )
    levels = [row["ms"] for row in (*points, *rules)]
    span = alt.Scale(type="log", domain=[min(levels) / 1.3, max(levels) * 1.3], nice=False)
    y = alt.Y("ms:Q", title="latency in ms (log scale)", scale=span).axis(
        values=[step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)],
        format="~g",
    )
    colours = {"domain": series, "range": [_SERIES[at % len(_SERIES)] for at in range(len(series))]}
    dashes = {"domain": series, "range": [_DASHES[at % len(_DASHES)] for at in range(len(series))]}
    curve = (
        alt.Chart(alt.Data(values=points))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=x,
            y=y,
            color=alt.Color("series:N", title=None, scale=alt.Scale(**colours)),
            strokeDash=alt.StrokeDash("series:N", title=None, scale=alt.Scale(**dashes)),
        )
    )
    if not rules:
        return curve.properties(width=_WIDTH, height=230)
    spans = [{**rule, "from": max(0.0, rule["x"] - 0.25), "to": rule["x"] + 0.2} for rule in rules]
    base = alt.Chart(alt.Data(values=spans))
    bars = base.mark_rule(color=PALETTE["rule"], strokeWidth=3).encode(
        x="from:Q", x2="to:Q", y="ms:Q"
    )
    # A label stands beside its bar, on the side where there is room for it.
    colour = PALETTE["rule"]
    left = base.transform_filter(f"datum.x < {end / 2}").mark_text(color=colour, align="left", dx=5)
    right = base.transform_filter(f"datum.x >= {end / 2}").mark_text(
        color=colour, align="right", dx=-5
    )
    return alt.layer(
        curve,
        bars,
        left.encode(x="to:Q", y="ms:Q", text="label:N"),
        right.encode(x="from:Q", y="ms:Q", text="label:N"),
    ).properties(width=_WIDTH, height=230)


def trials(points: list[dict[str, Any]], limits: list[dict[str, Any]]) -> Any:
    """Return latency over the offered rate, a point a trial, and the limits of a rule.

    Args:
        points: ``rate`` and ``ms``, positive and finite, and ``held`` in words.
        limits: ``rate`` and ``label`` of each upright line.
    """
    import altair as alt  # noqa: PLC0415  (half a second, only when charts are drawn)

    outcomes = list(dict.fromkeys(point["held"] for point in points))
    colours = {"domain": outcomes, "range": _SERIES[: len(outcomes)]}
    shapes = {"domain": outcomes, "range": ["circle", "cross", "triangle-up"][: len(outcomes)]}
    log = alt.Scale(type="log", nice=False)
    dots = (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=55, opacity=0.8)
        .encode(
            x=alt.X("rate:Q", title="offered searches/s (log scale)", scale=log).axis(format="~g"),
            y=alt.Y("ms:Q", title="p99 in ms (log scale)", scale=log).axis(format="~g"),
            color=alt.Color("held:N", title=None, scale=alt.Scale(**colours)),
            shape=alt.Shape("held:N", title=None, scale=alt.Scale(**shapes)),
        )
    )
    base = alt.Chart(alt.Data(values=limits))
    lines = base.mark_rule(color=PALETTE["rule"], strokeWidth=2).encode(x="rate:Q")
    return alt.layer(dots, lines).properties(width=_WIDTH, height=230)


def over_time(points: list[dict[str, Any]], phases: list[dict[str, Any]]) -> Any:
    """Return latency over time, and below it a stretch for each phase of what went on beside.

    Args:
        points: ``at`` in seconds, ``ms``, positive and finite, and ``series``.
        phases: ``name``, ``begin`` and ``end`` in seconds.
    """
    import altair as alt  # noqa: PLC0415  (half a second, only when charts are drawn)

    series = list(dict.fromkeys(point["series"] for point in points))
    colours = {"domain": series, "range": _SERIES[: len(series)]}
    end = max([point["at"] for point in points] + [phase["end"] for phase in phases])
    x = alt.Scale(domain=[0, end], nice=False)
    dots = (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=18, opacity=0.7)
        .encode(
            x=alt.X("at:Q", title="seconds since the start", scale=x).axis(tickCount=6),
            y=alt.Y("ms:Q", title="ms (log scale)", scale=alt.Scale(type="log")).axis(format="~g"),
            color=alt.Color("series:N", title=None, scale=alt.Scale(**colours)),
        )
        .properties(width=_WIDTH, height=200)
    )
    if not phases:
        return dots
    beside = list(dict.fromkeys(phase["name"] for phase in phases))
    bars = (
        alt.Chart(alt.Data(values=phases))
        .mark_bar(color=PALETTE["muted"], height=10)
        .encode(
            x=alt.X("begin:Q", title=None, scale=x).axis(tickCount=6),
            x2="end:Q",
            y=alt.Y("name:N", sort=None, title=None).axis(**_name_axis(beside)),
        )
        .properties(width=_WIDTH, height=alt.Step(16))
    )
    return alt.vconcat(dots, bars, spacing=8)


def intervals(rows: list[dict[str, Any]]) -> Any:
    """Return a row for each figure in [0, 1]: a point, its interval, and the rule's threshold.

    Args:
        rows: ``name``, ``value``, ``low``, ``high``, and ``threshold`` if there is one.
    """
    import altair as alt  # noqa: PLC0415  (half a second, only when charts are drawn)

    lowest = min(min(row["low"], row.get("threshold", 1.0)) for row in rows)
    start = max(0.0, math.floor((lowest - 0.02) * 20) / 20)
    base = alt.Chart(alt.Data(values=rows))
    y = alt.Y("name:N", sort=None, title=None).axis(**_name_axis([row["name"] for row in rows]))
    x = alt.X("low:Q", scale=alt.Scale(domain=[start, 1.0]), title="mean with its interval").axis(
        tickCount=5, format=".3~f"
    )
    bars = base.mark_rule(color=PALETTE["first"], strokeWidth=2).encode(x=x, x2="high:Q", y=y)
    dots = base.mark_point(color=PALETTE["first"], filled=True, size=60, opacity=1).encode(
        x="value:Q", y=y
    )
    layers = [bars, dots]
    if any("threshold" in row for row in rows):
        ruled = alt.Chart(alt.Data(values=[row for row in rows if "threshold" in row]))
        layers.append(
            ruled.mark_tick(color=PALETTE["rule"], thickness=3, height=17).encode(
                x="threshold:Q", y=y
            )
        )
    return alt.layer(*layers).properties(width=_WIDTH, height=alt.Step(28))


def time_bars(rows: list[dict[str, Any]]) -> Any:
    """Return a bar for each stretch of time, so that what overlaps is seen to overlap.

    Args:
        rows: ``name``, ``start`` and ``end`` in seconds, and ``figure``.
    """
    import altair as alt  # noqa: PLC0415  (half a second, only when charts are drawn)

    end = max((row["end"] for row in rows), default=1.0)
    base = alt.Chart(alt.Data(values=rows))
    x = alt.X(
        "start:Q", title="seconds since the start", scale=alt.Scale(domain=[0, end * 1.25])
    ).axis(tickCount=5)
    y = alt.Y("name:N", sort=None, title=None).axis(**_name_axis([row["name"] for row in rows]))
    bars = base.mark_bar(color=PALETTE["first"], height=14, minBandSize=2).encode(
        x=x, x2="end:Q", y=y
    )
    text = base.mark_text(color=PALETTE["ink"], align="left", dx=4).encode(
        x="end:Q", y=y, text="figure:N"
    )
    return alt.layer(bars, text).properties(width=_WIDTH, height=alt.Step(24))


def _name_axis(names: list[str]) -> dict[str, Any]:
    """Return settings for an axis of names: room for a reader's font, wider than the renderer's."""
    return {"minExtent": 8 * max(map(len, names)), "labelLimit": 0}


def names(wanted: Iterable[str]) -> list[str]:
    """Return names for the rows of one chart: not too long, and no two alike."""
    found: list[str] = []
    for name in map(_short, wanted):
        twins = sum(other == name or other.startswith(f"{name} (") for other in found)
        found.append(f"{name} ({twins + 1})" if name in found else name)
    return found


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def trend(rows: list[dict[str, Any]], marks: list[dict[str, Any]], unit: str) -> Any:
    """Return a figure from run to run; upright lines are where a new level begins.

    Args:
        rows: ``run``, which counts from one, and ``figure``.
        marks: ``run`` of each change.
        unit: The figures' unit.
    """
    import altair as alt  # noqa: PLC0415

    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("run:Q", title="run, oldest first", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("figure:Q", title=unit, scale=alt.Scale(zero=False)),
    )
    line = base.mark_line(color=PALETTE["first"])
    points = base.mark_circle(color=PALETTE["first"], size=45, opacity=1)
    changes = (
        alt.Chart(alt.Data(values=marks))
        .mark_rule(color=PALETTE["second"], strokeWidth=2, strokeDash=[6, 3])
        .encode(x="run:Q")
    )
    return alt.layer(line, points, changes).properties(width=_WIDTH, height=150)


def finished(slug: str, title: str, said: list[str], spec: Any) -> Chart:
    """Return the chart, rendered and cleaned."""
    import vl_convert  # noqa: PLC0415  (loads a JavaScript engine, only when charts are drawn)

    axis = {
        "labelColor": PALETTE["ink"],
        "titleColor": PALETTE["muted"],
        "titleFontWeight": "normal",
        "gridColor": PALETTE["grid"],
        "domainColor": PALETTE["muted"],
        "tickColor": PALETTE["muted"],
        "labelFontSize": 13,
        "titleFontSize": 12,
    }
    configured = spec.configure(
        font="sans-serif",
        background="transparent",
        # The labels take from the plot, not from the page: all charts are equally wide.
        autosize={"type": "fit-x", "contains": "padding"},
        axis=axis,
        view={"stroke": None},
        text={"fontSize": 13},
        legend={
            "orient": "top",
            "labelColor": PALETTE["ink"],
            "labelFontSize": 12,
            "symbolSize": 300,
        },
    )
    svg = vl_convert.vegalite_to_svg(configured.to_dict())
    description = "; ".join(said)
    return Chart(slug, title, description, cleaned(svg, slug, title, description))
