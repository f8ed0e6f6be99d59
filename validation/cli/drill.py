"""`milvus-kit drill`: let the store fail in scripted ways while Milvus works, and judge it."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    fault: list[str] = typer.Option(
        [], metavar="NAME", help="Let only this fault happen. May be given again."
    ),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="Rules to judge by. [default: stacks/drill.slo.yaml]"
    ),
    keep: bool = typer.Option(False, help="Keep the servers' data with the run."),
    runs: Path = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept."),
    list_faults: bool = typer.Option(False, "--list", help="List the faults and exit."),
) -> int:
    """Let the store fail under a Milvus here, and judge each fault.

    Milvus and an S3 store are started on this host for it, and stopped again.
    """
    from validation.drill.faults import FAULTS
    from validation.errors import ExitCode

    if list_faults:
        for one in FAULTS.values():
            typer.echo(f"{one.name:20} {one.story}")
        return ExitCode.PASS
    from validation.drill.runner import drill

    return drill(fault, rules=rules, runs=runs, keep=keep)
