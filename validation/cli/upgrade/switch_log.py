"""`milvus-kit switch-log`: another log for a running Milvus, proved to have lost nothing."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    output: Path = typer.Option(
        ..., "-o", "--output", metavar="FOLDER", help="Of both manifests and the record."
    ),
    management: str | None = typer.Option(
        None, metavar="URL", help="Port 9091 of the mixcoord. [default: milvus.metrics_uri]"
    ),
    load: bool = typer.Option(
        False, "--load", help="Load collections that are not, and release them again."
    ),
) -> int:
    """Make Milvus 3.0 or later go over to embedded Woodpecker, between two manifests.

    Nothing may write meanwhile. Exit codes: 0 nothing was lost, and the record is written that
    migration.logSwitch names; 1 something differs; 5 something is not read, and nothing was done.
    """
    from validation.common.progress import Progress
    from validation.milvus.connection import connect
    from validation.runs.stack_output import target_given
    from validation.upgrade import log_switch

    with (
        target_given(target, stack, command="switch-log", wanted="say which server") as found,
        connect(found) as connection,
    ):
        ended = log_switch.switch(connection, output, management, Progress(), load=load)
    if ended == 0:
        typer.echo(f"Record: {output / log_switch.RECORD}")
    return ended
