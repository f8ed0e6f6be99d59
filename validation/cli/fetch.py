"""`milvus-kit fetch`: bring the run of the Job in the cluster from the bucket."""

from __future__ import annotations

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

    from validation.report.store import read_results
    from validation.report.terminal import print_summary
    from validation.runs import point_latest_at
    from validation.stack_output import target_given
    from validation.stored_runs import fetch, require_last, require_of
    from validation.suite import exit_code
    from validation.target import storage_of

    with target_given(target, stack, command="fetch", wanted="say whose run to fetch") as found:
        storage = storage_of(found, where=str(target or f"stack {stack}"))
        folder = fetch(storage, prefix, runs, run)
        results = read_results(folder)
        if run is None:
            require_of(found, folder.name, results.targets)
            require_last(storage, prefix, found.name, folder.name)
    point_latest_at(folder)
    print_summary(results, folder, Console(soft_wrap=False))
    return exit_code(results)
