"""Write collections to a folder: the manifest first, then the rows, then proof that they are those.

Rows are read page by page and written as they come, so that memory does not grow with them. What
was written is read back and hashed as a server's answer is: a backup whose files do not add up to
the manifest is never finished, be it that somebody wrote meanwhile or that a value did not fit.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from validation.backup import columns, files, milvus_backup, schemas
from validation.backup.document import DATA, FILE, MANIFEST, Backup, File
from validation.common.files import checksum, require_empty
from validation.common.progress import Progress
from validation.errors import MeasurementError, UsageError
from validation.milvus import loading, reading
from validation.milvus.connection import Connection
from validation.upgrade import described, making
from validation.upgrade import document as manifests


def export(
    connection: Connection,
    folder: Path,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    load: bool = False,
    copy_to: str = "",
) -> Backup:
    """Back up collections; nothing may write meanwhile.

    Args:
        connection: An open connection to the server.
        folder: Where it is kept; new, or empty.
        progress: Shows how far it is.
        only: These collections alone.
        load: Load a collection that is not, and release it again.
        copy_to: Let milvus-backup copy Milvus's files below this prefix of the bucket, instead of
            writing rows here.

    Raises:
        UsageError: There is something in the folder already.
        UnsupportedError: A collection cannot be made again by inserting rows.
        MeasurementError: A collection was not read in full, or rows changed while they were read.
    """
    require_empty(folder, "give another folder with -o")
    if copy_to:  # or it is missed after everything has been read
        milvus_backup.require(connection, restore=False)
    else:
        columns.arrow()
    names = _chosen(described.collections(connection), only, connection.endpoint.name)
    found = {name: schemas.described_by(connection, name, whole=not copy_to) for name in names}
    fields = (
        {} if copy_to else {name: schemas.fields_of(one, where=name) for name, one in found.items()}
    )
    made = making.make(
        connection, folder / MANIFEST, progress, only=names, load=load, rows_alone=True
    )
    unread = {name: one.not_read for name, one in made.collections.items() if one.not_read}
    if unread:
        name, why = next(iter(unread.items()))
        raise MeasurementError(
            f"what is not read is not backed up: {why}",
            where=name,
            remedy="load it, give --load (in another folder), or name others with --collection",
        )
    for where, why in made.miscounted:
        raise MeasurementError(
            f"what is not read is not backed up: {why}",
            where=where,
            remedy="delete the keys that are there twice and insert each once, or name others with"
            " --collection",
        )
    collections, copied = {}, ""
    if copy_to:
        copied = f"{copy_to.strip('/')}/milvus_kit_{made.digest[:16]}"
        with progress.step(f"let milvus-backup copy {len(names)} collections"):
            milvus_backup.create(connection, names, copied)
    for name in names:
        one = made.collections[name]
        with contextlib.ExitStack() as cleanup:
            if load and not one.served and not copied:
                loading.load_for_search(connection, name)
                cleanup.callback(described.release, connection, name)
            written = {}
            if not copied:
                said = described.collection(connection, name)[1]
                table = reading.table_of(connection, name, said)
                written = _rows(table, folder, fields[name], progress, one)
        collections[name] = found[name].model_copy(
            update={
                "partitions": written,
                "loaded": one.served,
                "aliases": one.aliases,
                "rows": one.rows,
            }
        )
    done = Backup(
        kit_version=version("milvus-kit"),
        target=connection.target.name,
        server=connection.server_version,
        database=connection.endpoint.database,
        collections=collections,
        manifest=made.digest,
        copied=copied,
    ).sealed()
    done.save(folder / FILE)
    return done


def _chosen(there: Sequence[str], only: Sequence[str], where: str) -> list[str]:
    unknown = [name for name in only if name not in there]
    if unknown or not there:
        raise UsageError(
            "there is no such collection" if unknown else "there is no collection to back up",
            where=where,
            seen=unknown[0] if unknown else None,
            remedy=f"name one of {', '.join(there) or 'none: the database is empty'}",
        )
    return list(dict.fromkeys(only or there))


def _rows(
    table: reading.Table,
    folder: Path,
    fields: files.Fields,
    progress: Progress,
    read: manifests.Collection,
) -> dict[str, File]:
    """Write the rows of each partition, and make sure that they are those of the manifest."""
    written, name = {}, table.name
    for partition, part in read.partitions.items():
        file = f"{DATA}/{name}/{partition or 'all'}.parquet"
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pages = dataclasses.replace(table, partition=partition, decoded=fields.decoded)
        with progress.step(f"back up {manifests.place(name, partition)}") as step:
            rows = files.write(path, fields, pages.pages(reading.Range()), step, part.rows)
            seen = files.content(path, fields)
        if (rows, seen) != (part.rows, part.content):
            raise MeasurementError(
                "what was written is not what the manifest holds: rows changed meanwhile",
                where=manifests.place(name, partition),
                seen=f"{part.rows:,} rows of content {part.content[:16]}, then {rows:,} of"
                f" {seen[:16]}",
                remedy="stop what writes, and start again in another folder",
            )
        written[partition] = File(file=file, rows=rows, sha256=checksum(path))
    return written
