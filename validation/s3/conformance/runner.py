"""Runs checks one after the other and keeps what came of each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, ConfigDict

from validation.errors import MilvusKitError, UnreachableError, UnsupportedError, UsageError
from validation.s3.conformance.model import Check, Need, NotDeclaredError, RuleBroken
from validation.s3.failures import error_code, is_full, is_throttled, status_of
from validation.s3.workspace import BusyError, Workspace
from validation.verdict import Outcome

_TRANSPORT = (boto.BotoCoreError, UnreachableError, ResponseParserError, OSError)
_UNREADABLE = (ValueError, TypeError, OverflowError)
"""What boto3 raises, as it is, for a time or a number in an answer that is none."""


class Finding(BaseModel):
    """What came of one check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    by: str
    breaks: str
    need: Need
    outcome: Outcome
    applies: bool = True
    """False if what the rule is about was not declared, or is not used on this endpoint."""
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
        seen = _Seen(Outcome.NOT_MEASURED, gone) if gone else _measured(space, check)
        if seen.broken_off:
            gone = _gone(space)
            seen = _Seen(Outcome.NOT_MEASURED, gone) if gone else seen
        findings.append(_finding(check, seen, time.monotonic() - started))
        tell(findings[-1])
    return findings


def unmeasured(check: Check, reason: str) -> Finding:
    """Return the finding of a check that could not be run."""
    return _finding(check, _Seen(Outcome.NOT_MEASURED, reason), 0.0)


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What came of one run of a check."""

    outcome: Outcome
    reason: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    applies: bool = True
    broken_off: bool = False


def _finding(check: Check, seen: _Seen, seconds: float) -> Finding:
    return Finding(
        id=check.id,
        title=check.title,
        by=check.by,
        breaks=check.breaks,
        need=check.need,
        outcome=seen.outcome,
        applies=seen.applies,
        reason=seen.reason,
        evidence=dict(seen.evidence),
        seconds=round(seconds, 4),
    )


def _measured(space: Workspace, check: Check) -> _Seen:
    """Run one check, again if the store was too busy to answer."""
    for wait in (0.2, 0.8, 0.0):
        try:
            return _once(space, check)
        except BusyError:
            time.sleep(wait)
    return _Seen(Outcome.NOT_MEASURED, "the store was too busy to answer, three times")


def _once(space: Workspace, check: Check) -> _Seen:
    try:
        return _run(space, check)
    except _TRANSPORT as error:
        said = error.what if isinstance(error, MilvusKitError) else type(error).__name__
        reason = f"the answer broke off or was not S3: {said}"
        return _Seen(Outcome.FAIL, reason, broken_off=True)
    except _UNREADABLE as error:  # after the others: errors of certificates are such too
        return _Seen(Outcome.FAIL, f"the answer cannot be read: {type(error).__name__}: {error}")


def _run(space: Workspace, check: Check) -> _Seen:
    try:
        evidence = check.function(space)
    except RuleBroken as broken:
        answer = broken.__context__  # the error that the check was looking at, if it was
        if isinstance(answer, boto.ClientError) and is_throttled(answer):
            raise BusyError(error_code(answer)) from None
        return _Seen(Outcome.FAIL, str(broken), broken.evidence)
    except (UnsupportedError, UsageError) as error:
        applies = not isinstance(error, NotDeclaredError)
        return _Seen(Outcome.NOT_MEASURED, error.what, applies=applies)
    except boto.ClientError as error:
        return _answered(error)
    except KeyError as error:  # boto3 leaves out of an answer what the store left out
        return _Seen(Outcome.FAIL, f"the answer lacks {error}")
    return _Seen(Outcome.PASS, evidence=evidence or {})


def _answered(error: boto.ClientError) -> _Seen:
    """Return what an S3 error means that a check did not expect.

    Raises:
        BusyError: The store asks to slow down.
    """
    code, status = error_code(error), status_of(error)
    if is_throttled(error):
        raise BusyError(code) from None
    if is_full(error):
        return _Seen(Outcome.NOT_MEASURED, "the store is full", {"code": code})
    said = f"{error.operation_name} answered {status} {code}"
    return _Seen(Outcome.FAIL, said, {"status": status, "code": code})


def _gone(space: Workspace) -> str:
    """Return why nothing more can be measured; empty if the store still answers."""
    try:
        # Not HEAD: whoever answers with a page, say of maintenance, may do so to it with success.
        space.s3.list_objects_v2(Bucket=space.bucket, Prefix=space.prefix, MaxKeys=1)
    except _TRANSPORT as error:
        return f"the store went away: {type(error).__name__}"
    except (boto.ClientError, *_UNREADABLE):
        return ""  # it answers
    return ""
