"""Make the collections of a backup again, and prove by a manifest that they are those."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from validation.backup import document, files, milvus_backup, schemas
from validation.backup.document import MANIFEST, Backup, Collection
from validation.common.files import require_empty
from validation.common.progress import Progress
from validation.errors import MeasurementError, UsageError
from validation.milvus import indexing, loading
from validation.milvus.connection import Connection
from validation.milvus.waiting import Report
from validation.upgrade import described, differing, making
from validation.upgrade.differing import Differences

_DEFAULT = "_default"
_TTL = "collection.ttl.seconds"
_INSERT_SECONDS = 120


def restore(
    connection: Connection,
    folder: Path,
    after: Path,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    beside: bool = False,
) -> Differences:
    """Restore collections, and return how what is there now differs from what was backed up.

    Nothing is written before all of the backup has been found whole.

    Args:
        connection: An open connection to the server.
        folder: The backup's.
        after: Where the manifest of what was restored is kept.
        progress: Shows how far it is.
        only: These collections alone.
        beside: Whether others may be in the database already.

    Raises:
        ConfigurationError: The backup was cut short or changed, or is of a newer kit.
        UsageError: There are collections already, a name is none of the backup's, or there is
            something where the manifest is to be kept.
        MeasurementError: The server refused a step.
    """
    require_empty(after, "give another folder with -o, or delete this one")
    with progress.step("read every file of the backup"):
        backup = document.load(folder)
    names = _chosen(backup, only)
    _require_free(connection, backup, names, beside=beside)
    if backup.copied:
        _require_same_database(connection, backup)
        with progress.step(f"let milvus-backup restore {len(names)} collections"):
            milvus_backup.restore(connection, names, backup.copied)
    for name in names:
        made = backup.collections[name]
        with progress.step(f"restore {name}") as step:
            if not backup.copied:
                _collection(connection, folder, name, made, step)
            _aliases(connection, name, made)
            loading.load_for_search(connection, name, report=step)
    making.make(connection, after, progress, only=names, rows_alone=True)
    for name in names:
        if not backup.collections[name].loaded:  # it was loaded to be read
            described.release(connection, name)
    found = differing.differ(folder / MANIFEST, after, only=names, restored=True)
    found.notes += [note for name in names for note in _notes(name, backup.collections[name])]
    return found


def _notes(name: str, made: Collection) -> list[str]:
    """Return what a restored collection does not have as it was, and no manifest shows."""
    notes = []
    replicas, groups = (made.settings.get(key, 0) for key in ("replicas", "resource_groups"))
    if replicas > 1 or groups:
        within = f" in {groups} resource groups" if groups else ""
        notes.append(
            f"{name} was loaded {replicas} times{within}, and is once, in the default group: load"
            " it as it was"
        )
    seconds = made.properties.get(_TTL)
    if seconds:
        notes.append(
            f"{name}: its rows expire {seconds} s after this restore, not after they were first"
            f" written ({_TTL})"
        )
    return notes


def _chosen(backup: Backup, only: Sequence[str]) -> list[str]:
    unknown = [name for name in only if name not in backup.collections]
    if unknown:
        raise UsageError(
            "the backup holds no such collection",
            where="--collection",
            seen=unknown[0],
            remedy=f"name one of {', '.join(backup.collections)}",
        )
    return list(dict.fromkeys(only)) or list(backup.collections)


def _require_free(
    connection: Connection, backup: Backup, names: Sequence[str], *, beside: bool
) -> None:
    """Make sure that nothing is overwritten or mixed up.

    Raises:
        UsageError: It would be.
    """
    there = described.collections(connection)
    wanted = {*names, *(alias for name in names for alias in backup.collections[name].aliases)}
    taken = [name for name in there if name in wanted or not beside]
    with connection.explained("look for the names of the backup"):
        taken += [
            name
            for name in sorted(wanted - {*taken})
            if connection.client.has_collection(name, timeout=connection.timeout)
        ]
    if taken:
        raise UsageError(
            "there are collections already, and nothing is restored over them"
            if not beside
            else "names of the backup are taken already",
            where=f"{connection.endpoint.name}: database {connection.endpoint.database}",
            seen=", ".join(taken),
            remedy="restore into an empty database (milvus.database of the target); --beside allows"
            " collections of other names there",
        )


def _require_same_database(connection: Connection, backup: Backup) -> None:
    if backup.database != connection.endpoint.database:
        raise UsageError(
            "what milvus-backup copied is restored into the database of its name",
            where="milvus.database",
            seen=connection.endpoint.database,
            remedy=f"name {backup.database} in the target",
        )


def _aliases(connection: Connection, name: str, made: Collection) -> None:
    there = described.collection(connection, name)[0].aliases
    for alias in made.aliases:
        if alias not in there:
            with connection.explained(f"create alias {alias}"):
                connection.client.create_alias(name, alias, timeout=connection.timeout)


def _collection(
    connection: Connection, folder: Path, name: str, made: Collection, step: Report
) -> None:
    fields = schemas.fields_of(made, where=name)
    _create(connection, name, made)
    sent = 0
    for partition, file in made.partitions.items():
        for batch in files.batches(folder / file.file):
            _insert(connection, name, partition, fields.messages(batch), batch.num_rows)
            sent += batch.num_rows
            step(f"{sent:,} of {made.rows:,} rows")
    if sent:
        loading.flush(connection, name)
    for index in made.indexes:
        again = functools.partial(_index, connection, name, index)
        again()
        indexing.wait(connection, name, index["name"], again, report=step)


def _create(connection: Connection, name: str, made: Collection) -> None:
    from google.protobuf import json_format  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen import milvus_pb2, schema_pb2  # noqa: PLC0415

    try:
        schema = json_format.ParseDict(made.schema_, schema_pb2.CollectionSchema())
    except json_format.ParseError as error:
        raise MeasurementError(
            f"the schema holds what this version of pymilvus does not know: {error}",
            where=name,
            remedy="restore with the version of milvus-kit that made the backup",
        ) from None
    schema.ClearField("dbName")
    for numbered in (*schema.fields, *schema.functions):  # the server numbers them itself
        for number in ("fieldID", "id", "input_field_ids", "output_field_ids"):
            if number in numbered.DESCRIPTOR.fields_by_name:
                numbered.ClearField(number)
    by_key = any(field.is_partition_key for field in schema.fields)
    request = milvus_pb2.CreateCollectionRequest(
        db_name=connection.endpoint.database,
        collection_name=name,
        schema=schema.SerializeToString(),
        shards_num=made.settings["shards_num"],
        consistency_level=cast("Any", made.settings["consistency_level"]),
        properties=_pairs(made.properties),
        num_partitions=made.settings["num_partitions"] if by_key else 0,
    )
    connection.wire.call("CreateCollection", request, doing=f"create collection {name}")
    for partition in made.partitions:
        if partition not in {"", _DEFAULT}:
            with connection.explained(f"create partition {partition} of {name}"):
                connection.client.create_partition(name, partition, timeout=connection.timeout)


def _insert(
    connection: Connection, name: str, partition: str, messages: list[Any], rows: int
) -> None:
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

    request = milvus_pb2.InsertRequest(
        db_name=connection.endpoint.database,
        collection_name=name,
        partition_name=partition,
        fields_data=messages,
        num_rows=rows,
    )
    doing = f"insert rows into {name}"
    answer = connection.wire.call("Insert", request, doing=doing, timeout=_INSERT_SECONDS)
    if answer.insert_cnt != rows:
        raise MeasurementError(
            "the server acknowledged other rows than were sent",
            where=f"{connection.endpoint.name}: collection {name}",
            seen=f"{answer.insert_cnt} of {rows} rows",
            remedy="look in Milvus's proxy log",
        )


def _index(connection: Connection, name: str, index: dict[str, Any]) -> None:
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

    request = milvus_pb2.CreateIndexRequest(
        db_name=connection.endpoint.database,
        collection_name=name,
        field_name=index["field"],
        index_name=index["name"],
        extra_params=_pairs(index["parameters"]),
    )
    connection.wire.call("CreateIndex", request, doing=f"build index {index['name']} of {name}")


def _pairs(values: dict[str, str]) -> list[Any]:
    from pymilvus.grpc_gen import common_pb2  # noqa: PLC0415  (slow to import)

    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]
