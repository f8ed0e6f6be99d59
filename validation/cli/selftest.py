"""`milvus-kit selftest`: plant faults and see each turn its own gates red, and no other."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    fault: list[str] = typer.Option(
        [], metavar="NAME", help="Plant only this fault. May be given again."
    ),
    together: bool = typer.Option(
        False,
        "--together",
        help="Plant what --fault names at once, against the whole suite; else groups of its own.",
    ),
    profile: str = typer.Option("selftest", metavar="NAME", help="selftest, smoke, acceptance."),
    rules: Path | None = typer.Option(
        None, metavar="FILE", help="Rules to judge by. [default: stacks/local.slo.yaml]"
    ),
    runs: Path = typer.Option(Path("runs"), metavar="FOLDER", help="Where runs are kept."),
    list_faults: bool = typer.Option(False, "--list", help="List the faults and exit."),
) -> int:
    """Plant faults and see that each turns just its own gates red.

    Each is planted in a run of its own, against servers that are started here: on the wire in front
    of Milvus where it is one of the server's answers, and in front of Milvus Lite as well. Without
    --fault all are planted, alone, in pairs, and several at once.
    """
    from validation.common.progress import Progress
    from validation.errors import ExitCode
    from validation.selftest import page, record, runner
    from validation.selftest.faults import FAULTS

    if list_faults:
        for one in FAULTS.values():
            typer.echo(f"{one.name:24} {one.story}")
        return ExitCode.PASS
    choices = runner.Choices(tuple(fault), together, profile, rules, runs)
    found, folder = runner.run(choices, Progress())
    kept = record.write(found, folder)
    typer.echo(f"Report: {page.write(found, folder)}")
    typer.echo(f"Results: {kept}")
    for line in found.lines():
        typer.echo(line)
    if found.whole:
        return ExitCode.PASS
    return ExitCode.INCONCLUSIVE if found.busy else ExitCode.FAIL
