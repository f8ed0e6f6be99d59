"""Rule, observation, verdict: the three records that judgement is about, as they are kept.

A measurement yields an `Observation` (raw samples and what they are of); a `Rule` says what is
good enough; `validation.verdicts.judging` compares the two and yields a `Verdict`.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from validation.common.patterns import shaped
from validation.verdicts.catalogue import CATALOGUE, SITE_PREFIX
from validation.verdicts.intervals import STATISTICS


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


Server = Literal["milvus", "milvus-lite"]
"""Kinds of server that a rule can be for."""

_Number = Annotated[float, BeforeValidator(_no_truth_value)]


class Rule(_Record):
    """What is good enough, for one metric under given labels.

    Args:
        gate: The rule's own name, unique in its file.
        metric: A name from the catalogue, or one starting with ``site.``.
        where: Labels an observation must carry to be judged by this rule.
        server: The only kind of server it is for; every kind if left out.
        statistic: How samples become one figure; the metric's default if left out.
        min: Threshold for metrics where higher is better.
        max: Threshold for metrics where lower is better.
        unit: The threshold's unit; it must be the metric's.
        required: Whether the overall verdict depends on it; otherwise it is advisory.
        if_declared: Whether it is advisory for a target that does not declare what it is about,
            such as TLS.
        confidence: Of the interval, in (0, 1).
    """

    gate: Annotated[
        str,
        shaped(
            r"^[A-Za-z0-9][\w.@/+-]*$", "a name of letters, digits and . _ @ / + -", "latency.p99"
        ),
    ]
    metric: str
    where: dict[str, str] = {}
    server: Server | None = None
    statistic: str = ""
    min: _Number | None = None
    max: _Number | None = None
    unit: str
    required: bool = True
    if_declared: bool = False
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

    def applies_to(self, observation: Observation) -> bool:
        """Return whether an observation is of this rule's metric and server, with its labels."""
        labels = observation.labels | {"target": observation.target}
        return (
            observation.metric == self.metric
            and not self.is_for_another(observation)
            and all(labels.get(key) == value for key, value in self.where.items())
        )

    def is_for_another(self, observation: Observation) -> bool:
        """Return whether an observation is of a kind of server that this rule is not for."""
        return None not in (self.server, observation.server) and self.server != observation.server


class Observation(_Record):
    """What one measurement yielded. The samples themselves are in ``samples_file``.

    Args:
        metric: The catalogue's name.
        target: Name of the target that was measured.
        server: Of which kind it is, if that is known.
        labels: What distinguishes it from others of the same metric, e.g. ``{"index": "HNSW"}``.
        unit: Unit of the samples.
        n: How many samples there are.
        samples_file: Path relative to the run's folder; its first column is ``value``.
        samples_sha256: Of that file as it was written; samples that differ are not judged.
        not_measured: Why there is nothing to judge.
        undeclared: Whether that is because the target declares no such thing.
        void: Why the samples must not be judged (a saturated client, an interruption).
        evidence: Further facts for a reader, plain data.
        check: The test that made it.
    """

    metric: str
    target: str
    server: Server | None = None
    labels: dict[str, str] = {}
    unit: str
    n: Annotated[int, Field(ge=0)] = 0
    samples_file: str | None = None
    samples_sha256: str | None = None
    not_measured: str | None = None
    undeclared: bool = False
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
