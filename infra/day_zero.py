"""What is decided on the first day: a later change of it would lose data, so preview refuses it.

Milvus cannot change the type of its log in an upgrade (`log_change` says when it can), finds
nothing under another bucket or root path, and does not go back from a new major or minor version to
an older one; etcd does not become larger by being declared larger, and volumes do not follow their
claims. The facts of the first day
are kept in a resource of their own, and each `preview` compares them with the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from infra import log_change
from infra.milvus.roles.topology import refuse_unsupported
from infra.provider import Provider
from infra.settings import Settings
from infra.settings.model import Volume
from infra.settings.services import Kafka, Pulsar, Woodpecker
from infra.settings.storage import Minio
from validation.common.resources import in_stacks
from validation.errors import ConfigurationError

_BACK = "go back to the earlier value"


def _moved(key: str) -> str:
    """Return what to do about a change that is right once the data has been moved."""
    return (
        f"{_BACK}, or deploy a new stack and move the data (milvus-backup); if the data is where"
        f" the new value says already, add {key} to migration.accept for one `pulumi up`"
    )


_OLD_CLAIMS = (
    f"{_BACK}; enlarge the PersistentVolumeClaims themselves with kubectl,"
    " where their storage class allows it"
)


@dataclass(frozen=True)
class Fact:
    """One thing that is decided on the first day: its key, why it stays, and what to do.

    Without a remedy of its own it may change once the data has been moved.
    """

    key: str
    reason: str
    own_remedy: str = ""

    @property
    def remedy(self) -> str:
        """Return what to do."""
        return self.own_remedy or _moved(self.key)


_CLAIMS = (
    "a StatefulSet's claims cannot be changed: it would be deleted and made anew, with its data"
)
FACTS = {
    "log": Fact(
        "log.type",
        "another Kafka does not hold what is only in the earlier one, which would be lost",
    ),
    "topics": Fact("log.namespace", "Milvus finds nothing in another tenant or namespace"),
    "bucket": Fact("storage.bucket", "Milvus finds nothing in another bucket"),
    "root_path": Fact("storage.rootPath", "Milvus finds nothing under another root path"),
    "mode": Fact("milvus.mode", "a standalone's and a cluster's metadata are not exchanged"),
    "namespace": Fact("kubernetes.namespace", "etcd's volumes, and what is in them, stay behind"),
    "members": Fact(
        "etcd.members", "new members that are only declared would be a second, empty etcd", _BACK
    ),
    "etcd_volume": Fact("etcd.volume", _CLAIMS, _OLD_CLAIMS),
    "data_volume": Fact("milvus.dataVolume", _CLAIMS, _OLD_CLAIMS),
    "storage_volume": Fact("storage.volume", _CLAIMS, _OLD_CLAIMS),
    "log_volume": Fact("log.volume", _CLAIMS, _OLD_CLAIMS),
}
VERSION = "milvus.version"


def facts(settings: Settings) -> dict[str, str]:
    """Return what must not change; empty where there is no such thing."""
    log = settings.log
    kind = f"{log.type}-{log.mode}" if isinstance(log, (Woodpecker, Kafka)) else log.type
    topics = f"{log.tenant}/{log.namespace}" if isinstance(log, Pulsar) else ""
    serving = (
        log if isinstance(log, (Woodpecker, Kafka)) and log.mode in {"service", "create"} else None
    )
    minio = settings.storage if isinstance(settings.storage, Minio) else None

    def claim(volume: Volume | None) -> str:
        if volume is None:
            return ""
        named = volume.storage_class or settings.kubernetes.storage_class
        return f"{volume.size} of {named}" if named else volume.size

    return {
        "log": kind,
        "topics": topics,
        "bucket": settings.storage.bucket,
        "root_path": settings.storage.root_path,
        "mode": settings.milvus.mode,
        "namespace": settings.kubernetes.namespace,
        "members": str(settings.etcd.members),
        "etcd_volume": claim(settings.etcd.volume),
        "data_volume": claim(settings.milvus.data_volume),
        "storage_volume": claim(minio.volume if minio else None),
        "log_volume": claim(serving.volume if serving else None),
        "version": settings.milvus.version,
    }


class DayZeroProvider(Provider):
    """Compares the settings with the first day's."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse what cannot be changed, unless the settings accept it."""
        # Heeded once and not kept: it is no fact, and its absence later is no change.
        accepted = news.get("accept") or []
        kept = {name: value for name, value in news.items() if name not in {"accept", "switched"}}
        # State of an earlier release does not know since when it is there, and never will.
        if not _olds:
            kept["since"] = datetime.now(UTC).isoformat()
        elif "since" in _olds:
            kept["since"] = _olds["since"]
        failures = [
            CheckFailure(
                name,
                f"{fact.key}: {fact.reason} (was {_olds[name]!r}, now {kept[name]!r})."
                f" -> {fact.remedy}",
            )
            for name, fact in FACTS.items()
            if fact.key not in accepted and _changed(_olds.get(name), kept[name])
            if name != "log" or not log_change.is_another_type(_olds[name], kept[name])
        ]
        failures += _log_refused(_olds, kept, news.get("switched"))
        if "version" in _olds and VERSION not in accepted:
            failures += _refused(_olds["version"], kept["version"])
        return CheckResult(kept, failures)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Keep the facts."""
        return CreateResult("day-zero", props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Notice an upgrade."""
        return DiffResult(
            changes=any(olds.get(key) != news[key] for key in news if key != "__provider")
        )

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Keep the facts of the upgraded deployment."""
        return UpdateResult(news)


def _changed(old: str | None, new: str) -> bool:
    """Tell whether a fact is another one now; what was not there can come, and go.

    State of an earlier release knows fewer facts, and of a Kafka not whether it is the kit's own.
    """
    if not old or not new:
        return False
    return new not in {old, f"{old}-create", f"{old}-adopt"}


def _log_refused(
    olds: dict[str, Any], news: dict[str, Any], switched: dict[str, Any] | None
) -> list[CheckFailure]:
    """Return why a running Milvus is not given another type of log, if it is not."""
    old, new = olds.get("log"), news["log"]
    if not (old and _changed(old, new) and log_change.is_another_type(old, new)):
        return []
    reason = log_change.refused(olds, news, switched)
    key = FACTS["log"].key
    return [CheckFailure("log", f"{key} (was {old!r}, now {new!r}): {reason}")] if reason else []


def _refused(old: str, new: str) -> list[CheckFailure]:
    """Return why a running version cannot become another, if it cannot."""
    if _line(new) < _line(old):
        reason = f"metadata written by {old} cannot be read by {new}. -> {_moved(VERSION)}"
        return [CheckFailure("version", f"{VERSION}: {reason}")]
    try:
        refuse_unsupported(old, new)
    except ConfigurationError as error:
        return [CheckFailure("version", f"{VERSION}: {error.what}. -> {error.remedy}")]
    return []


def _line(version: str) -> tuple[int, ...]:
    """Return a release line: patch releases of one line read each other's metadata."""
    return tuple(int(part) for part in version.split(".")[:2])


class DayZero(Resource, name="DayZero"):
    """The facts of the first day."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        props: dict[str, Any] = {**facts(settings), "accept": list(settings.migration.accept)}
        if settings.migration.log_switch:
            from validation.upgrade import recorded  # noqa: PLC0415  (seldom needed)

            record = recorded.of_stack(in_stacks(settings.migration.log_switch), pulumi.get_stack())
            props["switched"] = {name: getattr(record, name) for name in ("was", "now", "server")}
            props["switched"]["proved"] = record.proved.isoformat()
        super().__init__(DayZeroProvider(), "day-zero", props, opts)
