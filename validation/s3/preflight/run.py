"""The preflight: reach a store, run every check in a swept workspace, and make its profile."""

from __future__ import annotations

import time
from collections.abc import Callable

from validation.errors import MilvusKitError
from validation.s3.client.failures import translated
from validation.s3.conformance.model import Check
from validation.s3.conformance.runner import Finding, run, unmeasured
from validation.s3.conformance.table import CHECKS
from validation.s3.preflight.profile import StoreProfile, compose
from validation.s3.preflight.reach import reach, require_bucket_name
from validation.s3.preflight.remains import warning
from validation.s3.speed.figures import Speed, missing
from validation.s3.workspace import Effort, Permissions, Workspace, opened
from validation.target import Storage, Wal


def preflight(
    storage: Storage,
    *,
    permissions: Permissions | None = None,
    effort: Effort | None = None,
    wal: Wal | None = None,
    checks: tuple[Check, ...] = CHECKS,
    tell: Callable[[Finding], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    speed: Callable[[Workspace], list[Speed]] | None = None,
    leftovers: list[str] | None = None,
) -> StoreProfile:
    """Measure a store and return its profile.

    Args:
        storage: The store's contract.
        permissions: What the checks may do beyond their own prefix.
        effort: How much they do.
        wal: The declared log; Woodpecker on this store makes its rules required.
        checks: Which checks.
        tell: Called with each finding as it comes.
        warn: Called with what a user should know of the bucket before anything is written.
        speed: Measures performance in the same workspace, after the checks; see `speed.measured`.
        leftovers: Filled with what could not be deleted, also where this raises.

    Raises:
        UnreachableError: There is no S3 store at the endpoint.
        CredentialsError: It refuses the keys.
        ConfigurationError: The contract is wrong, or there is no such bucket.
    """
    started = time.monotonic()
    _require_names(permissions or Permissions())
    reached = reach(storage)
    leftovers = [] if leftovers is None else leftovers
    speeds: list[Speed] = []
    no_speed = ""
    if reached.tls_problem:
        refused = f"the store's certificate is refused: {reached.tls_problem}"
        findings = _without_tls(storage, checks, refused, tell)
        no_speed = refused if speed is not None else ""
    else:
        others = warning(storage)
        if others:
            warn(others)
        with opened(storage, permissions, effort, leftovers=leftovers) as space:
            findings = run(space, checks, tell=tell)
            if speed is not None:
                speeds, no_speed = _measured(space, speed)
    return compose(
        storage,
        reached,
        findings,
        seconds=time.monotonic() - started,
        wal=wal,
        permissions=permissions,
        leftovers=leftovers,
        performance=speeds,
        no_performance=no_speed,
    )


def _measured(
    space: Workspace, speed: Callable[[Workspace], list[Speed]]
) -> tuple[list[Speed], str]:
    """Measure performance, and return why it could not be, or in part: what was found is kept."""
    try:
        with translated(space.storage):
            speeds = speed(space)
    except MilvusKitError as error:
        return [], error.sentence()
    return speeds, missing(speeds)


def _require_names(permissions: Permissions) -> None:
    for name in ("versioned_bucket", "backup_bucket", "other_bucket"):
        bucket = getattr(permissions, name)
        if bucket is not None:
            require_bucket_name(bucket, f"--{name.replace('_', '-')}")


def _without_tls(
    storage: Storage, checks: tuple[Check, ...], reason: str, tell: Callable[[Finding], None]
) -> list[Finding]:
    """Return what can be said when the certificate is refused: which rule of TLS is broken."""
    space = Workspace(storage)  # nothing is written, so nothing is swept
    findings = run(space, [one for one in checks if one.id.startswith("tls.")], tell=tell)
    for one in checks:
        if not one.id.startswith("tls."):
            findings.append(unmeasured(one, reason))
            tell(findings[-1])
    return findings
