"""`milvus-kit transfer`: what a run of one target is worth for another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from validation.report.results import Results


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run's folder, such as one of dev."),
    other: Path = typer.Argument(
        ..., metavar="TARGET", help="A target document, or a run's folder, such as of prod."
    ),
) -> int:
    """Show which gates of a run carry over to another target, and what is declared otherwise.

    No verdict on the other target: only a run of its own is one. It ends with 0.
    """
    from validation import target as targets
    from validation.across.transfer import differences, transferred
    from validation.errors import ConfigurationError, ExitCode
    from validation.report import wording
    from validation.report.results import State
    from validation.report.store import read_results

    def of_run(folder: Path) -> Results:
        results = read_results(folder)
        if not results.targets:
            raise ConfigurationError(
                "the run names no target, so there is nothing to compare",
                where=str(folder),
                remedy=f"look at it with `milvus-kit report {folder}`, and name one that measured",
            )
        return results

    results = of_run(run)
    others = of_run(other).targets if other.is_dir() else (targets.load(other).document(),)
    if results.state is not State.COMPLETE:
        typer.echo(f"INCOMPLETE  {wording.state_line(results)}")
    for here in others:
        for there in results.targets:
            name = str(there.get("name", ""))
            found = differences(there, here)
            typer.echo(wording.line(f"From {name} to {here.get('name', '')}"))
            for part in transferred(results, name, found):
                count = f"{len(part.carries)} of {len(part.gates)}"
                why = f" (differs: {', '.join(part.because)})" if part.because else ""
                typer.echo(wording.line(f"  {part.title}: {count} carry over{why}"))
            typer.echo("  Declared otherwise:" if found else "  Nothing is declared otherwise.")
            for one in found:
                typer.echo(f"    {one.said()}")
    typer.echo("Settings of Milvus itself are in no target document and were not compared.")
    return ExitCode.PASS
