"""`milvus-kit try`: from nothing to a verdict on this host."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    profile: str = typer.Option(
        "acceptance", help="How much is measured: smoke, acceptance or soak."
    ),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="Rules to judge by. [default: stacks/local.slo.yaml]"
    ),
    rows: int | None = typer.Option(
        None, help="Rows of the generated dataset; the profile's if left out."
    ),
    dim: int | None = typer.Option(None, help="Its dimension; the profile's if left out."),
    keep: bool = typer.Option(False, help="Keep the servers' data with the run."),
    runs: Path = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept."),
) -> int:
    """Start Milvus and S3 on this host, run the suite, stop them.

    It ends with the suite's verdict. `milvus-kit local up` starts servers that keep running.
    """
    from validation import session

    return session.try_here(
        session.Choices(rules=rules, profile=profile, rows=rows, dim=dim, runs=runs), keep=keep
    )
