"""Rule, observation, verdict: judgement as a pure function of samples and a rule.

A measurement yields an `Observation` (raw samples and what they are of); a `Rule` says what is
good enough; `judge` compares the two. Nothing here measures, reads a file or a clock, so a saved
run can be judged again with other rules and gives the same verdicts for the same ones.

How a verdict comes about, in this order:

1. no observation, no sample, or a reason why nothing could be measured: **not measured**;
2. the measurement was cut short, or its client was the bottleneck: **inconclusive**;
3. the whole interval on the good side of the threshold: **pass**; on the bad side: **fail**;
4. the interval straddles the threshold: **inconclusive**.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from validation.metrics import CATALOGUE, SITE_PREFIX
from validation.statistics.intervals import STATISTICS, Estimate, estimate, samples_needed


class Outcome(StrEnum):
    """The four verdicts."""

    PASS = "pass"  # noqa: S105  (a verdict, not a password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not measured"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


def _no_truth_value(value: Any) -> Any:
    """Refuse ``max: yes``, which would otherwise be a threshold of 1."""
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not a truth value")  # noqa: TRY004  (for pydantic)
    return value


_Number = Annotated[float, BeforeValidator(_no_truth_value)]


class Rule(_Record):
    """What is good enough, for one metric under given labels.

    Args:
        gate: The rule's own name, unique in its file.
        metric: A name from the catalogue, or one starting with ``site.``.
        where: Labels an observation must carry to be judged by this rule.
        statistic: How samples become one figure; the metric's default if left out.
        min: Threshold for metrics where higher is better.
        max: Threshold for metrics where lower is better.
        unit: The threshold's unit; it must be the metric's.
        required: Whether the overall verdict depends on it; otherwise it is advisory.
        confidence: Of the interval, in (0, 1).
    """

    gate: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.@/+-]*$")]
    metric: str
    where: dict[str, str] = {}
    statistic: str = ""
    min: _Number | None = None
    max: _Number | None = None
    unit: str
    required: bool = True
    confidence: Annotated[_Number, Field(gt=0.5, lt=1)] = 0.95

    @model_validator(mode="before")
    @classmethod
    def _default_statistic(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("statistic") in (None, ""):
            metric = data.get("metric")
            known = CATALOGUE.get(metric) if isinstance(metric, str) else None
            data = {**data, "statistic": known.statistics[0] if known else "value"}
        return data

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError("give exactly one of min and max")
        if not math.isfinite(self.threshold):
            raise ValueError(f"the threshold must be a finite number, not {self.threshold}")
        if self.statistic not in STATISTICS:
            raise ValueError(
                f"unknown statistic {self.statistic!r}; known: {', '.join(STATISTICS)}"
            )
        if self.metric.startswith(SITE_PREFIX):
            return self
        metric = CATALOGUE.get(self.metric)
        if metric is None:
            raise ValueError(
                f"unknown metric {self.metric!r}; known: {', '.join(sorted(CATALOGUE))}"
            )
        if self.unit != metric.unit:
            raise ValueError(
                f"unit {self.unit!r} is not the unit of {self.metric}: {metric.unit!r}"
            )
        if self.statistic not in metric.statistics:
            raise ValueError(
                f"statistic {self.statistic!r} says nothing of {self.metric}; "
                f"use one of {', '.join(metric.statistics)}"
            )
        if (self.min is not None) != (metric.better == "higher"):
            wanted = "min" if metric.better == "higher" else "max"
            raise ValueError(f"{self.metric} is better when {metric.better}: give {wanted}")
        return self

    @property
    def threshold(self) -> float:
        """The threshold, whichever side it is on."""
        return float(self.min if self.min is not None else self.max)  # type: ignore[arg-type]

    def text(self) -> str:
        """Return the rule as a reader sees it, e.g. ``p99 <= 50 ms``."""
        sign = ">=" if self.min is not None else "<="
        shown = {"value": "", "sum": "", "proportion": "mean "}.get(
            self.statistic, self.statistic + " "
        )
        return f"{shown}{sign} {self.threshold:g} {self.unit}"

    def applies_to(self, observation: Observation) -> bool:
        """Return whether an observation is of this rule's metric and carries its labels."""
        labels = observation.labels | {"target": observation.target}
        return observation.metric == self.metric and all(
            labels.get(key) == value for key, value in self.where.items()
        )


class Observation(_Record):
    """What one measurement yielded. The samples themselves are in ``samples_file``.

    Args:
        metric: The catalogue's name.
        target: Name of the target that was measured.
        labels: What distinguishes it from others of the same metric, e.g. ``{"index": "HNSW"}``.
        unit: Unit of the samples.
        n: How many samples there are.
        samples_file: Path relative to the run's folder; its first column is ``value``.
        samples_sha256: Of that file as it was written; samples that differ are not judged.
        not_measured: Why there is nothing to judge.
        void: Why the samples must not be judged (a saturated client, an interruption).
        evidence: Further facts for a reader, plain data.
        check: The test that made it.
    """

    metric: str
    target: str
    labels: dict[str, str] = {}
    unit: str
    n: Annotated[int, Field(ge=0)] = 0
    samples_file: str | None = None
    samples_sha256: str | None = None
    not_measured: str | None = None
    void: str | None = None
    evidence: dict[str, Any] = {}
    check: str = ""

    @property
    def title(self) -> str:
        """The metric with its labels, e.g. ``ann_overlap@10[index=HNSW]``."""
        inside = ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
        return f"{self.metric}[{inside}]" if inside else self.metric


class Verdict(_Record):
    """A gate's outcome, complete in itself: nothing else is needed to print or defend it."""

    gate: str
    rule: Rule
    outcome: Outcome
    target: str = ""
    labels: dict[str, str] = {}
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    method: str = ""
    reason: str = ""
    remedy: str = ""
    samples_file: str | None = None
    check: str = ""

    @property
    def required(self) -> bool:
        """Whether the overall verdict depends on this gate."""
        return self.rule.required


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
    values = np.asarray(samples, dtype=np.float64).ravel()
    refusal = _why_not_judged(rule, observation, values)
    if refusal:
        return _verdict(rule, observation, Outcome.NOT_MEASURED, reason=refusal)
    try:
        found = estimate(rule.statistic, values, confidence=rule.confidence)
    except ValueError as error:
        return _verdict(rule, observation, Outcome.NOT_MEASURED, reason=str(error))
    if observation.void:
        return _verdict(rule, observation, Outcome.INCONCLUSIVE, found, reason=observation.void)
    outcome = _compare(rule, found)
    reason = _why_open(rule, found) if outcome is Outcome.INCONCLUSIVE else ""
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
            nothing = Observation(
                metric=rule.metric,
                target=rule.where.get("target", ""),
                labels={key: value for key, value in rule.where.items() if key != "target"},
                unit=rule.unit,
                not_measured=unobserved_reason + _what_there_was(rule, pairs),
            )
            verdicts.append(judge(rule, nothing, []))
    return verdicts


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
