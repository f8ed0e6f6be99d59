"""What the answers to a mixed load were: each kind looked at whole, once the clock has stopped."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from validation.answers import kinds
from validation.answers.checking import check, together, why_wrong
from validation.answers.model import Answers, Expected, Findings
from validation.load.plans.prepared import Prepared, Variant
from validation.load.samples import Samples


@dataclasses.dataclass(frozen=True)
class Found:
    """What one measurement's answers were.

    Args:
        searched: Which of its requests were searches, bool, shape (n,).
        overlap: Of each kind of search, the share of exact neighbours in each answer; empty if
            none was answered. A kind that was not asked, or to which nothing was there to be found,
            is left out.
        findings: What was wrong, all kinds together; None if nothing was answered.
        figures: Of each kind, plain facts for a report.
    """

    searched: np.ndarray
    overlap: dict[str, np.ndarray]
    findings: Findings | None
    figures: dict[str, dict[str, Any]]

    @property
    def wrong(self) -> str:
        """Why the times of these answers must not be judged; empty if they may."""
        return why_wrong(self.findings) if self.findings is not None else ""


def look(samples: Samples, prepared: Prepared) -> Found:
    """Look at every answer of a measurement.

    Args:
        samples: The measurement, of `Prepared.numbers`.
        prepared: What was asked.
    """
    searched = np.zeros(samples.n, dtype=bool)
    parts: list[Findings] = []
    overlap: dict[str, list[np.ndarray]] = {}
    figures: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(one.name for one in prepared.variants):
        mine = np.zeros(samples.n, dtype=bool)
        for one in (one for one in prepared.variants if one.name == name):
            asked = samples.numbers - one.first
            of_one = (asked >= 0) & (asked < one.count)
            mine |= of_one
            if one.right is None:
                continue
            came = np.flatnonzero(of_one & samples.replies.answered)
            found = _checked(samples.replies.answers.taken(came), one, one.right, asked[came])
            parts.append(found)
            if one.right.truth is not None:
                overlap.setdefault(name, []).append(found.overlap)
        searched |= mine if name in prepared.plan.searches else False
        figures[name] = _figures(samples, mine)
    shares = {name: _known(np.concatenate(each)) for name, each in overlap.items()}
    for name, share in list(shares.items()):
        asked, failed = figures[name]["requests"], figures[name]["failed"]
        if not share.size and not asked == failed > 0:
            del shares[name]
            continue
        figures[name]["recall"] = round(float(share.mean()), 4) if share.size else None
    return Found(searched, shares, together(parts) if any(map(_any, parts)) else None, figures)


def _checked(answers: Answers, one: Variant, right: Expected, asked: np.ndarray) -> Findings:
    """Look at answers for one number of hits; within a radius, no hit may be beyond it."""
    cut = Answers(
        answers.ids[:, : one.k],
        answers.distances[:, : one.k],
        answers.found,
        {name: answers.fields[name][:, : one.k] for name in one.fields},
    )
    found = check(cut, right, asked)
    return found if one.radii is None else _with_radius(found, cut, one.radii[asked])


def _with_radius(found: Findings, answers: Answers, radii: np.ndarray) -> Findings:
    # The radius lies in a gap between rows that is far wider than this.
    beyond = (answers.distances > radii[:, None] * (1 + 1e-6)).sum(axis=1)
    return dataclasses.replace(found, counts={**found.counts, kinds.FILTER: beyond})


def _figures(samples: Samples, mine: np.ndarray) -> dict[str, Any]:
    latencies = samples.latencies_ms[mine]
    figures: dict[str, Any] = {
        "requests": int(mine.sum()),
        "failed": int(samples.failed[mine].sum()),
    }
    if latencies.size:
        p50, p99 = np.percentile(latencies, (50, 99), method="inverted_cdf")
        figures |= {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}
    return figures


def _known(overlap: np.ndarray) -> np.ndarray:
    """Return the shares of answers to which there was something to find."""
    return overlap[np.isfinite(overlap)]


def _any(findings: Findings) -> bool:
    return len(findings.overlap) > 0
