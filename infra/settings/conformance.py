"""A stack against the profile that `milvus-kit preflight` recorded of its store.

Only what the stack needs of the profile is read here: for whom it was recorded, the verdict, and
the decisions. The document itself is described in `validation.s3.preflight.profile`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from infra.settings.problem import Problem
from infra.settings.storage import S3, X10000
from validation.common.resources import in_stacks
from validation.common.schemas import newer_than

SCHEMA = "milvus-kit/s3-profile/1"
KEY = "storage.conformanceProfile"
_AGAIN = "record it again with `milvus-kit preflight`"
_NEEDED = frozenset({"milvus", "declared"})
"""Needs of a finding that hold whatever the log is; what Woodpecker needs is a decision."""


def problems(storage: S3 | X10000, *, embedded: bool) -> Iterator[Problem]:
    """Yield where the settings contradict the recorded profile.

    Args:
        storage: The settings of the store.
        embedded: Whether Woodpecker writes its log to this store.
    """
    path = in_stacks(storage.conformance_profile) if storage.conformance_profile else None
    if path is None:
        return
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not JSON"
        yield Problem(KEY, f"cannot read the profile: {why}", seen=repr(str(path)), remedy=_AGAIN)
        return
    if newer := newer_than(profile, SCHEMA):
        yield Problem(KEY, f"this profile {newer}", remedy="update milvus-kit")
        return
    if not _is_profile(profile):
        yield Problem(KEY, f"this is no profile of schema {SCHEMA}", remedy=_AGAIN)
        return
    yield from _another_store(storage, profile)
    yield from _required(profile)
    yield from _addressing(storage, profile)
    yield from _trust(storage, profile)
    if embedded:
        yield from _woodpecker(profile)


def _is_profile(document: Any) -> bool:
    """Return whether a document has the shape that is read here."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return False
    findings, decisions = document.get("findings", []), document.get("decisions", {})
    if not isinstance(findings, list) or not isinstance(decisions, dict):
        return False
    chosen = [part for name, part in decisions.items() if name not in {"woodpecker", "stack"}]
    parts = [document.get("storage", {}), *findings, *chosen]
    if not all(isinstance(part, dict) for part in parts):
        return False
    words = [document.get(name) for name in ("verdict", "reason", "declared_wal")]
    words += [item.get(name) for item in findings for name in ("id", "need", "outcome", "reason")]
    words += [part.get(name) for part in chosen for name in ("choice", "reason")]
    words += [decisions.get("woodpecker")]
    return all(word is None or isinstance(word, str) for word in words)


def checksums(storage: S3 | X10000) -> Literal["when_required", "when_supported"] | None:
    """Return when clients are to add checksums, as the recorded profile decides; None: unknown."""
    if storage.conformance_profile is None:
        return None
    try:
        profile = json.loads(in_stacks(storage.conformance_profile).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # `problems` has said so, unless the profile is about to be recorded
    match _decision(profile, "checksums") if _is_profile(profile) else None:
        case "when_required":
            return "when_required"
        case "when_supported":
            return "when_supported"
        case _:
            return None


def _another_store(storage: S3 | X10000, profile: dict[str, Any]) -> Iterator[Problem]:
    usual = {"region": storage.region, "root_path": storage.root_path}
    recorded = usual | profile.get("storage", {})
    wanted = usual | {"endpoint": storage.endpoint, "bucket": storage.bucket}
    if storage.encryption is not None:  # a profile for none did not look whether there is any
        wanted["encryption"] = storage.encryption
    for name, value in wanted.items():
        if _spelled(name, recorded.get(name)) != value:
            yield Problem(
                KEY,
                f"it was recorded for another {name}: {recorded.get(name)!r}",
                seen=repr(value),
                remedy=_AGAIN,
            )


def _spelled(name: str, value: Any) -> Any:
    """Return a recorded value as a stack spells it, which has no slash at an end."""
    text = isinstance(value, str) and name in {"endpoint", "root_path"}
    return value.strip("/") if text else value


def _required(profile: dict[str, Any]) -> Iterator[Problem]:
    """Refuse a profile in which a required rule is broken, or was left open.

    Its verdict may be about more than this stack needs: one recorded for Woodpecker holds the rules
    of that log too. So a verdict that is no pass is passed over where those are what explains it.
    """
    required = [
        item
        for item in profile.get("findings", [])
        if item.get("need") in _NEEDED and item.get("applies", True)
    ]
    broken = [_told(item) for item in required if item.get("outcome") == "fail"]
    open_ = [_told(item) for item in required if item.get("outcome") not in {"pass", "fail"}]
    verdict = profile.get("verdict")
    about_log = bool(required) and _explained_by_log(profile)
    reason = profile.get("reason", "no reason recorded")
    if broken or (verdict == "fail" and not about_log):
        yield Problem(
            KEY,
            f"this store cannot carry Milvus: {'; '.join(broken) or reason}",
            remedy="see the profile's findings; use another store, or have this one mended and"
            " record it again",
        )
    elif open_ or (verdict != "pass" and not about_log):
        yield Problem(
            KEY,
            "the recorded profile leaves open whether this store can carry Milvus:"
            f" {'; '.join(open_) or reason}",
            seen=repr(verdict),
            remedy=f"let the missing rules be measured: {_AGAIN}",
        )


def _explained_by_log(profile: dict[str, Any]) -> bool:
    """Return whether a rule of the log alone is enough for the verdict, which is no pass."""
    if profile.get("declared_wal") != "woodpecker-embedded":
        return False
    of_log = [item for item in profile.get("findings", []) if item.get("need") == "woodpecker"]
    outcomes = {item.get("outcome") for item in of_log}
    return "fail" in outcomes if profile.get("verdict") == "fail" else bool(outcomes - {"pass"})


def _told(finding: dict[str, Any]) -> str:
    return f"{finding.get('id')} ({finding.get('reason') or finding.get('outcome')})"


def _addressing(storage: S3 | X10000, profile: dict[str, Any]) -> Iterator[Problem]:
    check = {"path": "addressing.path", "virtual": "addressing.virtual-host"}[storage.addressing]
    outcomes = {item.get("id"): item.get("outcome") for item in profile.get("findings", [])}
    if outcomes.get(check) != "pass":  # a style nobody declared is not judged where it fails
        choice = _decision(profile, "addressing")
        yield Problem(
            "storage.addressing",
            "the recorded profile does not show that this store answers it",
            seen=repr(storage.addressing),
            remedy=f"use {choice}" if choice else _AGAIN,
        )


def _trust(storage: S3 | X10000, profile: dict[str, Any]) -> Iterator[Problem]:
    """Refuse a stack without the CA that the store was only trusted with."""
    if storage.secure and storage.ca is None and _decision(profile, "tls") == "ca-file":
        yield Problem(
            "storage.ca",
            "the recorded profile says that a private CA signed this store's certificate, and the"
            " stack names none: its pods would not trust the store",
            remedy="give the CA's certificate as storage.ca.pem, or a Secret with it as"
            " storage.ca.existingSecret",
        )


def _woodpecker(profile: dict[str, Any]) -> Iterator[Problem]:
    found = profile.get("decisions", {}).get("woodpecker", "unknown")
    if found != "safe":
        reason = profile.get("decisions", {}).get("wal", {}).get("reason", "no reason recorded")
        yield Problem(
            "log.mode",
            f"the recorded profile says that embedded Woodpecker is {found} here: {reason}",
            seen="'embedded'",
            remedy="use mode: service, kafka or pulsar"
            + (f"; or {_AGAIN} --wal woodpecker-embedded" if found == "unknown" else ""),
        )


def _decision(profile: dict[str, Any], name: str) -> str | None:
    return profile.get("decisions", {}).get(name, {}).get("choice")
