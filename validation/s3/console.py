"""A preflight as a user sees it: a line a check as it comes, then the decisions and the verdict."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from validation.errors import ExitCode
from validation.s3.conformance.runner import Finding
from validation.s3.performance import Plan
from validation.s3.preflight import preflight
from validation.s3.profile import StoreProfile, require_writable, save
from validation.s3.speed import Speed, measured
from validation.s3.speed_table import HEADS, legend, rows
from validation.s3.workspace import Permissions, Workspace
from validation.target import Storage, Wal
from validation.verdict import Outcome

_MARKS = {
    Outcome.PASS: "[green]✓[/]",
    Outcome.FAIL: "[red]✗[/]",
    Outcome.INCONCLUSIVE: "[yellow]?[/]",
    Outcome.NOT_MEASURED: "[dim]·[/]",
}
_FILE_WIDTH = 140
_CODES = {
    Outcome.PASS: ExitCode.PASS,
    Outcome.FAIL: ExitCode.FAIL,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}


def run(
    storage: Storage,
    permissions: Permissions,
    *,
    path: Path,
    wal: Wal | None = None,
    plan: Plan | None = None,
    endpoints: Sequence[str] = (),
    quiet: bool = False,
) -> int:
    """Run the preflight, show it, write the profile and return the exit code.

    Args:
        storage: The store.
        permissions: What the checks may do.
        path: Of the profile; raw samples of performance stand beside it, in ``NAME.samples``.
        wal: The declared log.
        plan: How to measure performance; None leaves it out.
        endpoints: Further endpoints of the same store, for performance.
        quiet: Show the verdict only.

    Raises:
        ConfigurationError: The profile cannot be written there; nothing was asked of the store.
        MilvusKitError: As `preflight.preflight`.
    """
    require_writable(path)
    signal.signal(signal.SIGTERM, _interrupt)  # so that the workspace is swept then, too
    progress = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    progress.print(f"{storage.endpoint}, bucket {storage.bucket}, below {storage.root_path}/")

    def speed(space: Workspace) -> list[Speed]:
        return measured(
            space,
            plan or Plan(),
            endpoints=endpoints,
            folder=path.with_name(f"{path.stem}.samples"),
            tell=lambda text: progress.print(f"[dim]{text}[/]"),
        )

    profile = preflight(
        storage,
        permissions=permissions,
        wal=wal,
        tell=lambda one: progress.print(line(one)),
        speed=speed if plan is not None else None,
    )
    save(profile, path)
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    out = Console(highlight=False, soft_wrap=True, width=width)
    if not quiet:
        show(profile, path, out)
    conclude(profile, path, out)
    return int(exit_code(profile))


def exit_code(profile: StoreProfile) -> ExitCode:
    """Return how the command ends: what was asked for and not measured is no pass.

    The profile's own verdict is that of the checks, on which `infra` relies.
    """
    if profile.verdict is Outcome.PASS and profile.no_performance:
        return ExitCode.INCONCLUSIVE
    return _CODES[profile.verdict]


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def line(finding: Finding) -> str:
    """Return one finding as a line; what breaks is said where a rule is broken."""
    text = f"{_MARKS[finding.outcome]} {finding.id:<28} {escape(finding.title)}"
    if finding.outcome is Outcome.NOT_MEASURED:
        text += f" [dim](not measured: {escape(finding.reason)})[/]"
    if finding.outcome is Outcome.FAIL:
        text += f"\n    [red]{escape(finding.reason)}[/]"
        if finding.evidence:
            seen = ", ".join(f"{key}={value}" for key, value in finding.evidence.items())
            text += f" [dim]({escape(seen)})[/]"
        text += f"\n    needed by {escape(finding.by)}; without it: {escape(finding.breaks)}"
    return text


def show(profile: StoreProfile, path: Path, out: Console) -> None:
    """Print counts, decisions and the configuration to paste."""
    counts = Table("needed for", "pass", "fail", "not measured", box=None, pad_edge=False)
    for need in dict.fromkeys(finding.need for finding in profile.findings):
        of = [finding.outcome for finding in profile.findings if finding.need is need]
        kinds = (Outcome.PASS, Outcome.FAIL, Outcome.NOT_MEASURED)
        counts.add_row(need, *(str(of.count(kind)) for kind in kinds))
    out.print(counts)
    if profile.performance:
        table = Table(*HEADS, box=None, pad_edge=False)
        for row in rows(profile.performance):
            table.add_row(*map(escape, row))
        out.print(table, soft_wrap=False)
        for text in legend(profile.performance):
            out.print(text, style="dim", markup=False)
    out.print(
        f"\nDecisions for {profile.storage['endpoint']} (Woodpecker: "
        f"{profile.decisions.woodpecker})"
    )
    for name in ("wal", "addressing", "region", "checksums", "tls"):
        decision = getattr(profile.decisions, name)
        out.print(f"  {name:<11}{decision.choice:<20} {escape(decision.reason)}")
    out.print("\nPaste into stacks/Pulumi.NAME.yaml:\n")
    out.print(profile.decisions.yaml(), markup=False)
    out.print(f"and name this profile there, as conformanceProfile: {escape(str(path))}\n")


def conclude(profile: StoreProfile, path: Path, out: Console) -> None:
    """Print what was left behind, that speed is missing where it was asked for, and the verdict."""
    for name in profile.leftovers:
        out.print(f"[yellow]could not be deleted:[/] {escape(name)}")
    if profile.no_performance:
        out.print(f"[yellow]speed was not measured:[/] {escape(profile.no_performance)}")
    out.print(f"{_MARKS[profile.verdict]} {profile.verdict}: {escape(profile.reason)}")
    out.print(f"profile: {path}")
