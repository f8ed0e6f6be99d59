"""`milvus-kit manifest`: what a whole database holds, and where two of them differ."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options

app = typer.Typer(invoke_without_command=True)


@app.callback()
def make(
    context: typer.Context,
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="FOLDER", help="Where the manifest is kept."
    ),
    collection: list[str] = typer.Option(
        [], metavar="NAME", help="Only this collection. May be given again."
    ),
    load: bool = typer.Option(
        False, "--load", help="Load collections that are not, and release them again."
    ),
) -> int:
    """Read every row of a database and keep what proves it; `manifest diff A B` compares two.

    Nothing may write meanwhile. If it is cut short, the same command goes on. It ends with 5 if
    something was not read.
    """
    if context.invoked_subcommand:
        return 0

    from validation.common.progress import Progress
    from validation.errors import UsageError
    from validation.milvus.connection import connect
    from validation.runs.stack_output import target_given
    from validation.upgrade import making, telling

    if output is None:
        raise UsageError(
            "say where the manifest is kept", where="milvus-kit manifest", remedy="give -o FOLDER"
        )
    with (
        target_given(target, stack, command="manifest", wanted="say which server") as found,
        connect(found) as connection,
    ):
        made = making.make(connection, output, Progress(), only=collection, load=load)
    return telling.made(made, output)


@app.command()
def diff(
    before: Path = typer.Argument(metavar="BEFORE", help="Folder of a manifest."),
    after: Path = typer.Argument(metavar="AFTER", help="Folder of another."),
) -> int:
    """Say how two databases differ: schema, indexes, partitions, aliases, access, rows.

    Exit codes: 0 they are the same, 1 they differ, 5 something of them was not read.
    """
    from validation.upgrade import differing, telling

    return telling.differences(differing.differ(before, after))
