"""What is decided on the first day: a later change of it would lose data, so preview refuses it.

Milvus cannot change the type of its log in an upgrade, finds nothing under another bucket or root
path, and does not go back from a new major or minor version to an older one; etcd does not become
larger by being declared larger, and volumes do not follow their claims. The facts of the first day
are kept in a resource of their own, and each `preview` compares them with the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
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

from infra.provider import Provider
from infra.settings import Settings
from infra.settings.model import Volume
from infra.settings.services import Kafka, Woodpecker
from infra.settings.storage import Minio

_OLD_DATA = (
    "go back to the earlier value, or deploy a new stack and move the data (milvus-backup); if the"
    " data has been moved already, `pulumi state delete` this resource"
)
_OLD_CLAIMS = (
    "go back to the earlier value; enlarge the PersistentVolumeClaims themselves with kubectl,"
    " where their storage class allows it"
)


@dataclass(frozen=True)
class Fact:
    """One thing that is decided on the first day: its key, why it stays, and what to do."""

    key: str
    reason: str
    remedy: str = _OLD_DATA


_CLAIMS = (
    "a StatefulSet's claims cannot be changed: it would be deleted and made anew, with its data"
)
FACTS = {
    "log": Fact(
        "log.type",
        "an upgrade cannot change the type of the log; rows that are only in it would be lost",
    ),
    "bucket": Fact("storage.bucket", "Milvus finds nothing in another bucket"),
    "root_path": Fact("storage.rootPath", "Milvus finds nothing under another root path"),
    "mode": Fact("milvus.mode", "a standalone's and a cluster's metadata are not exchanged"),
    "namespace": Fact("kubernetes.namespace", "etcd's volumes, and what is in them, stay behind"),
    "members": Fact(
        "etcd.members", "new members that are only declared would be a second, empty etcd"
    ),
    "etcd_volume": Fact("etcd.volume", _CLAIMS, _OLD_CLAIMS),
    "data_volume": Fact("milvus.dataVolume", _CLAIMS, _OLD_CLAIMS),
    "storage_volume": Fact("storage.volume", _CLAIMS, _OLD_CLAIMS),
    "log_volume": Fact("log.volume", _CLAIMS, _OLD_CLAIMS),
}
VERSION = "milvus.version"


def facts(settings: Settings) -> dict[str, str]:
    """Return what must not change; empty where there is no such thing."""
    log: Any = settings.log
    kind = f"{log.type}-{log.mode}" if isinstance(log, (Woodpecker, Kafka)) else log.type
    serving = isinstance(log, (Woodpecker, Kafka)) and log.mode in {"service", "create"}
    minio = settings.storage if isinstance(settings.storage, Minio) else None

    def claim(volume: Volume | None) -> str:
        if volume is None:
            return ""
        named = volume.storage_class or settings.kubernetes.storage_class
        return f"{volume.size} of {named}" if named else volume.size

    return {
        # Kafka is Kafka, wherever it runs, as long as its topics are the same.
        "log": log.type if isinstance(log, Kafka) else kind,
        "bucket": settings.storage.bucket,
        "root_path": settings.storage.root_path,
        "mode": settings.milvus.mode,
        "namespace": settings.kubernetes.namespace,
        "members": str(settings.etcd.members),
        "etcd_volume": claim(settings.etcd.volume),
        "data_volume": claim(settings.milvus.data_volume),
        "storage_volume": claim(minio.volume if minio else None),
        "log_volume": claim(log.volume if serving else None),
        "version": settings.milvus.version,
    }


class DayZeroProvider(Provider):
    """Compares the settings with the first day's."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse what cannot be changed."""
        failures = [
            CheckFailure(
                name,
                f"{fact.key}: {fact.reason} (was {_olds[name]!r}, now {news[name]!r})."
                f" -> {fact.remedy}",
            )
            for name, fact in FACTS.items()
            # State of an earlier release knows fewer facts; what was not there can come, or go.
            if _olds.get(name) and news[name] and _olds[name] != news[name]
        ]
        if "version" in _olds and _line(news["version"]) < _line(_olds["version"]):
            failures.append(
                CheckFailure(
                    "version",
                    f"{VERSION}: metadata written by {_olds['version']} cannot be read by"
                    f" {news['version']}. -> {_OLD_DATA}",
                )
            )
        return CheckResult(news, failures)

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


def _line(version: str) -> tuple[int, ...]:
    """Return a release line: patch releases of one line read each other's metadata."""
    return tuple(int(part) for part in version.split(".")[:2])


class DayZero(Resource, name="DayZero"):
    """The facts of the first day."""

    def __init__(self, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(DayZeroProvider(), "day-zero", dict(facts(settings)), opts)
