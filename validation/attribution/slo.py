"""The latency rule that a stack is held to, and what these searches say of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from validation.verdicts.intervals import estimate
from validation.verdicts.verdict import Observation, Rule

SERIAL, OFFERED = "search.latency.serial", "search.latency.open_loop"


@dataclasses.dataclass(frozen=True)
class Slo:
    """One rule: its gate, its percentile and its limit.

    Args:
        gate: Its name.
        statistic: The percentile.
        limit_ms: What it may be at most.
        offered: Whether it is of searches at an offered rate, which searches one at a time are not.
        confidence: Of its interval.
    """

    gate: str
    statistic: str
    limit_ms: float
    offered: bool = False
    confidence: float = 0.95

    @property
    def rule(self) -> str:
        """The rule itself, e.g. ``latency.serial.p99: p99 <= 50 ms``."""
        offered = " at the offered rate" if self.offered else ""
        return f"{self.gate}: {self.statistic} <= {self.limit_ms:g} ms{offered}"

    def text(self, latencies_ms: np.ndarray) -> str:
        """Return the rule, and how searches sent one at a time stand to it."""
        rule = self.rule
        if self.offered:
            return f"{rule}; seen here: one search at a time"
        failed = int((~np.isfinite(latencies_ms)).sum())
        if failed:
            return f"{rule}; {failed} of {len(latencies_ms)} searches failed here"
        found = estimate(
            self.statistic, latencies_ms, confidence=self.confidence, span=(0.0, math.inf)
        )
        high = f"{found.high:.3g}" if math.isfinite(found.high) else "no upper end"
        return (
            f"{rule}; one search at a time here: {found.value:.3g} ms [{found.low:.3g}, {high}],"
            f" n = {found.n}"
        )


def slo_of(rules: Sequence[Rule], target: str, labels: Mapping[str, str]) -> Slo | None:
    """Return the latency rule that searches are held to: the serial one's highest percentile.

    The rule for the offered rate is named where there is none for serial searches.

    Args:
        rules: All that are in force.
        target: The target's name.
        labels: Of the searches, such as their index; a rule that asks for others is not theirs.
    """
    for metric in (SERIAL, OFFERED):
        seen = Observation(metric=metric, target=target, labels=dict(labels), unit="ms")
        found = [
            Slo(rule.gate, rule.statistic, rule.threshold, metric == OFFERED, rule.confidence)
            for rule in rules
            if rule.statistic.startswith("p") and rule.applies_to(seen)
        ]
        if found:
            return max(found, key=lambda slo: float(slo.statistic.removeprefix("p")))
    return None
