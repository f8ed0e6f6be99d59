"""One trial: searches at one rate, and whether every rule that speaks of them held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from validation.load import starvation
from validation.load.plans.found import Found
from validation.load.samples import Samples, limits
from validation.load.slo.search import Held, Trial
from validation.verdicts.intervals import estimate
from validation.verdicts.verdict import Observation, Rule

LATENCY, ERRORS, RECALL = "search.latency.open_loop", "search.errors", "ann_overlap@10"
METRICS = (LATENCY, ERRORS, RECALL)

QUEUE_GROWS = 0.05
"""Of what arrives, the share that is left over when a queue counts as growing.

A rule for p99 alone does not see it in seconds: at 1.2 times what the server can do, four seconds
leave a queue of 0.7 s, which a rule of a second lets through, and an hour would leave ten minutes.
"""
_FEWEST_LEFT = 5


def rules_for(rules: Sequence[Rule], target: str, labels: Mapping[str, str]) -> list[Rule]:
    """Return the rules that a trial has to keep, by metric; those of one fixed rate are others'.

    Args:
        rules: In force.
        target: Name of the target.
        labels: Of the searches, without their rate.
    """
    return [
        rule
        for rule in rules
        if rule.metric in METRICS
        and rule.applies_to(
            Observation(metric=rule.metric, target=target, labels=dict(labels), unit=rule.unit)
        )
    ]


def judged(rate: float, samples: Samples, found: Found, rules: Sequence[Rule]) -> Trial:
    """Return what a measurement says of a rate.

    A single trial is judged by its figures, not by their intervals: how sure the rate is follows
    from the rounds.

    Args:
        rate: What was offered, in searches a second.
        samples: The measurement.
        found: What its answers were. Latencies are those of searches, errors of all requests. Each
            kind of search has to keep a rule for recall by itself: among many others, a few that
            find nothing would not show.
        rules: See `rules_for`.
    """
    latencies = samples.latencies_ms
    # What the client added is not the server's: a rule that breaks without it is broken.
    own = np.where(np.isfinite(samples.own_ms), samples.own_ms, 0.0)
    without = latencies - np.clip(own, 0.0, np.where(np.isfinite(latencies), latencies, 0.0))
    broken = found.wrong or _broken(rules, without[found.searched], samples.failed, found.overlap)
    broken = broken or queue_grows(samples)
    figures = _figures(samples, found)
    if broken:
        said = "".join(f"; {count} times {why}" for why, count in [*samples.errors.items()][:1])
        dead = bool(samples.failed.all())
        why = "; ".join(filter(None, (f"{broken}{said}", limits(samples.limited))))
        return Trial(rate, Held.NO, why, figures, dead)
    void = samples.void
    if void:
        return Trial(rate, Held.OPEN, void, figures)
    late = _broken(rules, latencies[found.searched], samples.failed, found.overlap)
    if late:
        return Trial(rate, Held.OPEN, f"only with the client's own part: {late}", figures)
    return Trial(rate, Held.YES, "", figures)


def queue_grows(samples: Samples) -> str:
    """Return that more searches are left unanswered all the time; empty if they are not.

    Of the second half of the time, as many searches must have been answered as came, but for
    `QUEUE_GROWS` of them.
    """
    finite = np.isfinite(samples.latencies_ms)
    due = samples.offsets_s
    if not due.size:
        return ""
    done = np.where(finite, due + samples.latencies_ms / 1000, np.inf)
    end = float(due.max())
    half, quarter = (end + float(due.min())) / 2, (end - float(due.min())) / 4
    early = _under_way(due, done, half - quarter, half)
    late = _under_way(due, done, end - quarter, end)
    came = int(np.sum((due > half) & (due <= end)))
    # Where more come, more are under way, with no queue: in proportion to what comes.
    before = int(np.sum((due > half - quarter) & (due <= half)))
    after = int(np.sum((due > end - quarter) & (due <= end)))
    left = late - early * max(1.0, after / max(1, before))
    # The two windows lie half of the time apart, so that a queue gains between them what it gains
    # in half of the time.
    if left > max(QUEUE_GROWS * came, _FEWEST_LEFT):
        return f"the queue grows: {late:.0f} under way at the end, {early:.0f} before"
    return ""


def _under_way(due: np.ndarray, done: np.ndarray, begin: float, end: float) -> float:
    """Return how many were under way at a time, on average over a window."""
    moments = np.linspace(begin, end, 21)
    return float(np.mean([np.sum((due <= at) & (done > at)) for at in moments]))


def _broken(
    rules: Sequence[Rule],
    latencies: np.ndarray,
    failed: np.ndarray,
    overlap: Mapping[str, np.ndarray],
) -> str:
    """Return the first rule that did not hold, with its figure; empty if all did."""
    whole = {LATENCY: ("", latencies), ERRORS: ("", failed)}
    held = [
        (rule, *one)
        for rule in rules
        for one in (overlap.items() if rule.metric == RECALL else [whole[rule.metric]])
    ]
    for rule, kind, values in held:
        of = f" of {kind}" if len(overlap) > 1 and kind else ""
        if not values.size:
            return f"{rule.gate}{of}: nothing was answered"
        try:
            value = estimate(rule.statistic, values).value
        except ValueError as error:  # a mean of latencies where a search failed
            return f"{rule.gate}{of}: {error}"
        if (rule.min is not None and value < rule.min) or (
            rule.max is not None and value > rule.max
        ):
            sign = "<" if rule.min is not None else ">"
            return f"{rule.gate}{of}: {rule.statistic} {value:.4g} {sign} {rule.threshold:g}"
    return ""


def _figures(samples: Samples, found: Found) -> dict[str, Any]:
    latencies = samples.latencies_ms[found.searched]
    figures: dict[str, Any] = {
        name: round(float(estimate(name, latencies).value), 3)
        for name in ("p50", "p99")
        if latencies.size
    }
    for own in starvation.own_parts(samples.latencies_ms, samples.own_ms):
        figures[f"client_share_of_{own.quantile}"] = round(own.share, 3)
    figures["failed"] = int(samples.failed.sum())
    shares = np.concatenate([*found.overlap.values()]) if found.overlap else np.empty(0)
    figures["recall"] = round(float(shares.mean()), 4) if shares.size else None
    figures["kinds"] = found.figures
    return {**figures, **({"rate_limited": samples.limited} if samples.limited else {})}
