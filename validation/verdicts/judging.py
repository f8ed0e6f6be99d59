"""Judging: a pure function of samples and a rule.

Nothing here measures, reads a file or a clock, so a saved run can be judged again with other rules
and gives the same verdicts for the same ones.

How a verdict comes about, in this order:

1. no observation, no sample, or a reason why nothing could be measured: **not measured**;
2. the measurement was cut short, or its client was the bottleneck: **inconclusive**;
3. the whole interval on the good side of the threshold: **pass**; on the bad side: **fail**;
4. the interval straddles the threshold: **inconclusive**.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from validation.verdicts.catalogue import CATALOGUE, span_of
from validation.verdicts.intervals import Estimate, estimate, samples_needed
from validation.verdicts.verdict import Observation, Outcome, Rule, Verdict

BEHIND = "behind_it"
"""Evidence under this name says what is behind a figure; it is the reason of a gate that fails."""


def judge(rule: Rule, observation: Observation, samples: Sequence[float] | np.ndarray) -> Verdict:
    """Judge one observation by one rule.

    Args:
        rule: The rule; it must apply to the observation.
        observation: What was measured.
        samples: Its raw samples, in the observation's unit, shape (n,). ``inf`` stands for a
            request that failed; NaN is no sample and makes the gate not measured.

    Returns:
        The verdict. It is never a pass without at least one sample.
    """
    if rule.if_declared and observation.undeclared:
        rule = rule.model_copy(update={"required": False})
    values = np.asarray(samples, dtype=np.float64).ravel()
    refusal = _why_not_judged(rule, observation, values)
    if refusal:
        return _verdict(rule, observation, Outcome.NOT_MEASURED, reason=refusal)
    try:
        found = estimate(
            rule.statistic, values, confidence=rule.confidence, span=span_of(rule.metric)
        )
    except ValueError as error:
        return _verdict(rule, observation, Outcome.NOT_MEASURED, reason=str(error))
    if observation.void:
        return _verdict(rule, observation, Outcome.INCONCLUSIVE, found, reason=observation.void)
    outcome, reason = _compare(rule, found), ""
    if outcome is Outcome.INCONCLUSIVE:
        reason = _why_open(rule, found)
    elif outcome is Outcome.FAIL:
        reason = str(observation.evidence.get(BEHIND, ""))
    return _verdict(rule, observation, outcome, found, reason=reason)


def judge_all(
    rules: Iterable[Rule],
    observed: Iterable[tuple[Observation, np.ndarray]],
    *,
    unobserved_reason: str = "no check observed it in this run",
) -> list[Verdict]:
    """Judge every rule: one verdict for each observation it applies to, and one if there is none.

    Args:
        rules: The rules, in the order in which their verdicts are wanted.
        observed: Observations with their samples.
        unobserved_reason: Said of a rule that nothing was measured for.
    """
    pairs = list(observed)
    verdicts: list[Verdict] = []
    for rule in rules:
        matching = [(seen, samples) for seen, samples in pairs if rule.applies_to(seen)]
        verdicts += [judge(rule, seen, samples) for seen, samples in matching]
        if not matching:
            in_force, reason = _of_no_observation(rule, pairs, unobserved_reason)
            nothing = Observation(
                metric=rule.metric,
                target=rule.where.get("target", ""),
                labels={key: value for key, value in rule.where.items() if key != "target"},
                unit=rule.unit,
                not_measured=reason,
            )
            verdicts.append(judge(in_force, nothing, []))
    return verdicts


def _of_no_observation(
    rule: Rule, pairs: list[tuple[Observation, np.ndarray]], reason: str
) -> tuple[Rule, str]:
    """Return how a rule counts that applies to nothing, and why it does not apply."""
    if pairs and all(rule.is_for_another(seen) for seen, _ in pairs):
        # It promises nothing of these servers, so that the verdict on them does not wait for it.
        advisory = rule.model_copy(update={"required": False})
        return advisory, f"the rule is for {rule.server}, which no target of this run is"
    return rule, reason + _what_there_was(rule, pairs)


def _what_there_was(rule: Rule, pairs: list[tuple[Observation, np.ndarray]]) -> str:
    """Return which labels the rule's metric was observed with: a label may be misspelt."""
    others = sorted(
        {f"{seen.target}: {seen.title}" for seen, _ in pairs if seen.metric == rule.metric}
    )
    if not others:
        return ""
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(rule.where.items()))
    return f"; the rule wants {wanted}, observed were {', '.join(others)}"


def overall(verdicts: Iterable[Verdict]) -> Outcome:
    """Return the run's verdict.

    Fail if a required gate failed; else inconclusive if a required gate is inconclusive or was not
    measured, or if there is no required gate at all; else pass.
    """
    required = [verdict.outcome for verdict in verdicts if verdict.required]
    if Outcome.FAIL in required:
        return Outcome.FAIL
    if required and all(outcome is Outcome.PASS for outcome in required):
        return Outcome.PASS
    return Outcome.INCONCLUSIVE


def _why_not_judged(rule: Rule, observation: Observation, values: np.ndarray) -> str:
    if observation.not_measured:
        return observation.not_measured
    if values.size == 0:
        return f"no sample: {observation.void}" if observation.void else "no sample"
    if values.size != observation.n:
        return f"{observation.n} samples were recorded and {values.size} are there"
    if np.isnan(values).any():
        return f"{int(np.isnan(values).sum())} of {values.size} samples are not numbers"
    if observation.unit != rule.unit:
        return f"observed in {observation.unit}, the rule is in {rule.unit}"
    return _impossible(rule, values)


def _impossible(rule: Rule, values: np.ndarray) -> str:
    """Return why samples cannot be true: they would pass a rule that nothing real could pass."""
    too_good = math.inf if rule.min is not None else -math.inf
    if (values == too_good).any():
        return f"{int((values == too_good).sum())} of {values.size} samples are {too_good:g}"
    known = CATALOGUE.get(rule.metric)
    if known and (values.min() < 0 or values.max() > known.highest):
        span = f"0 to {known.highest:g}" if known.highest < math.inf else "0 or more"
        return f"samples of {values.min():g} to {values.max():g}; {rule.metric} can only be {span}"
    return ""


def _why_open(rule: Rule, found: Estimate) -> str:
    needed = samples_needed(rule.statistic, confidence=rule.confidence)
    if found.n < needed:
        return f"{found.n} samples are too few to bound {rule.statistic}: it takes {needed}"
    return "the interval straddles the rule"


def _compare(rule: Rule, found: Estimate) -> Outcome:
    if rule.min is not None:
        good, bad = found.low >= rule.min, found.high < rule.min
    else:
        good, bad = found.high <= rule.threshold, found.low > rule.threshold
    if good:
        return Outcome.PASS
    return Outcome.FAIL if bad else Outcome.INCONCLUSIVE


def _verdict(
    rule: Rule,
    observation: Observation,
    outcome: Outcome,
    found: Estimate | None = None,
    *,
    reason: str = "",
) -> Verdict:
    figures = {}
    if found is not None:
        figures = {
            "observed": found.value,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "method": found.method,
        }
    return Verdict(
        gate=rule.gate,
        rule=rule,
        outcome=outcome,
        target=observation.target,
        labels=observation.labels,
        reason=reason,
        remedy=_remedy(rule, observation, outcome),
        samples_file=observation.samples_file,
        check=observation.check,
        **figures,
    )


def _remedy(rule: Rule, observation: Observation, outcome: Outcome) -> str:
    """Return what to do next: what mends a failure does not help where nothing was measured."""
    known = CATALOGUE.get(rule.metric)
    if outcome is Outcome.FAIL:
        return known.remedy if known else "read the check that observed it, and its samples"
    if outcome is Outcome.NOT_MEASURED:
        return "remove the cause, choose a profile that measures it, or make the rule advisory"
    if outcome is Outcome.INCONCLUSIVE and observation.void:
        return "remove the cause and measure again"
    if outcome is Outcome.INCONCLUSIVE:
        return "measure with more samples (a larger profile)"
    return ""
