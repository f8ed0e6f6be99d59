"""Runs checks one after the other and keeps what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, ConfigDict

from validation.errors import MilvusKitError, UnreachableError, UnsupportedError, UsageError
from validation.s3.client import FULL, THROTTLED, error_code, status_of
from validation.s3.conformance.model import Check, Need, RuleBroken
from validation.s3.workspace import BusyError, Workspace
from validation.verdict import Outcome

_TRIES = 3
_TRANSPORT = (boto.BotoCoreError, UnreachableError, ResponseParserError)


class Finding(BaseModel):
    """What came of one check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    by: str
    breaks: str
    need: Need
    outcome: Outcome
    reason: str = ""
    evidence: dict[str, Any] = {}
    seconds: float = 0.0


def run(
    space: Workspace,
    checks: Iterable[Check],
    *,
    tell: Callable[[Finding], None] = lambda _: None,
) -> list[Finding]:
    """Run checks.

    Args:
        space: Where they work.
        checks: In their order.
        tell: Called with each finding as it comes.

    Returns:
        One finding a check. When the store goes away, the rest is "not measured".
    """
    findings: list[Finding] = []
    gone = ""
    for check in checks:
        started = time.monotonic()
        if gone:
            outcome = (Outcome.NOT_MEASURED, gone, {})
        else:
            outcome = _measured(space, check)
            if outcome[0] is Outcome.FAIL and outcome[2].get("transport"):
                gone = _gone(space)
                outcome = (Outcome.NOT_MEASURED, gone, {}) if gone else outcome
        findings.append(finding(check, *outcome, seconds=time.monotonic() - started))
        tell(findings[-1])
    return findings


def finding(
    check: Check,
    outcome: Outcome,
    reason: str = "",
    evidence: dict[str, Any] | None = None,
    *,
    seconds: float = 0.0,
) -> Finding:
    """Return the finding of a check."""
    return Finding(
        id=check.id,
        title=check.title,
        by=check.by,
        breaks=check.breaks,
        need=check.need,
        outcome=outcome,
        reason=reason,
        evidence=evidence or {},
        seconds=round(seconds, 4),
    )


def _measured(space: Workspace, check: Check) -> tuple[Outcome, str, dict[str, Any]]:
    """Run one check, again if the store was too busy to answer."""
    for turn in range(_TRIES):
        try:
            return _once(space, check)
        except BusyError:
            time.sleep(0.2 * 4**turn)
    return Outcome.NOT_MEASURED, f"the store was too busy to answer, {_TRIES} times", {}


def _once(space: Workspace, check: Check) -> tuple[Outcome, str, dict[str, Any]]:
    try:
        evidence = check.function(space)
    except RuleBroken as broken:
        return Outcome.FAIL, str(broken), broken.evidence
    except (UnsupportedError, UsageError) as error:
        return Outcome.NOT_MEASURED, error.what, {}
    except boto.ClientError as error:
        code, status = error_code(error), status_of(error)
        if code in THROTTLED or status in {429, 503}:
            raise BusyError(code) from None
        if code in FULL or status == 507:  # noqa: PLR2004
            return Outcome.NOT_MEASURED, "the store is full", {"code": code}
        said = f"{error.operation_name} answered {status} {code}"
        return Outcome.FAIL, said, {"status": status, "code": code}
    except _TRANSPORT as error:
        said = error.what if isinstance(error, MilvusKitError) else type(error).__name__
        return Outcome.FAIL, f"the answer broke off or was not S3: {said}", {"transport": True}
    return Outcome.PASS, "", dict(evidence or {})


def _gone(space: Workspace) -> str:
    """Return why nothing more can be measured; empty if the store still answers."""
    try:
        space.s3.head_bucket(Bucket=space.bucket)
    except _TRANSPORT as error:
        return f"the store went away: {type(error).__name__}"
    except boto.ClientError:
        return ""
    return ""
