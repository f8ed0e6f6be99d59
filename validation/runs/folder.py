"""A run from its folder to its results: parts are gathered, judged, written and rendered.

::

    parts/TARGET.json  ──assemble──►  Results without gates  ──judged──►  results.json, renderings
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from validation.common import image
from validation.common.host import this_host
from validation.errors import ConfigurationError
from validation.report.results import Check, Results, State, conclude
from validation.report.store import read_samples, write_results
from validation.runs.recorder import Part
from validation.verdicts.catalogue import CHECK_METRIC
from validation.verdicts.judging import judge_all
from validation.verdicts.verdict import Rule

ASSERTIONS = Rule(gate="checks.assertions", metric=CHECK_METRIC, max=0, unit="failures")
"""In force in every run: a broken assertion in a check is a failure, whatever the rules say."""


def stamp() -> str:
    """Return the time as runs are named by it, in UTC: names sort by when a run began."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def new_run_folder(base: Path, target_name: str) -> Path:
    """Make and return ``BASE/TIME-TARGET``.

    Raises:
        ConfigurationError: It cannot be made.
    """
    stem = f"{stamp()}-{target_name}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100):
            folder = base / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise ConfigurationError(
            f"cannot make a folder for this run: {error.strerror}",
            where=str(base / stem),
            remedy="free some space or name another place with --runs",
        ) from None
    raise ConfigurationError(
        "cannot find a free name for this run",
        where=str(base / stem),
        remedy="begin it a second later, or name another place with --runs",
    )


def point_latest_at(folder: Path) -> None:
    """Make ``latest`` beside a run's folder point at it; a ``latest`` that is no link stays."""
    link = folder.parent / "latest"
    if link.exists() and not link.is_symlink():
        return
    partial = folder.parent / f".latest.{os.getpid()}"
    partial.unlink(missing_ok=True)
    partial.symlink_to(folder.name)
    partial.replace(link)


def read_parts(folder: Path) -> list[Part]:
    """Return what each target contributed, in the order in which they were started."""
    files = sorted((folder / "parts").glob("*.json"))
    parts = [Part.model_validate_json(file.read_text(encoding="utf-8")) for file in files]
    return sorted(parts, key=lambda part: part.started)


def assemble(
    folder: Path,
    rules: Sequence[Rule],
    *,
    rules_source: str,
    started: datetime,
    phases: Sequence = (),
    interrupted: bool = False,
    broken: str = "",
) -> Results:
    """Return the results of a run, judged.

    Args:
        folder: The run's folder.
        rules: What to judge by.
        rules_source: The file they came from.
        started: When the run began.
        phases: What happened outside the suites, such as the start of servers.
        interrupted: The run was cut short by the user.
        broken: Why the run broke off.
    """
    parts = read_parts(folder)
    states = [part.state for part in parts]
    state, reason = State.COMPLETE, ""
    if not parts or broken or State.BROKEN in states:
        state = State.BROKEN
        reason = broken or next((part.reason for part in parts if part.reason), "nothing was run")
    if interrupted or State.INTERRUPTED in states:
        state, reason = State.INTERRUPTED, "interrupted by the user"
    checks = tuple(check for part in parts for check in part.checks)
    results = Results(
        run=folder.name,
        kit_version=version("milvus-kit"),
        kit_image=image.digests(),
        state=state,
        reason=reason,
        started=started,
        finished=datetime.now(UTC),
        profile=parts[0].profile.name if parts else "",
        parameters=parts[0].profile.model_dump() if parts else {},
        host=this_host(),
        targets=tuple(part.target for part in parts),
        servers={part.target["name"]: part.server for part in parts},
        datasets=tuple(_unique([one for part in parts for one in part.datasets])),
        phases=(*phases, *(phase for part in parts for phase in part.phases)),
        checks=checks,
        observations=tuple(seen for part in parts for seen in part.observations),
        verdict=conclude(state, ()),
    )
    return judged(results, folder, rules, rules_source=rules_source)


def judged(results: Results, folder: Path, rules: Sequence[Rule], *, rules_source: str) -> Results:
    """Return the results with the verdicts that these rules give; nothing is measured again."""
    observed = [(seen, read_samples(folder, seen)) for seen in results.observations]
    missing = "no check observed it in this run"
    if results.state is not State.COMPLETE:
        missing = f"the run is not complete: {results.reason}"
    in_force = [*rules, ASSERTIONS]
    gates = judge_all(in_force, observed, unobserved_reason=_broken(results.checks) or missing)
    return results.model_copy(
        update={
            "rules_source": rules_source,
            "rules": tuple(in_force),
            "gates": tuple(gates),
            "verdict": conclude(results.state, gates),
        }
    )


def publish(results: Results, folder: Path) -> None:
    """Write results.json and everything that is rendered from it, and point ``latest`` at it."""
    from validation.across import earlier  # noqa: PLC0415  (beside the next)
    from validation.report import html, junit  # noqa: PLC0415  (charts are slow to import)

    write_results(folder, results)
    earlier.keep(earlier.beside(results, folder), folder)
    junit.write(results, folder)
    html.render(folder)
    point_latest_at(folder)


def _broken(checks: Sequence[Check]) -> str:
    """Return the reason that a reader should see first where a check broke off."""
    broken = [check for check in checks if check.outcome == "error"]
    if not broken:
        return ""
    first = broken[0].message.splitlines()[0] if broken[0].message else "no message"
    return f"not observed; {len(broken)} checks broke off, first {broken[0].title}: {first}"


def _unique(records: list[dict]) -> list[dict]:
    return [record for at, record in enumerate(records) if record not in records[:at]]
