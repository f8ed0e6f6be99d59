"""Make a running Milvus go over to another log, between two manifests.

Only from 3.0 on, only to embedded Woodpecker, never while another version than the declared one
runs. The mixcoord's management port is asked for the log that is in force before and after, so that
what is waited for is the switch itself and not the answer to the request. The log is the whole
server's and a manifest one database's: where another database holds anything, nothing is switched.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from validation.common.files import require_empty
from validation.common.progress import Progress
from validation.datasets.generated import generate
from validation.errors import (
    ConfigurationError,
    ExitCode,
    MeasurementError,
    MilvusKitError,
    UnsupportedError,
    UsageError,
)
from validation.milvus import loading, reading
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.ownership import collection_name, drop_ours
from validation.target import Wal
from validation.upgrade import described, differing, document, making, telling
from validation.upgrade.document import FILE, Manifest
from validation.upgrade.judging import why_not_declared
from validation.upgrade.management import NOW, Port
from validation.upgrade.recorded import Record

SINCE = (3, 0)
FROM = frozenset({Wal.ROCKSMQ, Wal.KAFKA, Wal.PULSAR})
ALIVE = collection_name("switch", "alive")
RECORD, BEFORE, AFTER = "log-switch.json", "before", "after"
_ROWS = 500


def switch(
    connection: Connection,
    folder: Path,
    management: str | None,
    progress: Progress,
    *,
    load: bool = False,
) -> ExitCode:
    """Switch the log to embedded Woodpecker; write a record if that is proved to have lost nothing.

    Nothing may write meanwhile. What broke off after the switch was asked for goes on with the same
    folder, whose manifest was made before: it waits for the new log, reads and compares.

    Args:
        connection: An open connection to the server.
        folder: Of both manifests and the record; new, or of a switch that broke off.
        management: Base URL of the mixcoord's port 9091; the target's ``metrics_uri`` if None.
        progress: Shows what is done.
        load: Load collections that are not, and release them again.

    Returns:
        Pass, fail where something differs, or inconclusive, where something cannot be read: then
        nothing is switched.

    Raises:
        UnsupportedError: This Milvus, or this log, cannot be switched.
        UsageError: The folder is of something else, no management port is known, or the database
            holds no collection, or it is not the only one that does.
        MeasurementError: It was not switched, or what it holds since is not known.
    """
    was = _require_switchable(connection)
    databases = _require_covered(connection)
    port = Port(management or connection.target.milvus.metrics_uri)
    before = _begun(connection, folder, port)
    asked = before is not None
    if before is None:
        require_empty(
            folder,
            f"give another folder with -o; one of a switch that broke off, once {NOW} is in force",
        )
        port.require_running(was)
        before = making.make(connection, folder / BEFORE, progress, load=load)
        if telling.made(before, folder / BEFORE) != ExitCode.PASS:
            return ExitCode.INCONCLUSIVE
    try:
        with progress.step(f"switch the log from {was} to {Wal.WOODPECKER_EMBEDDED}"):
            if not asked:
                port.alter()
            port.wait()
        with progress.step("write and read rows by the new log"):
            _alive(connection)
        after = making.make(connection, folder / AFTER, progress, load=load)
    except MilvusKitError as error:
        raise MeasurementError(
            f"the switch to {NOW} was asked for, and what the log holds since is not proved:"
            f" {error.sentence()}",
            where=connection.endpoint.name,
            remedy=f"let nothing write; once {NOW} is in force and Milvus answers, run the same"
            f" command with -o {folder} again: it goes on from the manifest of before",
        ) from None
    found = differing.differ(folder / BEFORE, folder / AFTER)
    ended = telling.differences(found)
    if ended == ExitCode.PASS:
        Record(
            target=connection.target.name,
            server=connection.server_version,
            proved=datetime.now(UTC),
            databases=databases,
            was=was,
            now=Wal.WOODPECKER_EMBEDDED,
            before=before.digest,
            after=after.digest,
            collections=found.collections,
            rows=found.held,
        ).save(folder / RECORD)
    return ended


def _begun(connection: Connection, folder: Path, port: Port) -> Manifest | None:
    """Return the manifest of before of a switch that broke off; None if there was none.

    Raises:
        ConfigurationError: It was changed.
        UsageError: It is of another server, or was compared already.
    """
    if not (folder / BEFORE / FILE).exists() or port.running() != NOW:
        return None
    found = document.load(folder / BEFORE)
    for key, now in (
        ("target", connection.target.name),
        ("server", connection.server_version),
        ("database", connection.endpoint.database),
    ):
        if getattr(found, key) != now:
            raise UsageError(
                f"the switch that broke off in this folder is of another {key}",
                where=str(folder),
                seen=getattr(found, key),
                remedy="name the folder of this one with -o",
            )
    for done, remedy in (
        (folder / RECORD, f"name {folder / RECORD} in migration.logSwitch"),
        (folder / AFTER / FILE, f"delete {folder / AFTER} to read and compare anew"),
    ):
        if done.exists():
            raise UsageError(
                "what the new log holds was read already", where=str(done), remedy=remedy
            )
    return found


def _require_covered(connection: Connection) -> list[str]:
    """Return all of the server's databases, if what they hold is all in this one.

    Raises:
        UsageError: Another holds collections, or this one holds none.
    """
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

    with connection.explained("list databases"):
        databases = sorted(connection.client.list_databases(timeout=connection.timeout))
    others = [
        name
        for name in databases
        if name != connection.endpoint.database
        and connection.wire.call(
            "ShowCollections",
            milvus_pb2.ShowCollectionsRequest(db_name=name),
            doing=f"list collections of database {name}",
        ).collection_names
    ]
    if others:
        raise UsageError(
            "the log is the whole server's, and what other databases hold would not be proved",
            where=f"{connection.endpoint.name}: database {connection.endpoint.database}",
            seen=", ".join(others),
            remedy="move what they hold to a stack of its own or into this database first"
            " (`milvus-kit backup`), or move all of it to a new stack with the other log",
        )
    if not described.collections(connection):
        raise UsageError(
            "there is no collection, so that nothing could be proved of a switch",
            where=f"{connection.endpoint.name}: database {connection.endpoint.database}",
            remedy="name the database that holds them (milvus.database); where none does, deploy"
            " a new stack with the other log",
        )
    return databases


def _require_switchable(connection: Connection) -> Wal:
    """Return the log that is declared, if it can be left.

    Raises:
        ConfigurationError: Another version runs than is declared, or no log is declared.
        UnsupportedError: The version or the log is none that can be.
    """
    where, seen = connection.endpoint.name, connection.server_version
    if connection.is_lite or connection.version < SINCE:
        raise UnsupportedError(
            "this Milvus keeps the log of its first start; the first that goes over to another"
            " while it runs is 3.0",
            where=where,
            seen=seen,
            remedy="upgrade to 3.0 with the log that it has, or move the data to a new stack"
            " (`milvus-kit backup`)",
        )
    wrong = why_not_declared(connection.target, seen)
    if wrong:
        raise ConfigurationError(
            f"{wrong}: a log is never switched in an upgrade",
            where=where,
            remedy="finish the upgrade, or correct milvus.version of the target",
        )
    was = connection.target.milvus.wal
    if was is None:
        raise ConfigurationError(
            "the target does not declare its log",
            where="milvus.wal",
            remedy=f"declare one of {', '.join(sorted(FROM))}",
        )
    if was not in FROM:
        raise UnsupportedError(
            "the one hop is from RocksMQ, Kafka or Pulsar to embedded Woodpecker",
            where="milvus.wal",
            seen=was.value,
            remedy="leave the log as it is, or move the data to a new stack (`milvus-kit backup`)",
        )
    return was


def _alive(connection: Connection) -> None:
    """Write rows and read them back: consumers that stayed with the old log would not see them."""
    dataset = generate(_ROWS, 8, queries=1)
    loading.load(connection, dataset, name=ALIVE, index=IndexSpec("FLAT"), run="switch-log")
    try:
        counted = reading.count(connection, ALIVE)
        if counted != _ROWS:
            raise MeasurementError(
                "rows that were written after the switch are not read",
                where=ALIVE,
                seen=f"{counted:,} of {_ROWS:,}",
            )
    finally:
        drop_ours(connection, ALIVE)
