"""A preflight as a user sees it: a line a check as it comes, then the decisions and the verdict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from validation.errors import ExitCode
from validation.s3.conformance.runner import Finding
from validation.s3.conformance.table import CHECKS
from validation.s3.preflight import remains
from validation.s3.preflight.decisions import log_allowed
from validation.s3.preflight.profile import StoreProfile, name_in_stack, require_writable, save
from validation.s3.preflight.remedies import step
from validation.s3.preflight.run import preflight
from validation.s3.speed.figures import Speed, measured
from validation.s3.speed.performance import Plan
from validation.s3.speed.table import HEADS, legend, rows
from validation.s3.workspace import EMPTIED, MARKED, Permissions, Workspace
from validation.target import Storage, Wal
from validation.verdicts.verdict import Outcome

_MARKS = {
    Outcome.PASS: "[green]✓[/]",
    Outcome.FAIL: "[red]✗[/]",
    Outcome.INCONCLUSIVE: "[yellow]?[/]",
    Outcome.NOT_MEASURED: "[dim]·[/]",
}
_FILE_WIDTH = 140
_ID_WIDTH = max(len(one.id) for one in CHECKS)
_NAMED = 3
"""So many objects that could not be deleted are named; the profile has them all."""
_REMOVE = "when the store lets the key delete there, give the same command with --clean"
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
    progress = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    below = f"below {storage.root}/" if storage.root else "at its root"
    progress.print(f"{storage.endpoint}, bucket {storage.bucket}, {below}")

    def speed(space: Workspace) -> list[Speed]:
        return measured(
            space,
            plan or Plan(),
            endpoints=endpoints,
            folder=path.with_name(f"{path.stem}.samples"),
            tell=lambda text: progress.print(f"[dim]{text}[/]"),
        )

    told = Console(stderr=True, highlight=False, soft_wrap=True)  # also where the rest is not
    left: list[str] = []
    try:
        profile = preflight(
            storage,
            permissions=permissions,
            wal=wal,
            tell=lambda one: progress.print(line(one)),
            warn=lambda text: told.print(f"[yellow]{escape(text)}[/]"),
            speed=speed if plan is not None else None,
            leftovers=left,
        )
    except BaseException:
        tell_leftovers(left, _kept(left, path), told)
        raise
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


def line(finding: Finding) -> str:
    """Return one finding as a line; what breaks is said where a rule is broken."""
    text = f"{_MARKS[finding.outcome]} {finding.id:<{_ID_WIDTH}} {escape(finding.title)}"
    if finding.outcome is Outcome.NOT_MEASURED:
        text += f" [dim](not measured: {escape(finding.reason)})[/]"
    if finding.outcome is Outcome.FAIL:
        text += f"\n    [red]{escape(finding.reason)}[/]"
        if finding.evidence:
            seen = ", ".join(f"{key}={value}" for key, value in finding.evidence.items())
            text += f" [dim]({escape(seen)})[/]"
        text += f"\n    needed by {escape(finding.by)}; without it: {escape(finding.breaks)}"
        text += f"\n    -> {escape(step(finding))}"
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
    _paste(profile, path, out)


def _paste(profile: StoreProfile, path: Path, out: Console) -> None:
    """Print the configuration to paste, unless this store cannot be used as it is."""
    if profile.verdict is Outcome.FAIL:
        out.print(
            "\nThere is no configuration to paste: a stack on this store as it is would be refused."
            "\n  -> mend what is marked [red]✗[/] above and run it again\n"
        )
        return
    if not profile.storage["root_path"]:
        out.print(
            "\nThere is no configuration to paste: a stack keeps Milvus below a prefix, since"
            " snapshots and results stand beside it.\n  -> give --root-path files, for example\n"
        )
        return
    out.print("\nPaste into stacks/Pulumi.NAME.yaml, in place of the same sections:\n")
    out.print(profile.decisions.yaml(profile=name_in_stack(path)), markup=False)
    if profile.verdict is not Outcome.PASS:
        out.print(
            "[yellow]A stack that names this profile is refused until what was not measured above"
            " has been.[/]\n"
        )


def conclude(profile: StoreProfile, path: Path, out: Console) -> None:
    """Print what was left behind, that speed is missing where it was asked for, and the verdict."""
    tell_leftovers(profile.leftovers, path, out)
    if profile.no_performance:
        out.print(f"[yellow]speed was not measured:[/] {escape(profile.no_performance)}")
    out.print(f"profile: {path}")
    log = escape(log_allowed(profile.decisions))
    out.print(f"{_MARKS[profile.verdict]} {profile.verdict}: {escape(profile.reason)}; {log}")


def tell_leftovers(names: Sequence[str], where: Path, out: Console) -> None:
    """Print what could not be deleted: the first names, and where all of them are."""
    for name in names[:_NAMED]:
        out.print(f"[yellow]could not be deleted:[/] {escape(name)}")
    if len(names) > _NAMED:
        out.print(f"[yellow]and {len(names) - _NAMED} more:[/] all are named in {where}")
    if not all(name.endswith(f"({EMPTIED})") for name in names):
        out.print(f"  -> {_REMOVE}")


def _kept(names: Sequence[str], path: Path) -> Path:
    """Keep what a run left that makes no profile, beside where that would be."""
    kept = path.with_name(f"{path.stem}.leftovers.txt")
    if names:
        kept.write_text("\n".join(names) + "\n", encoding="utf-8")
    return kept


def clean(storage: Storage, others: Sequence[str] = ()) -> None:
    """Remove what killed runs left, and say what became of it.

    Raises:
        MilvusKitError: As `remains.clean`.
    """
    out = Console(highlight=False, soft_wrap=True)
    cleaned = remains.clean(storage, others)
    for prefix in cleaned.removed:
        out.print(f"removed {storage.bucket}/{escape(prefix)}")
    for prefix in cleaned.unmarked:
        out.print(
            f"[yellow]kept {storage.bucket}/{escape(prefix)}:[/] it lacks the mark of a run"
            f" ({MARKED})\n  -> look at it, and remove it by hand"
        )
    out.print(f"{len(cleaned.removed)} runs' remains removed, {cleaned.objects} objects")
