"""`milvus-kit backup`: collections out of a Milvus, into a folder or the bucket."""

from __future__ import annotations

import enum
from pathlib import Path

import typer

from validation.cli import options


class Tool(enum.StrEnum):
    """Who copies the rows."""

    PARQUET = "parquet"
    MILVUS_BACKUP = "milvus-backup"


def command(
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    output: Path = typer.Option(
        ..., "-o", "--output", metavar="FOLDER", help="Where the backup is kept: a new folder."
    ),
    collection: list[str] = typer.Option(
        [], metavar="NAME", help="Only this collection. May be given again."
    ),
    load: bool = typer.Option(
        False, "--load", help="Load collections that are not, and release them again."
    ),
    bucket: str | None = options.IN_BUCKET,
    tool: Tool = typer.Option(
        Tool.PARQUET, help="Who copies the rows; milvus-backup does below --in-bucket."
    ),
) -> int:
    """Back up collections: rows as Parquet, schema, indexes, aliases, and what proves a restore.

    Nothing may write meanwhile. What was written is read back and compared with the manifest
    before the backup counts as one. Users and roles are not in it.
    """
    from validation.backup import exporting, in_bucket
    from validation.common.progress import Progress
    from validation.errors import UsageError
    from validation.milvus.connection import connect
    from validation.runs.stack_output import target_given

    with (
        target_given(target, stack, command="backup", wanted="say which server") as found,
        connect(found) as connection,
    ):
        store = in_bucket.checked(found, bucket, output) if bucket else None
        copying = tool is Tool.MILVUS_BACKUP
        if bucket and store and not copying:  # or it is missed after everything has been read
            in_bucket.require_free(output, store, bucket)
        if copying and not bucket:
            raise UsageError(
                "say below which prefix of the bucket milvus-backup is to copy",
                where="milvus-kit backup --tool milvus-backup",
                remedy="give --in-bucket PREFIX",
            )
        progress = Progress()
        made = exporting.export(
            connection,
            output,
            progress,
            only=collection,
            load=load,
            copy_to=str(bucket) if copying else "",
        )
        for name, one in made.collections.items():
            typer.echo(f"{name}: {one.rows:,} rows")
        typer.echo(f"Backup: {output}")
        if made.copied:
            typer.echo(f"In the bucket, by milvus-backup: {made.copied}")
        elif store:
            with progress.step("upload the backup"):
                place = in_bucket.upload(output, store, str(bucket))
            typer.echo(f"In the bucket: {place}")
    return 0
