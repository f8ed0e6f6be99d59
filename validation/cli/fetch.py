"""`milvus-kit fetch`: bring the run of the Job in the cluster from the bucket."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import typer


def command(
    target: Path | None = typer.Option(None, "--target", metavar="FILE", help="Target document."),
    stack: str | None = typer.Option(
        None, "-s", "--stack", metavar="NAME", help="Pulumi stack whose output `target` to use."
    ),
    run: str | None = typer.Option(None, metavar="NAME", help="Name of the run. [default: newest]"),
    prefix: str = typer.Option(
        "validation-results", help="validation.resultsPrefix of the stack's settings."
    ),
    runs: Path = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept."),
) -> int:
    """Fetch the run of the Job in the cluster and its verdict."""
    from rich.console import Console

    from validation import target as targets
    from validation.errors import UsageError
    from validation.report.store import read_results
    from validation.report.terminal import print_summary
    from validation.runs import point_latest_at
    from validation.stack_output import target_of_stack
    from validation.stored_runs import fetch, require_last, require_of
    from validation.suite import exit_code

    if (target is None) == (stack is None):
        raise UsageError(
            "say whose run to fetch",
            where="milvus-kit fetch",
            remedy="give --target FILE or -s STACK, one of them",
        )
    with target_of_stack(stack) if stack else nullcontext(targets.load(target or Path())) as found:
        if found.storage is None:
            raise UsageError("this target declares no storage", where=found.name)
        folder = fetch(found.storage, prefix, runs, run)
        results = read_results(folder)
        if run is None:
            require_of(found, folder.name, results.targets)
            require_last(found.storage, prefix, found.name, folder.name)
    point_latest_at(folder)
    print_summary(results, folder, Console(soft_wrap=False))
    return exit_code(results)
