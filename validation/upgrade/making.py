"""Make the manifest of a database: every row read once, in bounded memory, and resumable."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from validation.common.progress import Progress
from validation.errors import MeasurementError, MilvusKitError, UsageError
from validation.milvus import loading, manifest, reading
from validation.milvus.connection import Connection
from validation.upgrade import described, rows
from validation.upgrade.canonical import column_of, fingerprints
from validation.upgrade.document import FILE, PROGRESS, ROWS, Manifest, Partition, place, read
from validation.upgrade.rows import Rows

CHUNK_ROWS = 1 << 17
NOT_LOADED = "it is not loaded, so that no row of it can be read"


def make(
    connection: Connection,
    folder: Path,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    load: bool = False,
    go_on: bool = False,
    rows_alone: bool = False,
) -> Manifest:
    """Make a manifest, or finish one that was cut short in this folder.

    Nothing may write meanwhile: a server of before 2.4 gives no view of one moment.

    Args:
        connection: An open connection to the server.
        folder: Where it is kept.
        progress: Shows how far it is.
        only: Of these collections alone.
        load: Load a collection that is not, and release it again.
        go_on: Note a collection that cannot be read to its end and go on with the next, for who
            cannot take it up again later.
        rows_alone: Leave out users, roles and the objects of the bucket.

    Raises:
        UsageError: There is a finished one in the folder, or one of another server.
        MeasurementError: Rows changed while they were read, or cannot be read; the same call again
            goes on where it was.
    """
    if (folder / FILE).exists():
        raise UsageError(
            "there is a manifest already",
            where=str(folder),
            remedy="give another folder with -o, or delete this one",
        )
    folder.mkdir(parents=True, exist_ok=True)
    begun = _begun(connection, folder, only, access=not rows_alone)
    making = _Making(connection, folder, progress, begun, go_on)
    making.save()  # what was served, before anything is loaded
    for name in making.done.collections:
        making.collection(name, load=load)
    made = making.done
    if connection.target.storage is not None and not rows_alone:
        with progress.step("list the bucket"):
            number = _number(connection, next(iter(made.collections), ""))
            made.objects = described.objects(connection.target.storage, number)
    made = made.sealed()
    made.save(folder / FILE)
    (folder / PROGRESS).unlink(missing_ok=True)
    return made


def _begun(connection: Connection, folder: Path, only: Sequence[str], *, access: bool) -> Manifest:
    """Return what is known before any row is read, with what an earlier try has read."""
    names = described.collections(connection)
    unknown = [name for name in only if name not in names]
    if unknown:
        raise UsageError(
            "there is no such collection",
            where=connection.endpoint.name,
            seen=unknown[0],
            remedy=f"name one of {', '.join(names) or 'none: the database is empty'}",
        )
    made = Manifest(
        kit_version=version("milvus-kit"),
        target=connection.target.name,
        server=connection.server_version,
        database=connection.endpoint.database,
        collections={name: described.collection(connection, name)[0] for name in only or names},
    )
    if access and connection.target.milvus.auth is not None:
        try:
            made.users, made.roles = described.access(connection)
        except MilvusKitError as error:
            made.access_not_read = error.sentence().partition("\n")[0]
    if (folder / PROGRESS).exists():
        _taken_up(made, read(folder / PROGRESS), str(folder))
    return made


def _taken_up(made: Manifest, before: Manifest, where: str) -> None:
    """Take over what was read before, if it is of the same server as it still is."""
    for key in ("target", "server", "database"):
        if getattr(made, key) != getattr(before, key):
            raise UsageError(
                f"a manifest of another {key} was begun in this folder",
                where=where,
                seen=getattr(before, key),
                remedy="give another folder with -o, or delete this one",
            )
    for name, one in before.collections.items():
        now = made.collections.get(name)
        bare = {"partitions", "served", "fields", "not_read"}
        if now is None:
            continue
        now.served = one.served  # an earlier try may have loaded it
        if now.model_dump(exclude=bare) != one.model_dump(exclude=bare):
            continue
        for partition in now.partitions:
            now.partitions[partition] = one.partitions.get(partition, Partition())


@dataclasses.dataclass
class _Making:
    connection: Connection
    folder: Path
    progress: Progress
    done: Manifest
    go_on: bool = False

    def collection(self, name: str, *, load: bool) -> None:
        """Read the rows of a collection, or note why not."""
        made, fields = self.done.collections[name], described.collection(self.connection, name)[1]
        with contextlib.ExitStack() as cleanup:
            if not described.is_loaded(self.connection, name):
                if not load:
                    made.not_read = NOT_LOADED
                    return
                try:
                    loading.load_for_search(self.connection, name)
                except MilvusKitError as error:
                    made.not_read = error.sentence().partition("\n")[0]
                    return
                cleanup.callback(self._release, name)
            self._read(name, fields)

    def _read(self, name: str, fields: Sequence[Mapping[str, Any]]) -> None:
        made = self.done.collections[name]
        table = reading.table_of(self.connection, name, fields)
        made.fields = sorted(table.columns)
        for partition, part in made.partitions.items():
            try:
                counted = reading.count(self.connection, name, partition=partition)
            except MilvusKitError as error:
                # It is refused where a partition alone is not loaded.
                refused = isinstance(error, MeasurementError)
                if not refused and not self.go_on:
                    raise
                made.served = made.served and not refused
                made.not_read = error.sentence().partition("\n")[0]
                return
            if part.chunks and part.counted != counted:
                part = made.partitions[partition] = Partition()  # noqa: PLW2901  (another now)
            part.counted = counted
            if part.complete:
                continue
            title = f"read {name}" + (f", partition {partition}" * (len(made.partitions) > 1))
            try:
                with self.progress.step(title) as step:
                    self._partition(
                        dataclasses.replace(table, partition=partition, decoded=column_of),
                        part,
                        f"{ROWS}/{name}/{partition or 'all'}",
                        step,
                    )
                again = reading.count(self.connection, name, partition=partition)
            except MilvusKitError as error:
                if not self.go_on:
                    raise
                made.not_read = error.sentence().partition("\n")[0]
                return
            if again != counted:
                raise MeasurementError(
                    "rows were written while they were read",
                    where=place(name, partition),
                    seen=f"{counted:,} rows before, {again:,} after",
                    remedy="stop what writes, and run the same command again",
                )
            part.complete = True
            self.save()

    def _partition(self, table: reading.Table, part: Partition, name: str, step: Any) -> None:
        after = None
        for last in rows.read(self.folder, part.chunks[-1:]):
            after = last.keys[-1]
        for chunk in _chunks(hashed(table, after)):
            part.content = _sum(part.content, chunk.content)
            part.keys = _sum(part.keys, chunk.key_set)
            part.rows += len(chunk)
            written = rows.write(self.folder, f"{name}.{len(part.chunks):05}.npz", chunk)
            part.chunks.append(written)
            self.save()
            step(f"{part.rows:,} of {part.counted:,} rows")

    def _release(self, name: str) -> None:
        described.release(self.connection, name)

    def save(self) -> None:
        """Keep what is known so far."""
        self.done.save(self.folder / PROGRESS)


def hashed(table: reading.Table, after: Any = None) -> Iterator[Rows]:
    """Yield the hashed rows of a collection or partition, page by page.

    Args:
        table: Of which rows; it decodes by `column_of`.
        after: Begin after this key.
    """
    for page in _ahead(table.pages(reading.Range(), after)):
        keys, hashes = manifest.hashed(page, table.key)
        yield Rows(keys, hashes, fingerprints(page))


def _ahead(pages: Iterator[reading.Rows]) -> Iterator[reading.Rows]:
    """Yield pages while the next one is fetched already."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(next, pages, None)
        while (page := job.result()) is not None:
            job = pool.submit(next, pages, None)
            yield page


def _chunks(pages: Iterator[Rows]) -> Iterator[Rows]:
    """Yield pages in pieces that are worth a file."""
    held: list[Rows] = []
    for page in pages:
        held.append(page)
        if sum(map(len, held)) >= CHUNK_ROWS:
            yield rows.joined(held)
            held = []
    if held:
        yield rows.joined(held)


def _sum(total: str, more: int) -> str:
    return f"{(int(total, 16) + more) % (1 << 128):032x}"


def _number(connection: Connection, name: str) -> int:
    if not name:
        return 0
    return int(reading.described(connection, name)["collection_id"])
