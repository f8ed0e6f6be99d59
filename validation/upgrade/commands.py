"""`baseline` and `compare` from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from validation.certificate.signing import Key, Signer
from validation.common.progress import Progress
from validation.datasets.model import Dataset
from validation.errors import ConfigurationError, ExitCode, MeasurementError, MilvusKitError
from validation.milvus.connection import Connection, connect
from validation.report.results import Results
from validation.report.store import write_results
from validation.report.terminal import print_summary
from validation.runs.pytest_run import exit_code
from validation.target import Target
from validation.upgrade import described, document, making, measuring, settling, side
from validation.upgrade.judging import judge, why_not_declared
from validation.upgrade.measuring import NO_CONTROL, STORE, STORE_BOUND
from validation.upgrade.plan import NAME, OPERATIONS, SLOWDOWN, Plan
from validation.upgrade.side import MANIFEST, Measured, Side
from validation.upgrade.statistics import noise


def baseline(target: Target, plan: Plan, folder: Path, signers: Sequence[Signer]) -> ExitCode:
    """Fix what is compared, measure the first side and seal it.

    Raises:
        ConfigurationError: Another version runs than the target declares.
        MeasurementError: The server does not do what is to be measured.
        UsageError: There is something in the folder already.
    """
    progress = Progress()
    with connect(target) as connection:
        _require_declared(target, connection)
        dataset = plan.dataset()
        side.begin(folder, plan, signers)
        measuring.prepare(connection, plan, dataset, progress)
        measured = _side(connection, plan, dataset, folder, progress, only=plan.collections)
        if not measured.rounds:
            raise MeasurementError(
                f"there is nothing to compare with: {measured.waited}",
                where=connection.endpoint.name,
                remedy="mend what is wrong, then measure the baseline in another folder",
            )
        side.end(folder, plan, measured, signers)
    made = side.read(folder)
    quiet = _say_noise(made, progress)
    if STORE not in made.measured.controls:
        progress.say(f"no control for {', '.join(sorted(STORE_BOUND))}: {NO_CONTROL}")
    progress.say(f"Baseline: {folder} (plan {plan.digest[:16]}); leave {NAME} on the server")
    open_ = list(unjudged(made))
    for text in open_:
        progress.say(text)
    return ExitCode.PASS if quiet and not open_ else ExitCode.INCONCLUSIVE


def unjudged(base: Side) -> Iterator[str]:
    """Yield what of a baseline lets a comparison with it prove nothing, one sentence each."""
    manifest, measured = document.load(base.manifest), base.measured
    for name, one in manifest.collections.items():
        if one.not_read:
            yield f"not read, so that nothing vouches for it: {name}: {one.not_read}; see --load"
    yield from map(": ".join, manifest.miscounted)
    if manifest.access_not_read:
        yield f"users and roles were not read: {manifest.access_not_read}"
    if measured.wrong:
        yield f"{measured.wrong} answers are wrong already: no later ones can be judged"
    for of, count in measured.failed.items():
        if count:
            yield f"{count} requests failed already ({of}): no later ones can be judged"
    for of, why in measured.void.items():
        if margins(base.plan, of):
            yield f"the client was the bottleneck ({of}): {why}"
    if measured.changed and any(margins(base.plan, of) for of in OPERATIONS):
        yield f"the server did not rest while it was measured: {measured.changed}"


def compare(base: Side, target: Target, folder: Path, signers: Sequence[Signer]) -> ExitCode:
    """Measure the other side by the baseline's plan, and judge.

    Raises:
        ConfigurationError: It is not what the baseline was measured for.
    """
    side.require_baseline(base)
    plan = base.plan
    plan.require_fits(target)
    dataset = plan.dataset()
    progress = Progress()
    with connect(target) as connection:
        _require_declared(target, connection)
        side.begin(folder, plan, signers)
        before = document.load(base.manifest).collections
        with progress.step("wait until what was loaded is loaded"):
            settling.await_served(connection, [name for name, one in before.items() if one.served])
        # One that is gone is a loss, which the manifests show.
        there = set(described.collections(connection))
        kept = [name for name in plan.collections if name in there]
        measured = _side(connection, plan, dataset, folder, progress, only=kept)
        side.end(folder, plan, measured, signers, baseline=base)
    results = judge(base, side.read(folder), folder, target.document())
    _rendered(results, folder)
    return _shown(results, folder)


def compare_stored(base: Side, after: Path, keys: Sequence[Key]) -> ExitCode:
    """Judge two sides that were measured; nothing is asked of a server."""
    base.plan.require_kit()
    other = side.read(after, keys)
    results = judge(base, other, after, {"name": base.plan.target})
    write_results(after, results)
    return _shown(results, after)


def _rendered(results: Results, folder: Path) -> None:
    from validation.report import html, junit  # noqa: PLC0415  (charts are slow to import)

    write_results(folder, results)
    junit.write(results, folder)
    html.render(folder)


def _shown(results: Results, folder: Path) -> ExitCode:
    print_summary(results, folder, Console(), verbose=True)
    return exit_code(results)


def _side(
    connection: Connection,
    plan: Plan,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
    *,
    only: Sequence[str],
) -> Measured:
    with progress.step("wait until no segment and no index changes") as step:
        waited = settling.settle(connection)
        step(waited)
    progress.say(waited)
    with progress.step("wait until a collection can be created"):
        measuring.await_creating(connection, dataset)
    made = making.make(
        connection, folder / MANIFEST, progress, only=only, load=plan.load, go_on=True
    )
    rows = made.collections.get(NAME)
    if rows is None or rows.not_read:
        why = "is gone" if rows is None else f"cannot be read: {rows.not_read}"
        return Measured(server=connection.server_version, waited=f"{NAME} {why}")
    try:
        segments = settling.segments(connection)
        measured = measuring.measure(connection, plan, dataset, progress)
        with progress.step("see whether anything was rewritten meanwhile"):
            measured.changed = settling.changed_since(connection, segments, but=measuring.SCRATCH)
    except MilvusKitError as error:
        return Measured(server=connection.server_version, waited=error.sentence().split("\n")[0])
    measured.waited = waited
    return measured


def _require_declared(target: Target, connection: Connection) -> None:
    wrong = why_not_declared(target, connection.server_version)
    if wrong:
        raise ConfigurationError(
            wrong,
            where=connection.endpoint.name,
            remedy="finish the upgrade, or correct milvus.version of the target",
        )


def margins(plan: Plan, of: str) -> list[float]:
    """Return the margins that an operation is required to keep; a control, those of all.

    What is advisory is measured and told, and lets no comparison end otherwise.
    """
    return [
        rule.threshold
        for rule in plan.rules
        if rule.metric == SLOWDOWN and rule.required
        if of not in OPERATIONS or rule.where.get("of", of) == of
    ]


def _say_noise(made: Side, progress: Progress) -> bool:
    """Say how far two measurements of this server would be apart, and whether margins allow it."""
    quiet = True
    for of, rounds in measuring.operations(made.measured):
        allowed = min(margins(made.plan, of), default=math.inf)
        by = noise(rounds, len(rounds))
        enough = by <= allowed
        quiet = quiet and enough
        said = "" if enough else f": beyond the margin of {allowed - 1:.0%}, give more --rounds"
        progress.say(f"A/A {of}: differs by up to {by - 1:.1%}{said}")
    return quiet
