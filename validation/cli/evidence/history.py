"""`milvus-kit history`: how gates went from run to run."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    runs: Path = typer.Argument(Path("runs"), metavar="FOLDER", help="A folder of runs."),
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    prefix: str = options.PREFIX,
    html: bool = typer.Option(False, "--html", help="Write a page to standard output."),
    verbose: bool = typer.Option(
        False, "-v", "--verbose", help="Show those that always passed alike too."
    ),
) -> int:
    """Show how each gate went from run to run, with the points where its figure changed.

    With --target or --stack: of the runs that its Jobs put into the bucket. No verdict: the exit
    code is 0 whatever it shows, also where runs that cannot be read are left out; it names them.
    """
    from rich.console import Console

    from validation.across import showing, trends
    from validation.errors import ExitCode

    if target is None and stack is None:
        found, left_out = trends.read_runs(runs)
    else:
        from validation.runs.in_bucket import read_all
        from validation.runs.stack_output import target_given
        from validation.target import storage_of

        with target_given(target, stack, command="history", wanted="say whose runs") as given:
            storage = storage_of(given, where=str(target or f"stack {stack}"))
            found, left_out = read_all(storage, prefix)
    for one in left_out:
        typer.echo(f"left out: {one}", err=True)
    if html:
        typer.echo(showing.page(trends.series(found), len(found), left_out).encode(), nl=False)
    else:
        showing.print_trends(trends.series(found), len(found), Console(), verbose=verbose)
    return ExitCode.PASS
