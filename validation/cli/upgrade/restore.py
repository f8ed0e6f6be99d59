"""`milvus-kit restore`: the collections of a backup, made again and proven."""

from __future__ import annotations

from pathlib import Path

import typer

from validation.cli import options


def command(
    folder: Path = typer.Argument(metavar="FOLDER", help="What `milvus-kit backup` wrote."),
    target: Path | None = options.TARGET,
    stack: str | None = options.STACK,
    collection: list[str] = typer.Option(
        [], metavar="NAME", help="Only this collection. May be given again."
    ),
    beside: bool = typer.Option(
        False, "--beside", help="The database may hold collections of other names."
    ),
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="MANIFEST", help="Keep the manifest of what was restored."
    ),
    bucket: str | None = options.IN_BUCKET,
) -> int:
    """Restore a backup into an empty database, read every row back, and compare it.

    Exit codes: 0 all of it is there again, 1 it differs (the first keys are named), 2 the backup
    or the database is not fit for it, and nothing was written.
    """
    from tempfile import TemporaryDirectory

    from validation.backup import in_bucket, restoring
    from validation.common.progress import Progress
    from validation.milvus.connection import connect
    from validation.runs.stack_output import target_given
    from validation.upgrade import telling

    with (
        target_given(target, stack, command="restore", wanted="say which server") as found,
        connect(found) as connection,
        TemporaryDirectory(prefix="milvus-kit-") as scratch,
    ):
        progress = Progress()
        if bucket:
            with progress.step("fetch the backup"):
                in_bucket.fetch(folder, in_bucket.checked(found, bucket, folder), bucket)
        differences = restoring.restore(
            connection,
            folder,
            output or Path(scratch) / "manifest",
            progress,
            only=collection,
            beside=beside,
        )
    return telling.differences(differences)
