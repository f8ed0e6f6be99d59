"""What is decided on the first day: a later change of it would lose data, so preview refuses it.

Milvus cannot change the type of its log in an upgrade, finds nothing under another bucket or root
path, and does not go back from a new major or minor version to an older one. The facts of the
first day are kept in a resource of their own, and each `preview` compares them with the settings.
"""

from __future__ import annotations

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
from infra.settings.services import Kafka, Woodpecker

REASONS = {
    "log": "an upgrade cannot change the type of the log; rows that are only in it would be lost",
    "bucket": "Milvus finds nothing in another bucket",
    "root_path": "Milvus finds nothing under another root path",
    "mode": "a standalone's and a cluster's metadata are not exchanged",
}
KEYS = {
    "log": "log.type",
    "bucket": "storage.bucket",
    "root_path": "storage.rootPath",
    "mode": "milvus.mode",
    "version": "milvus.version",
}
_REMEDY = (
    "go back to the earlier value, or deploy a new stack and move the data (milvus-backup); if the"
    " data has been moved already, `pulumi state delete` this resource"
)


def facts(settings: Settings) -> dict[str, str]:
    """Return what must not change."""
    log: Any = settings.log
    kind = f"{log.type}-{log.mode}" if isinstance(log, (Woodpecker, Kafka)) else log.type
    return {
        # Kafka is Kafka, wherever it runs, as long as its topics are the same.
        "log": log.type if isinstance(log, Kafka) else kind,
        "bucket": settings.storage.bucket,
        "root_path": settings.storage.root_path,
        "mode": settings.milvus.mode,
        "version": settings.milvus.version,
    }


class DayZeroProvider(Provider):
    """Compares the settings with the first day's."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse what cannot be changed."""
        failures = [
            CheckFailure(
                key, f"{KEYS[key]}: {reason} (was {_olds[key]!r}, now {news[key]!r}). -> {_REMEDY}"
            )
            for key, reason in REASONS.items()
            if key in _olds and _olds[key] != news[key]
        ]
        if "version" in _olds and _line(news["version"]) < _line(_olds["version"]):
            failures.append(
                CheckFailure(
                    "version",
                    f"{KEYS['version']}: metadata written by {_olds['version']} cannot be read by"
                    f" {news['version']}. -> {_REMEDY}",
                )
            )
        return CheckResult(news, failures)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Keep the facts."""
        return CreateResult("day-zero", props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Notice an upgrade."""
        return DiffResult(changes=any(olds.get(key) != news[key] for key in KEYS))

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
