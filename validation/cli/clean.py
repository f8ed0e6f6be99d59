"""`milvus-kit clean`: drop what a killed run left on a server."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    target: Path = typer.Option(
        ..., "--target", metavar="FILE", help="Target document of the server."
    ),
) -> None:
    """Drop what killed runs left on a server.

    No other collection is touched: the kit's own carry its mark; users, roles and databases of the
    family security carry its names. So does what a run that is still under way has made: let it end
    first.
    """
    from validation import target as targets
    from validation.milvus.connection import connect
    from validation.milvus.ownership import drop_all_ours
    from validation.security import leftovers

    with connect(targets.load(target)) as connection:
        dropped = drop_all_ours(connection)
        besides = list(leftovers.dropped(connection))
    for name in dropped:
        typer.echo(f"dropped {name}")
    for line in besides:
        typer.echo(line)
    typer.echo(f"{len(dropped)} collections dropped; those that this kit did not make stay")
