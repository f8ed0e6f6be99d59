"""The preflight: reach a store, run every check in a swept workspace, and make its profile."""

from __future__ import annotations

import time
from collections.abc import Callable

from validation.s3.conformance.model import Check
from validation.s3.conformance.runner import Finding, finding, run
from validation.s3.conformance.table import CHECKS
from validation.s3.profile import StoreProfile, compose
from validation.s3.reach import reach
from validation.s3.workspace import Effort, Permissions, opened
from validation.target import Storage, Wal
from validation.verdict import Outcome


def preflight(
    storage: Storage,
    *,
    permissions: Permissions | None = None,
    effort: Effort | None = None,
    wal: Wal | None = None,
    checks: tuple[Check, ...] = CHECKS,
    tell: Callable[[Finding], None] = lambda _: None,
) -> StoreProfile:
    """Measure a store and return its profile.

    Args:
        storage: The store's contract.
        permissions: What the checks may do beyond their own prefix.
        effort: How much they do.
        wal: The declared log; Woodpecker on this store makes its rules required.
        checks: Which checks.
        tell: Called with each finding as it comes.

    Raises:
        UnreachableError: There is no S3 store at the endpoint.
        CredentialsError: It refuses the keys.
        ConfigurationError: The contract is wrong, or there is no such bucket.
    """
    started = time.monotonic()
    reached = reach(storage)
    leftovers: list[str] = []
    if reached.tls_problem:
        findings = [_without_tls(storage, one, reached.tls_problem) for one in checks]
        for one in findings:
            tell(one)
    else:
        with opened(storage, permissions, effort, leftovers=leftovers) as space:
            findings = run(space, checks, tell=tell)
    return compose(
        storage,
        reached,
        findings,
        seconds=time.monotonic() - started,
        wal=wal,
        permissions=permissions,
        leftovers=leftovers,
    )


def _without_tls(storage: Storage, check: Check, problem: str) -> Finding:
    """Return what can be said of a check when the certificate is refused."""
    if check.id.startswith("tls."):
        from validation.s3.conformance import tls  # noqa: PLC0415  (only this case needs it)

        return tls.offline(storage, check)
    reason = f"the store's certificate is refused: {problem}"
    return finding(check, Outcome.NOT_MEASURED, reason)
