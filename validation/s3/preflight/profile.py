"""The profile of a store: what it keeps and breaks of S3's rules, and what follows for a stack.

``profile.json`` is what other commands and Pulumi programs read; it holds no secrets.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from validation.common.files import partial_of, write_whole
from validation.common.resources import in_stacks, stacks_folders
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.s3.conformance.model import Need
from validation.s3.conformance.runner import Finding
from validation.s3.conformance.table import CHECKS
from validation.s3.preflight.decisions import Decisions, decide
from validation.s3.preflight.reach import Reached
from validation.s3.speed.figures import Speed
from validation.s3.workspace import Permissions, summary
from validation.target import Storage, Wal
from validation.verdicts.verdict import Outcome

SCHEMA = "milvus-kit/s3-profile/1"
_NAMED = 4
"""So many rules with one reason are named; of more, how many they are."""


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
        storage=_as_declared(storage),
        server=reached.server,
        declared_wal=wal,
        allowed=dict(summary(permissions or Permissions())),
        verdict=verdict,
        reason=reason,
        decisions=decide(storage, found, wal),
        findings=found,
        performance=tuple(performance),
        no_performance=no_performance,
        leftovers=tuple(leftovers),
    )


def _as_declared(storage: Storage) -> dict[str, Any]:
    """Return the contract without its keys, in the one spelling that stacks have."""
    data = storage.model_dump(mode="json", exclude_none=True, exclude={"access_key", "secret_key"})
    data["root_path"] = storage.root
    return data


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
        rules = "rule is" if len(broken) == 1 else "rules are"
        return Outcome.FAIL, f"{len(broken)} required {rules} broken: {', '.join(broken)}"
    open_ = [name for name in required if name not in by or by[name].outcome is not Outcome.PASS]
    if open_:
        return Outcome.INCONCLUSIVE, f"required rules were not measured: {_why(open_, by)}"
    return Outcome.PASS, f"all {len(required)} required rules hold"


def _why(names: Iterable[str], by: Mapping[str, Finding]) -> str:
    """Return rules with why they were not measured, a reason that many share told once."""
    shared: dict[str, list[str]] = {}
    for name in names:
        shared.setdefault(by[name].reason if name in by else "not run", []).append(name)
    return "; ".join(
        f"{', '.join(those)} ({reason})"
        if len(those) <= _NAMED
        else f"{reason} ({len(those)} rules, the first of them {those[0]})"
        for reason, those in shared.items()
    )


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
            where=f"--output {path}",
            remedy="name a file in a folder of yours",
        ) from None


def save(profile: StoreProfile, path: Path) -> None:
    """Write a profile as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, profile.model_dump_json(indent=1, by_alias=True) + "\n")


def name_in_stack(path: Path) -> str:
    """Return how a stack names a profile: relative to the stacks where it is among them."""
    path = path.absolute()
    for folder in stacks_folders():
        if path.is_relative_to(folder.absolute()):
            name = path.relative_to(folder.absolute())
            if in_stacks(name).absolute() == path:  # no other folder has one of that name
                return str(name)
    return str(path)


def load(path: Path) -> StoreProfile:
    """Return the profile in a file.

    Raises:
        ConfigurationError: It cannot be read, or is no profile of this schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
        refuse_newer(text, SCHEMA, "S3 profile", where=str(path))
        return StoreProfile.model_validate_json(text)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        what = error.strerror if isinstance(error, OSError) else f"no profile of schema {SCHEMA}"
        raise ConfigurationError(
            f"cannot use the S3 profile: {what}",
            where=str(path),
            remedy="record it with `milvus-kit preflight --output FILE`",
        ) from None
