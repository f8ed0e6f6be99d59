"""Where the storage contract of a preflight comes from: a target, a stack, or options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from validation import target as targets
from validation.errors import ConfigurationError, UsageError
from validation.target import Storage, Wal

CREATION = ("allowed", "refused")


def chosen(
    *,
    target: Path | None,
    stack: str | None,
    endpoint: str | None,
    bucket: str | None,
    more: Mapping[str, Any],
) -> tuple[Storage, Wal | None]:
    """Return the storage contract and the declared log.

    Args:
        target: A target document.
        stack: A stack's name.
        endpoint: The endpoint itself, with ``bucket`` and ``more`` fields of the contract.
        bucket: The bucket, for an endpoint.
        more: Further fields of the contract, for an endpoint.

    Raises:
        UsageError: Not exactly one of them was given.
        ConfigurationError: What was given cannot be used.
    """
    given = [
        name
        for name, value in (("--target", target), ("--stack", stack), ("--endpoint", endpoint))
        if value is not None
    ]
    if len(given) != 1:
        raise UsageError(
            "say which store: exactly one of --target, --stack and --endpoint",
            seen=given or "none",
            remedy="for example: milvus-kit preflight --endpoint http://10.0.0.5:8080 --bucket b",
        )
    if target is not None:
        document = targets.load(target)
        if document.storage is None:
            raise ConfigurationError(
                "this target declares no storage",
                where=str(target),
                remedy="add a storage section with endpoint, bucket and key references",
            )
        return document.storage, document.milvus.wal
    if stack is not None:
        return of_stack(stack)
    if bucket is None:
        raise UsageError("--endpoint needs --bucket", remedy="name the bucket meant for Milvus")
    return _validated({"endpoint": endpoint, "bucket": bucket, **more}, "the options"), None


def of_stack(stack: str) -> tuple[Storage, Wal | None]:
    """Return the storage contract in a stack's settings.

    Raises:
        UsageError: This installation has no Pulumi programs.
        ConfigurationError: The stack's settings are wrong.
    """
    try:
        from infra.settings import storage_of_stack  # noqa: PLC0415  # type: ignore[import-not-found]
    except ImportError:
        raise UsageError(
            "stacks cannot be read here",
            where=f"--stack {stack}",
            remedy="install milvus-kit[infra], or give --endpoint and --bucket",
        ) from None
    return storage_of_stack(stack)


def one_of(option: str, value: str | None, known: Collection[str]) -> str | None:
    """Return an option's value.

    Raises:
        UsageError: It is none of those known.
    """
    if value is None or value in known:
        return value
    raise UsageError(
        "there is no such choice", where=option, seen=value, remedy=f"use one of {', '.join(known)}"
    )


def log(value: str | None) -> Wal | None:
    """Return the log an option names.

    Raises:
        UsageError: There is no such log.
    """
    found = one_of("--wal", value, [wal.value for wal in Wal])
    return Wal(found) if found else None


def _validated(document: Mapping[str, Any], source: str) -> Storage:
    try:
        return Storage.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(
            "this is no storage contract\n    " + "\n    ".join(lines), where=source
        ) from None
