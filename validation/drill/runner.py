"""The drill as a run: its observations are judged and reported like those of any other run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from validation.common.progress import BAD, GOOD, Progress
from validation.common.resources import find
from validation.datasets.generated import generate
from validation.drill import bench as benches
from validation.drill.bench import Bench
from validation.drill.faults import Scripted, named
from validation.drill.findings import Findings
from validation.drill.trial import run_trial
from validation.errors import ExitCode, MilvusKitError, UnsupportedError
from validation.local import milvus
from validation.report.results import Check
from validation.runs.profiles import Profile
from validation.runs.recorder import Recorder
from validation.runs.session import judged_run, put_away
from validation.verdicts import rules as rules_files
from validation.verdicts.judging import BEHIND

RULES = "stacks/drill.slo.yaml"
PROFILE = Profile(
    name="drill",
    rows=100_000,
    dim=64,
    queries=400,
    indexes=("FLAT", "IVF_FLAT"),
    serial_searches=1,
    offered_rate=20,
    offered_seconds=8,
)
METRICS = (
    "drill.rows_lost",
    "drill.rows_unexpected",
    "drill.wrong_answers",
    "drill.requests_failed",
    "drill.server_restarts",
    "drill.seconds_to_recover",
)
_DAMAGE = "drill.damage_served"
_OVERLAP = "ann_overlap@10"


def drill(
    names: list[str], *, rules: Path | None = None, runs: Path = Path("runs"), keep: bool = False
) -> ExitCode:
    """Go through the faults on an embedded stack of its own, judge, report.

    Args:
        names: Of faults; all if empty.
        rules: Rules to judge by; the drill's own if left out.
        runs: Where runs are kept.
        keep: Keep the servers' data with the run.

    Raises:
        ConfigurationError: A fault or a rule is not known; nothing was started.
        MissingToolError: There is no Milvus server for this host; neither.
        MilvusKitError: The servers do not come up.
    """
    progress = Progress()
    faults, rules_file = named(names), rules or find(RULES)
    milvus.require_installed()  # Milvus Lite, which stands in elsewhere, has no store to fail
    in_force = rules_files.load(rules_file)
    with judged_run("drill", in_force, rules_file, runs, progress) as run:
        dataset = generate(PROFILE.rows, PROFILE.dim, queries=PROFILE.queries, seed=PROFILE.seed)
        try:
            with benches.running(run.folder / "stack", dataset, progress) as bench:
                recorder = Recorder(run.folder, bench.target, PROFILE, in_force)
                recorder.part.datasets.append(dataset.describe())
                recorder.part.server = {"version": bench.connection.server_version}
                try:
                    for at, fault in enumerate(faults, 1):
                        whole = _one(recorder, bench, fault, progress)
                        if not whole and at < len(faults):
                            _renew(bench, progress)
                finally:
                    _close(recorder)
        finally:
            put_away(run.folder, keep=keep)
    return run.code


def _one(recorder: Recorder, bench: Bench, fault: Scripted, progress: Progress) -> bool:
    """Let one fault happen and keep what was seen, or why nothing was.

    Returns:
        Whether the next fault may use the same collections.
    """
    check = f"drill::{fault.name}"
    since, broken, whole = time.monotonic(), "", False
    outcome = "passed"
    with progress.step(f"fault {fault.name}: {fault.story}") as step:
        try:
            found = run_trial(bench, fault, step)
        except MilvusKitError as error:
            broken = error.what
            outcome = "skipped" if isinstance(error, UnsupportedError) else "error"
            observe_nothing(recorder, fault, broken, check=check)
        else:
            observe(recorder, fault, found, check=check)
            whole = found.clean
        red = [one for one in recorder.verdicts(check) if one.outcome != "pass"]
        step.ends(BAD if red or broken else GOOD)
    seconds = time.monotonic() - since
    recorder.part.checks.append(
        Check(
            id=check,
            title=fault.story,
            outcome=outcome,
            seconds=round(seconds, 3),
            message=broken,
            target=recorder.target.name,
        )
    )
    return whole


def _renew(bench: Bench, progress: Progress) -> None:
    """Start over with fresh collections, so that one fault's damage is not held against another."""
    with progress.step("make fresh collections") as step:
        try:
            bench.renew()
        except MilvusKitError as error:
            step(error.what)
            step.ends(BAD)


def observe(recorder: Recorder, fault: Scripted, found: Findings, *, check: str) -> None:
    """Keep what became of one fault."""
    unknown = found.unknown or "it was not read"
    counts, away = (found.lost, found.unexpected), found.stalled
    figures: list[tuple[Sequence[float] | np.ndarray, str]] = [
        *(([] if count is None else [count], unknown) for count in counts),
        (found.wrong, "no search was answered"),
        ([] if away else found.failed, away or "nothing was asked while the store was well"),
        ([] if away else [float(found.restarts)], away),
        ([] if away else [found.seconds_to_recover], away),
    ]
    for metric, (samples, none) in zip(METRICS, figures, strict=True):
        recorder.observe(
            metric,
            samples,
            labels={"fault": fault.name},
            evidence={**found.evidence, BEHIND: found.reasons.get(metric, "")},
            not_measured=None if len(samples) else none,
            check=check,
        )
    if found.damage.size:
        recorder.observe(
            _DAMAGE,
            found.damage,
            labels={"fault": fault.name},
            evidence={**found.evidence, BEHIND: found.reasons.get(_DAMAGE, "")},
            check=check,
        )
    for kind in ("live", "static"):
        overlaps = found.overlaps.get(kind, np.zeros(0))
        recorder.observe(
            _OVERLAP,
            overlaps,
            labels={"fault": fault.name, "collection": kind},
            not_measured=None if overlaps.size else unknown,
            check=check,
        )


def observe_nothing(recorder: Recorder, fault: Scripted, reason: str, *, check: str) -> None:
    """Keep why nothing is known of one fault."""
    for metric in (*METRICS, _OVERLAP):
        recorder.observe(metric, labels={"fault": fault.name}, not_measured=reason, check=check)


def _close(recorder: Recorder) -> None:
    import pytest  # noqa: PLC0415  (slow to import)

    from validation.runs.outcomes import close  # noqa: PLC0415

    close(recorder, pytest.ExitCode.OK)
