"""Make a running Milvus go over to another log, between two manifests.

Only from 3.0 on, only to embedded Woodpecker, never while another version than the declared one
runs. The mixcoord's management port is asked for the log that is in force before and after
(``GET /management/config/get?keys=mq.type``), so that what is waited for is the switch itself and
not the answer to the request; see ``internal/coordinator/restful_mgr_routes.go`` of Milvus 3.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from validation.common.progress import Progress
from validation.datasets.generated import generate
from validation.errors import (
    ConfigurationError,
    ExitCode,
    MeasurementError,
    MilvusKitError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from validation.milvus import loading, reading
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.ownership import collection_name, drop_ours
from validation.milvus.waiting import poll
from validation.target import Wal
from validation.upgrade import differing, making, telling
from validation.upgrade.judging import why_not_declared
from validation.upgrade.recorded import Record

SINCE = (3, 0)
FROM = frozenset({Wal.ROCKSMQ, Wal.KAFKA, Wal.PULSAR})
ALIVE = collection_name("switch", "alive")
RECORD, BEFORE, AFTER = "log-switch.json", "before", "after"
_KEY, _NOW = "mq.type", "woodpecker"
_ANSWER_SECONDS, _SWITCH_SECONDS = 30.0, 300.0
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

    Nothing may write meanwhile.

    Args:
        connection: An open connection to the server.
        folder: New; of both manifests and the record.
        management: Base URL of the mixcoord's port 9091; the target's ``metrics_uri`` if None.
        progress: Shows what is done.
        load: Load collections that are not, and release them again.

    Returns:
        Pass, fail where something differs, or inconclusive, where something cannot be read: then
        nothing is switched.

    Raises:
        UnsupportedError: This Milvus, or this log, cannot be switched.
        UsageError: The folder is not empty, or no management port is known.
        MeasurementError: It was not switched, or what it holds since is not known.
    """
    was = _require_switchable(connection)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            "there is something in this folder already",
            where=str(folder),
            remedy="give another folder with -o",
        )
    port = _Port(management or connection.target.milvus.metrics_uri)
    port.require_running(was)
    before = making.make(connection, folder / BEFORE, progress, load=load)
    if telling.made(before, folder / BEFORE) != ExitCode.PASS:
        return ExitCode.INCONCLUSIVE
    with progress.step(f"switch the log from {was} to {Wal.WOODPECKER_EMBEDDED}"):
        port.alter()
        poll(
            lambda: port.running() == _NOW,
            seconds=_SWITCH_SECONDS,
            doing=f"switch the log to {_NOW}",
            where=port.base,
        )
    try:
        with progress.step("write and read rows by the new log"):
            _alive(connection)
        after = making.make(connection, folder / AFTER, progress, load=load)
    except MilvusKitError as error:
        raise MeasurementError(
            f"the log is {_NOW} now, and what it holds is not proved: {error.sentence()}",
            where=connection.endpoint.name,
            remedy=f"let nothing write; once Milvus answers, `milvus-kit manifest` and"
            f" `milvus-kit manifest diff {folder / BEFORE} AFTER` say what is there",
        ) from None
    found = differing.differ(folder / BEFORE, folder / AFTER)
    ended = telling.differences(found)
    if ended == ExitCode.PASS:
        Record(
            target=connection.target.name,
            server=connection.server_version,
            was=was,
            now=Wal.WOODPECKER_EMBEDDED,
            before=before.digest,
            after=after.digest,
            collections=found.collections,
            rows=found.held,
        ).save(folder / RECORD)
    return ended


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


class _Port:
    """The management port of a mixcoord."""

    def __init__(self, base: str | None) -> None:
        if base is None:
            raise UsageError(
                "it is not known where the mixcoord's management port is",
                where="--management",
                remedy="`kubectl port-forward` its port 9091, and give http://127.0.0.1:9091",
            )
        self.base = base.rstrip("/")

    def running(self) -> str:
        """Return the log in force."""
        answer = self._asked("GET", f"/management/config/get?keys={_KEY}")
        found = [one for one in answer.get("configs", []) if one.get("key") == _KEY]
        if not found or "value" not in found[0]:
            raise MeasurementError(
                f"the server does not say which log is in force ({_KEY})",
                where=self.base,
                seen=answer,
                remedy="a switch could not be confirmed, and none is made",
            )
        return str(found[0]["value"])

    def require_running(self, was: Wal) -> None:
        """Make sure that the declared log is the one in force.

        Raises:
            ConfigurationError: It is another.
        """
        seen = self.running()
        if seen not in {was.value, "default"}:  # what it is by default, it does not say
            raise ConfigurationError(
                f"the target declares the log {was}, and another is in force",
                where=self.base,
                seen=seen,
                remedy="correct milvus.wal of the target",
            )

    def alter(self) -> None:
        """Ask for the switch."""
        self._asked("POST", "/management/wal/alter", {"target_wal_name": _NOW})

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        import httpx  # noqa: PLC0415  (slow to import)

        where = f"{self.base}{path.partition('?')[0]}"
        try:
            answer = httpx.request(
                method, self.base + path, json=body, timeout=_ANSWER_SECONDS, trust_env=False
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"the management port does not answer: {type(error).__name__}",
                where=where,
                remedy="give the base URL of the mixcoord's (or standalone's) port 9091",
            ) from None
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.status_code != httpx.codes.OK or not isinstance(content, dict):
            raise MeasurementError(
                "the management port refused",
                where=where,
                seen=f"HTTP {answer.status_code} {content or answer.text[:200]}",
                remedy="other roles do not serve it: give the mixcoord's port; look in its log",
            )
        return content


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
