"""Rules that decide nothing: nobody can meet them, or nobody can miss them.

They are refused when a rules file is read. A saved run keeps the rules that it was judged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from validation.verdicts.catalogue import CATALOGUE, PERCENTILES, Metric
from validation.verdicts.verdict import Rule

_TIMES = frozenset({"ms", "s"})
_NEVER_SURE = frozenset({"proportion", "mean"})
"""Their intervals reach beyond the figure, also where all samples are alike."""


def senseless(rule: Rule) -> str:
    """Return why a rule decides nothing; empty if it does. A site's own metrics have no limits."""
    metric = CATALOGUE.get(rule.metric)
    if metric is None:
        return ""
    shown = f"{'min' if rule.min is not None else 'max'} {rule.threshold:g} {rule.unit}"
    if _nobody_meets(rule, metric):
        return f"nobody can meet {shown}: {rule.metric} {_span(metric)}{_why_not_at_the_end(rule)}"
    if _nobody_misses(rule, metric):
        return f"nobody can miss {shown}: {rule.metric} {_span(metric)}"
    return ""


def _nobody_meets(rule: Rule, metric: Metric) -> bool:
    best = metric.highest if rule.min is not None else 0.0
    beyond = rule.threshold > best if rule.min is not None else rule.threshold < best
    at_the_end = rule.threshold == best
    return beyond or (at_the_end and (rule.statistic in _NEVER_SURE or metric.unit in _TIMES))


def _nobody_misses(rule: Rule, metric: Metric) -> bool:
    if rule.min is not None:
        return rule.threshold <= 0
    return rule.threshold >= metric.highest


def _span(metric: Metric) -> str:
    if metric.highest < float("inf"):
        return f"lies between 0 and {metric.highest:g}"
    return "is more than 0" if metric.unit in _TIMES else "is 0 or more"


def _why_not_at_the_end(rule: Rule) -> str:
    if rule.statistic not in _NEVER_SURE or rule.unit in _TIMES:
        return ""
    return f", and the interval of a {rule.statistic} never ends at its best value"


def implied(rules: Sequence[Rule]) -> list[str]:
    """Return what is wrong between rules: a percentile that a higher one's limit keeps anyway.

    A median of at most 100 ms says nothing beside a p99 of at most 50 ms of the same searches.
    """
    return [
        f"rules.{one.gate}: nobody can miss {one.statistic} ≤ {one.threshold:g} {one.unit} without"
        f" missing {other.gate}: {other.statistic} ≤ {other.threshold:g} {other.unit}"
        for one, other in permutations(rules, 2)
        if _is_implied(one, other)
    ]


def _is_implied(one: Rule, other: Rule) -> bool:
    order = (*PERCENTILES, "max")
    if one.max is None or other.max is None or one.metric != other.metric:
        return False
    if one.statistic not in order or other.statistic not in order:
        return False
    lower = order.index(one.statistic) < order.index(other.statistic)
    covered = other.where.items() <= one.where.items() and other.server in (None, one.server)
    weighs = other.required or not one.required
    return lower and covered and weighs and one.max > other.max
