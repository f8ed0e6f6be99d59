"""`milvus-kit try`: from nothing to a verdict on this host."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    profile: str = typer.Option(
        "try", help="How much is measured: smoke, try, acceptance or soak."
    ),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="Rules to judge by. [default: stacks/local.slo.yaml]"
    ),
    rows: int | None = options.ROWS,
    dim: int | None = options.DIM,
    keep: bool = typer.Option(False, help="Keep the servers' data with the run."),
    runs: Path = options.RUNS,
    verbose: bool = options.VERBOSE,
) -> int:
    """Start Milvus and S3 on this host, run the suite, stop them.

    It ends with the suite's verdict. `milvus-kit local up` starts servers that keep running.
    """
    from validation.runs import session

    return session.try_here(
        session.Choices(
            rules=rules, profile=profile, rows=rows, dim=dim, runs=runs, verbose=verbose
        ),
        keep=keep,
    )
