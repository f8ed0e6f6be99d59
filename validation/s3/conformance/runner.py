"""Runs checks one after the other and keeps what came of each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, ConfigDict

from validation.errors import MilvusKitError, UnreachableError, UnsupportedError, UsageError
from validation.s3.client.boto import WebPageError
from validation.s3.client.failures import error_code, is_failure, is_full, is_throttled, status_of
from validation.s3.conformance.model import Check, Need, NotDeclaredError, RuleBroken
from validation.s3.workspace import BusyError, Workspace
from validation.verdicts.verdict import Outcome

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
    checks = tuple(checks)
    with ThreadPoolExecutor() as beside:
        waiting = {one.id: beside.submit(_timed, space, one) for one in checks if one.waits}
        for check in checks:
            here = waiting.get(check.id)
            seen, seconds = here.result() if here else _timed(space, check, gone)
            if seen.broken_off:
                gone = gone or _gone(space)
                seen = _Seen(Outcome.NOT_MEASURED, gone) if gone else seen
            findings.append(_finding(check, seen, seconds))
            tell(findings[-1])
    return findings


def _timed(space: Workspace, check: Check, gone: str = "") -> tuple[_Seen, float]:
    """Run one check, unless the store is gone, and return how long it took, too."""
    started = time.monotonic()
    seen = _Seen(Outcome.NOT_MEASURED, gone) if gone else _measured(space, check)
    return seen, time.monotonic() - started


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
    breaks: str = ""
    """What breaks, where it is not what the rule stands for."""


def _finding(check: Check, seen: _Seen, seconds: float) -> Finding:
    return Finding(
        id=check.id,
        title=check.title,
        by=check.by,
        breaks=seen.breaks or check.breaks,
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
        reason = f"the answer broke off or was not S3: {_said(error)}"
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
    # A store that fails was not seen to break the rule: what it stands for is not what goes wrong.
    breaks = f"{error.operation_name} fails, and whether the rule is kept cannot be seen"
    seen = {"status": status, "code": code}
    return _Seen(Outcome.FAIL, said, seen, breaks=breaks if is_failure(error) else "")


def _said(error: Exception) -> str:
    """Return what ended a request in place of an answer of S3's."""
    if isinstance(error, MilvusKitError):
        return error.what
    return str(error) if isinstance(error, WebPageError) else type(error).__name__


def _gone(space: Workspace) -> str:
    """Return why nothing more can be measured; empty if the store still answers."""
    try:
        # Not HEAD: whoever answers with a page, say of maintenance, may do so to it with success.
        space.s3.list_objects_v2(Bucket=space.bucket, Prefix=space.prefix, MaxKeys=1)
    except _TRANSPORT as error:
        return f"the store went away: {_said(error)}"
    except (boto.ClientError, *_UNREADABLE):
        return ""  # it answers
    return ""
