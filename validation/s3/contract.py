"""Where the storage contract of a preflight comes from: a target, a stack, or options."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from validation import resources, strict_yaml
from validation import target as targets
from validation.errors import ConfigurationError, UsageError
from validation.s3.endpoint import Keys
from validation.target import SecretRef, Storage, Wal

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
        keys = {name: more[name] for name in ("access_key", "secret_key")}
        return of_stack(stack, keys)
    if bucket is None:
        raise UsageError("--endpoint needs --bucket", remedy="name the bucket meant for Milvus")
    return _validated({"endpoint": endpoint, "bucket": bucket, **more}, "the options"), None


def of_stack(stack: str, keys: Mapping[str, Any]) -> tuple[Storage, Wal | None]:
    """Return the storage contract in a stack's settings.

    Args:
        stack: Its name; the file is ``stacks/Pulumi.NAME.yaml``.
        keys: Where the S3 keys are: the stack's own are encrypted, and need no passphrase here.

    Raises:
        UsageError: This installation has no Pulumi programs.
        ConfigurationError: The stack's settings are wrong, or it makes its store itself.
    """
    try:
        parse = importlib.import_module("infra.settings.parse")
    except ImportError:
        raise UsageError(
            "stacks cannot be read here",
            where=f"--stack {stack}",
            remedy="install milvus-kit[infra], or give --endpoint and --bucket",
        ) from None
    path = resources.find("stacks") / f"Pulumi.{stack}.yaml"
    settings = parse.from_file(path, recorded=False)
    store = settings.storage
    if store.type == "minio":
        raise ConfigurationError(
            "this stack makes its MinIO itself, so there is no store to test yet",
            where=f"{path}: milvus-kit:storage.type",
            remedy="test it after `pulumi up`, with --target",
        )
    document = {
        "provider": "x10000" if store.type == "x10000" else "s3",
        "endpoint": store.endpoint,
        "bucket": store.bucket,
        "root_path": store.root_path,
        "region": store.region,
        "addressing": store.addressing,
        "versioning": store.versioning,
        "object_lock": store.object_lock,
        "encryption": store.encryption,
        **keys,
    }
    if store.ca is not None and store.ca.pem is not None:
        document["tls"] = {"mode": "server", "ca_pem": store.ca.pem}
    return _validated(document, str(path)), _log_of(settings.log)


def _log_of(log: Any) -> Wal:
    """Return the log of a stack's settings in the target's words."""
    return Wal(f"woodpecker-{log.mode}" if log.type == "woodpecker" else log.type)


def outsider(access_key_env: str | None, secret_key_env: str | None) -> Keys | None:
    """Return the key in two environment variables; None if neither is named.

    Raises:
        UsageError: Only one of them is named.
        ConfigurationError: A variable is not set.
    """
    if access_key_env is None and secret_key_env is None:
        return None
    if access_key_env is None or secret_key_env is None:
        raise UsageError(
            "a key has two halves",
            where="--outsider-access-key-env, --outsider-secret-key-env",
            remedy="name both variables",
        )
    return Keys(
        SecretRef(env=access_key_env).reveal("--outsider-access-key-env"),
        SecretRef(env=secret_key_env).reveal("--outsider-secret-key-env"),
    )


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
        wrong = strict_yaml.wrong_keys(error)
        raise ConfigurationError(f"this is no storage contract{wrong}", where=source) from None
