"""Judge two sides of one plan: margins by intervals, losses by the manifests, both by its rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from validation.common.files import checksum
from validation.common.host import this_host
from validation.milvus.connection import parse_version
from validation.report.results import Check, Results, State, conclude
from validation.report.store import write_samples
from validation.runs.folder import judged
from validation.target import Target
from validation.upgrade import differing
from validation.upgrade.measuring import NO_CONTROL, NULL, STORE, STORE_BOUND, medians
from validation.upgrade.plan import DIFFERENCES, FAILED, OPERATIONS, RECALL, SLOWDOWN, WRONG, Plan
from validation.upgrade.side import Side, require_sides
from validation.upgrade.statistics import bounds, loss, moved, noise
from validation.verdicts.catalogue import CATALOGUE, CHECK_METRIC
from validation.verdicts.judging import BEHIND
from validation.verdicts.verdict import Observation, Rule


def why_not_declared(target: Target, server_version: str) -> str:
    """Return that another version runs than is declared; empty if none is."""
    declared = target.milvus.version
    if declared is None:
        return ""
    wanted, found = parse_version(declared), parse_version(server_version)
    if found and found[: len(wanted)] != wanted:
        return f"the target declares Milvus {declared}, and {server_version} is running"
    return ""


def _declared(plan: Plan, target: Mapping[str, Any], server: str) -> Check:
    """Return what became of the check that was made before anything was measured."""
    made = Check(
        id="upgrade::declared",
        title="the declared version runs",
        outcome="skipped",
        seconds=0,
        target=plan.target,
    )
    if "milvus" not in target:
        why = "no server was asked: both sides were measured before"
    elif not target["milvus"].get("version"):
        why = "not declared: the target names no milvus.version"
    elif not parse_version(server):
        why = f"the server does not say which version it is: {server!r}"
    else:
        return made.model_copy(update={"outcome": "passed"})
    return made.model_copy(update={"message": why})


def judge(base: Side, after: Side, folder: Path, target: Mapping[str, Any]) -> Results:
    """Return the results of a comparison, with their samples in a folder.

    Args:
        base: Of the baseline.
        after: Of what came after.
        folder: Where results and samples are kept.
        target: The target's document, secrets masked; of it, the name is enough.
    """
    require_sides(base, after)
    began = datetime.now(UTC)
    plan = base.plan
    keeper = _Keeper(folder, plan.target)
    for observed in _observed(base, after, keeper):
        keeper.add(observed)
    declared = _declared(plan, target, after.measured.server)
    keeper.add(keeper.kept(CHECK_METRIC, [0.0], check=declared.id))
    results = Results(
        run=folder.name,
        kit_version=version("milvus-kit"),
        state=State.COMPLETE,
        started=began,
        finished=datetime.now(UTC),
        profile="upgrade",
        parameters={
            "plan": plan.digest,
            **plan.model_dump(mode="json", include={"rounds", "seed", "rows", "dim"}),
        },
        host=this_host(),
        targets=(dict(target),),
        servers={plan.target: {"version": after.measured.server, "before": base.measured.server}},
        checks=(declared,),
        observations=tuple(keeper.observations),
        verdict=conclude(State.COMPLETE, ()),
    )
    return judged(results, folder, plan.rules, rules_source=plan.rules_source)


class _Keeper:
    """Keeps samples of observations in a folder."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder, self.target = folder, target
        self.observations: list[Observation] = []
        for old in (folder / "samples").glob("*.csv"):
            old.unlink()

    def add(self, observed: Observation) -> None:
        self.observations.append(observed)

    def kept(self, metric: str, samples: list[float], **more: Any) -> Observation:
        made = Observation(
            metric=metric,
            target=self.target,
            unit=CATALOGUE[metric].unit,
            n=len(samples),
            **more,
        )
        if not samples:
            return made
        file = write_samples(self.folder, made, {"value": samples})
        sums = {"samples_file": file, "samples_sha256": checksum(self.folder / file)}
        return made.model_copy(update=sums)


def _observed(base: Side, after: Side, keeper: _Keeper) -> Iterator[Observation]:
    yield _differences(base, after, keeper)
    before, now = base.measured, after.measured
    if not now.rounds:
        why = f"nothing could be measured after: {now.waited}"
        for metric in (WRONG, FAILED, RECALL):
            yield keeper.kept(metric, [], not_measured=why)
        for of in OPERATIONS:
            yield keeper.kept(SLOWDOWN, [], labels={"of": of}, not_measured=why)
        return
    yield keeper.kept(WRONG, [float(now.wrong)], void=_already(before.wrong, "answers were wrong"))
    failed = sum(before.failed.values())
    yield keeper.kept(
        FAILED,
        [float(sum(now.failed.values()))],
        void=_already(failed, "requests failed"),
        evidence={"failed": now.failed},
    )
    gates = max(1, len(plan_rules(base)))
    recall = [np.array(side.overlap) for side in (before, now)]
    low, high = loss(*recall, confidence=_confidence(base, RECALL), gates=gates)
    yield keeper.kept(
        RECALL, [low, high], evidence={"mean": [round(float(one.mean()), 4) for one in recall]}
    )
    for of in OPERATIONS:
        yield _slowdown(of, base, after, keeper, gates)


def plan_rules(side: Side, of: str | None = None) -> list[Rule]:
    """Return the rules that are judged by intervals; those of one operation, if it is given."""
    return [
        rule
        for rule in side.plan.rules
        if (rule.metric in {SLOWDOWN, RECALL} and of is None)
        or (rule.metric == SLOWDOWN and of is not None and rule.where.get("of", of) == of)
    ]


def _differences(base: Side, after: Side, keeper: _Keeper) -> Observation:
    found = differing.differ(base.manifest, after.manifest)
    lost = [*found.found, *found.unserved]
    unread = "; ".join(found.not_read)
    if not lost and unread:
        return keeper.kept(DIFFERENCES, [], not_measured=unread)
    return keeper.kept(
        DIFFERENCES,
        [float(len(lost))],
        evidence={BEHIND: "; ".join(lost[:3]), "differences": lost[:50], "notes": found.notes},
    )


def _slowdown(of: str, base: Side, after: Side, keeper: _Keeper, gates: int) -> Observation:
    labels = {"of": of}
    before, now = (medians(side.measured.rounds[of]) for side in (base, after))
    rules = plan_rules(base, of)
    margin = min((rule.threshold for rule in rules), default=math.inf)
    confidence = max((rule.confidence for rule in rules), default=0.95)
    if not np.isfinite(before).all():
        return keeper.kept(
            SLOWDOWN, [], labels=labels, not_measured="requests of the baseline itself failed"
        )
    low, high = bounds(before, now, confidence=confidence, gates=gates)
    # Whether the stack is quiet enough to be judged at all is asked before the difference counts.
    noisy = noise(before, len(now))
    answered = np.isfinite(now).all()
    if answered:
        noisy = max(noisy, noise(now, len(before)))
    return keeper.kept(
        SLOWDOWN,
        [low, high],
        labels=labels,
        void=_why_void(of, base, after, noisy, margin) if answered else None,
        evidence={
            "rounds": [len(before), len(now)],
            "median_ms": [round(float(np.median(one)), 3) for one in (before, now)],
            "noise_p95": round(noisy, 4),
            "gates": gates,
            "control": _control(of, base, after),
        },
    )


def _control(of: str, base: Side, after: Side) -> str:
    control = STORE if of in STORE_BOUND else NULL
    either = any(side.measured.controls.get(control) for side in (base, after))
    return control if either else f"none: {NO_CONTROL}"


def _why_void(of: str, base: Side, after: Side, noisy: float, margin: float) -> str | None:
    for when, side in (("before", base), ("after", after)):
        if of in side.measured.void:
            return f"the client was the bottleneck {when}: {side.measured.void[of]}"
        if side.measured.changed:
            return f"the server did not rest while it was measured {when}: {side.measured.changed}"
    if noisy > margin:
        return (
            f"the stack is too noisy to be judged: two measurements of the same version differ by"
            f" up to {noisy - 1:.0%}, the margin is {margin - 1:.0%}"
        )
    return _why_control(STORE if of in STORE_BOUND else NULL, base, after, margin)


def _why_control(control: str, base: Side, after: Side, margin: float) -> str | None:
    """Return why a control lets nothing be judged; None if it does, or if there never was one."""
    found = []
    for when, side in (("before", base), ("after", after)):
        rounds = side.measured.controls.get(control, [])
        if rounds and not np.isfinite(medians(rounds)).all():
            return f"the control ({control}) failed {when}"
        if control in side.measured.void:
            return f"the client was the bottleneck of the control ({control}) {when}"
        found.append(rounds)
    then, now = found
    if bool(then) != bool(now):
        return (
            f"the control ({control}) was measured {'before' if then else 'after'} alone: nothing"
            " tells another host or store from another Milvus"
        )
    by = moved(medians(then), medians(now), margin) if then else 0
    if by:
        return (
            f"the control ({control}), which is no part of Milvus, takes {by:.2f} times as long"
            " as at the baseline: the host or the store is another than it was"
        )
    return None


def _confidence(base: Side, metric: str) -> float:
    return max((rule.confidence for rule in base.plan.rules if rule.metric == metric), default=0.95)


def _already(count: int, what: str) -> str | None:
    return f"{count} {what} at the baseline already" if count else None
