"""The profile of a store: what it keeps and breaks of S3's rules, and what follows for a stack.

``profile.json`` is what other commands and Pulumi programs read; it holds no secrets.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from validation.errors import ConfigurationError
from validation.files import partial_of, write_whole
from validation.s3.conformance.model import Need
from validation.s3.conformance.runner import Finding
from validation.s3.conformance.table import CHECKS
from validation.s3.decisions import Decisions, decide
from validation.s3.reach import Reached
from validation.s3.speed import Speed
from validation.s3.workspace import Permissions, summary
from validation.target import Storage, Wal
from validation.verdict import Outcome

SCHEMA = "milvus-kit/s3-profile/1"


class StoreProfile(BaseModel):
    """What was found out about one store."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["milvus-kit/s3-profile/1"] = Field(default=SCHEMA, alias="schema")
    kit_version: str
    created: datetime
    seconds: float
    storage: dict[str, Any] = Field(description="the contract as declared, without its keys")
    server: str = Field(description="what the store calls itself")
    declared_wal: Wal | None = None
    allowed: dict[str, Any] = Field(default={}, description="what the checks were allowed to do")
    verdict: Outcome
    reason: str
    decisions: Decisions
    findings: tuple[Finding, ...]
    performance: tuple[Speed, ...] = ()
    no_performance: str = Field(default="", description="why it could not be measured")
    leftovers: tuple[str, ...] = Field(default=(), description="what could not be deleted")

    def finding(self, name: str) -> Finding:
        """Return what came of one check."""
        return next(finding for finding in self.findings if finding.id == name)


def compose(
    storage: Storage,
    reached: Reached,
    findings: Iterable[Finding],
    *,
    seconds: float,
    wal: Wal | None = None,
    permissions: Permissions | None = None,
    leftovers: Iterable[str] = (),
    performance: Iterable[Speed] = (),
    no_performance: str = "",
) -> StoreProfile:
    """Return the profile that findings make: a pure function of them but for the time."""
    found = tuple(findings)
    verdict, reason = judged(found, wal)
    return StoreProfile(
        kit_version=version("milvus-kit"),
        created=datetime.now(UTC),
        seconds=round(seconds, 2),
        storage=storage.model_dump(
            mode="json", exclude_none=True, exclude={"access_key", "secret_key"}
        ),
        server=reached.server,
        declared_wal=wal,
        allowed=dict(summary(permissions or Permissions())),
        verdict=verdict,
        reason=reason,
        decisions=decide(storage, found),
        findings=found,
        performance=tuple(performance),
        no_performance=no_performance,
        leftovers=tuple(leftovers),
    )


def required_of(findings: Iterable[Finding], wal: Wal | None = None) -> list[str]:
    """Return the checks that have to hold.

    What Milvus needs is required, and what was declared; what only Woodpecker needs is required
    where Woodpecker on this store was declared.
    """
    needs = {Need.MILVUS, Need.DECLARED}
    if wal is Wal.WOODPECKER_EMBEDDED:
        needs.add(Need.WOODPECKER)
    by = {finding.id: finding for finding in findings}
    return [
        one.id for one in CHECKS if one.need in needs and (one.id not in by or by[one.id].applies)
    ]


def judged(findings: Iterable[Finding], wal: Wal | None = None) -> tuple[Outcome, str]:
    """Return whether this store can carry Milvus, and why not.

    A required check that was not measured, or not run, leaves it open: never a pass.
    """
    by = {finding.id: finding for finding in findings}
    required = required_of(by.values(), wal)
    broken = [name for name in required if name in by and by[name].outcome is Outcome.FAIL]
    if broken:
        return Outcome.FAIL, f"{len(broken)} required rules are broken: {', '.join(broken)}"
    open_ = [name for name in required if name not in by or by[name].outcome is not Outcome.PASS]
    if open_:
        return Outcome.INCONCLUSIVE, f"required rules were not measured: {', '.join(open_)}"
    return Outcome.PASS, f"all {len(required)} required rules hold"


def require_writable(path: Path) -> None:
    """Make sure that a profile can be written there, before minutes are spent on measuring it.

    Raises:
        ConfigurationError: It cannot.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_of(path).touch()
        partial_of(path).unlink()
    except OSError as error:
        raise ConfigurationError(
            f"the profile cannot be written: {error.strerror or error}",
            where=f"--profile {path}",
            remedy="name a file in a folder of yours",
        ) from None


def save(profile: StoreProfile, path: Path) -> None:
    """Write a profile as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, profile.model_dump_json(indent=1, by_alias=True) + "\n")


def load(path: Path) -> StoreProfile:
    """Return the profile in a file.

    Raises:
        ConfigurationError: It cannot be read, or is no profile of this schema.
    """
    try:
        return StoreProfile.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        what = error.strerror if isinstance(error, OSError) else f"no profile of schema {SCHEMA}"
        raise ConfigurationError(
            f"cannot use the S3 profile: {what}",
            where=str(path),
            remedy="record it with `milvus-kit preflight --profile FILE`",
        ) from None
