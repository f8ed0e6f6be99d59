"""Charts of a run: latency by percentile, figures with intervals, phases.

What is drawn is decided here, from results and raw samples; how it looks is in `drawing`. Every
chart says in words what it shows, with the figures, for readers who do not see it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validation.report import drawing, load_charts, wording
from validation.report.results import Results
from validation.report.store import read_samples
from validation.verdicts.catalogue import CATALOGUE
from validation.verdicts.intervals import estimate
from validation.verdicts.verdict import Observation, Verdict

_MOST_POINTS = 240
_LATENCIES = {"search.latency.serial": "serial", "search.latency.open_loop": "open loop"}
_INTERVALS = (
    ("recall", "Recall per index", "ann_overlap@10"),
    ("filtered", "Recall by selectivity of the filter", "filtered_ann_overlap@10"),
    ("ndcg", "Ranking: nDCG@10", "ndcg@10"),
    ("mrr", "Ranking: MRR@10", "mrr@10"),
    ("qrels", "Judged-relevant passages found: recall@10", "qrels_recall@10"),
)


def draw_all(results: Results, folder: Path) -> list[drawing.Chart]:
    """Return the charts that a run has samples for, in the order of the page.

    Args:
        results: The run.
        folder: Its folder, for the raw samples.

    Raises:
        ConfigurationError: Raw samples that the results name cannot be read.
    """
    measured = [seen for seen in results.observations if seen.n]
    charts: list[drawing.Chart | None] = []
    charts += _latency_charts(measured, results.gates, folder)
    charts += load_charts.draw(measured, folder)
    for slug, title, metric in _INTERVALS:
        chosen = [seen for seen in measured if seen.metric == metric]
        charts.append(_interval_chart(slug, title, chosen, results.gates, folder))
    charts.append(_phase_chart(results))
    return [chart for chart in charts if chart]


def _latency_charts(
    measured: Sequence[Observation], gates: Sequence[Verdict], folder: Path
) -> list[drawing.Chart]:
    """Return a chart for each target: serial and open loop together, with their rules."""
    chosen = [seen for seen in measured if seen.metric in _LATENCIES]
    charts = []
    for target in dict.fromkeys(seen.target for seen in chosen):
        points: list[dict[str, Any]] = []
        said: list[str] = []
        notes: list[str] = []
        mine = [seen for seen in chosen if seen.target == target]
        titles = [
            ", ".join([_LATENCIES[seen.metric], *wording.label_values(seen)]) for seen in mine
        ]
        for name, seen in zip(drawing.names(titles), mine, strict=True):
            samples = read_samples(folder, seen)
            points += [{"series": name, **point} for point in _percentile_points(samples)]
            said.append(f"{name}: {_latency_said(samples)}")
            notes += [f"{name}: {note}." for note in _latency_notes(seen, samples)]
        rules = _latency_rules([gate for gate in gates if gate.target == target])
        said += [f"rule: {rule['label']}" for rule in rules]
        if points:
            chart = drawing.finished(
                f"latency-{len(charts)}",
                f"Latency of searches at {wording.line(target)}",
                said,
                drawing.latency_curves(points, rules),
            )
            charts.append(dataclasses.replace(chart, note=" ".join(notes)))
    return charts


def _latency_rules(gates: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the thresholds that can be drawn: those of percentiles, once each."""
    rules = [
        {
            "x": drawing.nines(float(gate.rule.statistic[1:]) / 100),
            "ms": gate.rule.threshold,
            "label": f"{_LATENCIES[gate.rule.metric]} {wording.rule_text(gate.rule)}",
        }
        for gate in gates
        if gate.rule.metric in _LATENCIES
        and re.fullmatch(r"p[\d.]+", gate.rule.statistic)
        and gate.rule.threshold > 0
    ]
    return list({rule["label"]: rule for rule in rules}.values())


def _latency_notes(seen: Observation, samples: np.ndarray) -> list[str]:
    """Return what a reader of the curve has to know."""
    notes = []
    lost, strange = int(np.isinf(samples).sum()), int(np.isnan(samples).sum())
    if lost:
        notes.append(f"{lost:,} of {samples.size:,} searches had no answer, the curve ends there")
    if strange:
        notes.append(f"{strange:,} of {samples.size:,} samples are not numbers and are left out")
    if seen.void:
        notes.append(f"not judged: {wording.line(seen.void)}")
    return notes


def _percentile_points(samples: np.ndarray) -> list[dict[str, float]]:
    """Return points of the percentile curve; it ends where searches had no answer."""
    ordered = np.sort(samples[~np.isnan(samples)])
    if not ordered.size:
        return []
    at = -np.log10(1 - (np.arange(ordered.size) + 0.5) / ordered.size)
    wanted = np.linspace(0, at[-1], _MOST_POINTS)
    ranks = np.unique(np.searchsorted(at, wanted).clip(0, ordered.size - 1))
    return [
        {"x": round(float(at[rank]), 4), "ms": float(f"{ordered[rank]:.6g}")}
        for rank in ranks
        if 0 < ordered[rank] < math.inf
    ]


def _latency_said(samples: np.ndarray) -> str:
    known = samples[~np.isnan(samples)]
    if not known.size:
        return "nothing to show"
    return ", ".join(
        f"{name} {wording.quantity(estimate(name, known).value, 'ms')}"
        for name in ("p50", "p95", "p99")
    )


def _interval_chart(
    slug: str,
    title: str,
    chosen: Sequence[Observation],
    gates: Sequence[Verdict],
    folder: Path,
) -> drawing.Chart | None:
    """Return figures with their intervals, one row each, and the rule where there is one."""
    several_targets = len({seen.target for seen in chosen}) > 1
    rows = []
    for seen in chosen:
        row = _interval_row(seen, gates, folder)
        if row is None:
            continue
        parts = (wording.label_values(seen) or [seen.metric]) + [seen.target] * several_targets
        sign = f"{row['sign']} " if row["sign"] else ""
        rows.append({**row, "name": sign + wording.line(", ".join(parts))})
    if not rows:
        return None
    for row, name in zip(rows, drawing.names(row["name"] for row in rows), strict=True):
        row["name"] = f"{name}: {row['figure']}"
    chart = drawing.finished(slug, title, [_row_said(row) for row in rows], drawing.intervals(rows))
    ticks = any("threshold" in row for row in rows)
    note = "Point and line: the mean and its interval." + " Upright bar: the rule." * ticks
    return dataclasses.replace(chart, note=note)


def _row_said(row: dict[str, Any]) -> str:
    ends = f"[{wording.number(row['low'])}, {wording.number(row['high'])}]"
    rule = f", rule ≥ {wording.number(row['threshold'])}" if "threshold" in row else ""
    return f"{row['name']} {ends}{rule}"


def _interval_row(
    seen: Observation, gates: Sequence[Verdict], folder: Path
) -> dict[str, Any] | None:
    """Return an observation's figure: its gate's if it has one, else the metric's usual one.

    There is none for samples that no gate could judge, such as shares above 1.
    """
    mine = [
        gate
        for gate in gates
        if (gate.rule.metric, gate.target, gate.labels) == (seen.metric, seen.target, seen.labels)
    ]
    mine.sort(key=lambda gate: not gate.required)
    if mine:
        gate = mine[0]
        if gate.observed is None or gate.low is None or gate.high is None:
            return None
        row: dict[str, Any] = {"value": gate.observed, "low": gate.low, "high": gate.high}
        row |= {"threshold": gate.rule.threshold, "sign": wording.SIGNS[gate.outcome]}
    else:
        try:
            metric = CATALOGUE[seen.metric]
            samples = read_samples(folder, seen)
            found = estimate(metric.statistics[0], samples, span=metric.span)
        except ValueError:
            return None
        row = {"value": found.value, "low": found.low, "high": found.high, "sign": ""}
    # An unbounded end of a ratio is drawn to the end of what a ratio can be.
    row["low"], row["high"] = max(0.0, row["low"]), min(1.0, row["high"])
    return {**row, "figure": wording.number(row["value"])}


def _phase_chart(results: Results) -> drawing.Chart | None:
    """Return when each phase ran and for how long; what overlaps is seen to overlap."""
    rows = [
        {
            "name": wording.line(f"{phase.name} ({phase.target})" if phase.target else phase.name),
            "start": max(0.0, (phase.started - results.started).total_seconds()),
            "seconds": phase.seconds,
            "figure": wording.duration(phase.seconds),
        }
        for phase in sorted(results.phases, key=lambda phase: phase.started)
        if math.isfinite(phase.seconds)
    ]
    if not rows:
        return None
    for row, name in zip(rows, drawing.names(row["name"] for row in rows), strict=True):
        row |= {"name": name, "end": row["start"] + row["seconds"]}
    said = [f"{row['name']}: {row['figure']}" for row in rows]
    return drawing.finished("phases", "Phases of the run", said, drawing.time_bars(rows))
