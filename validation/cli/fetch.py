"""`milvus-kit fetch`: bring the run of the Job in the cluster from the bucket."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    run: str | None = typer.Option(None, metavar="NAME", help="Name of the run. [default: newest]"),
    prefix: str = options.PREFIX,
    runs: Path = options.RUNS,
    verbose: bool = options.VERBOSE,
) -> int:
    """Fetch the run of the Job in the cluster and its verdict."""
    from rich.console import Console

    from validation.report.store import read_results
    from validation.report.terminal import print_summary
    from validation.runs.folder import point_latest_at
    from validation.runs.in_bucket import fetch, require_last, require_of
    from validation.runs.pytest_run import exit_code
    from validation.runs.stack_output import target_given
    from validation.target import storage_of

    with target_given(target, stack, command="fetch", wanted="say whose run to fetch") as found:
        storage = storage_of(found, where=str(target or f"stack {stack}"))
        folder = fetch(storage, prefix, runs, run)
        results = read_results(folder)
        if run is None:
            require_of(found, folder.name, results.targets)
            require_last(storage, prefix, found.name, folder.name)
    point_latest_at(folder)
    print_summary(results, folder, Console(soft_wrap=False), verbose=verbose)
    return exit_code(results)
