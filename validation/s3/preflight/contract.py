"""Where the storage contract of a preflight comes from: a target, a stack, or options."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.settings.parse import from_file
from infra.settings.storage import S3, X10000
from validation import target as targets
from validation.common import resources, strict_yaml
from validation.errors import ConfigurationError, UsageError
from validation.s3.client.endpoint import Keys, endpoint_of
from validation.target import SecretRef, Storage, Wal

CREATION = ("allowed", "refused")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says of the store itself; None: nothing."""

    bucket: str | None = None
    root_path: str | None = None
    region: str | None = None
    provider: str | None = None
    addressing: str | None = None
    ca_file: Path | None = None
    access_key_env: str | None = None
    secret_key_env: str | None = None

    def refuse(self, source: str, *unused: str) -> None:
        """Refuse options that would be passed over: their user believes that they count.

        Raises:
            UsageError: One of them was given.
        """
        given = [f"--{name.replace('_', '-')}" for name in self.given(unused)]
        if given:
            raise UsageError(
                f"{source} says this itself",
                seen=" ".join(given),
                remedy=f"leave them out, or change what {source} names",
            )

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of some options that were given; an empty text was."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def keys(self) -> dict[str, Any]:
        """Return where the S3 keys are: by default where AWS's own tools look for them."""
        return {
            "access_key": {"env": self.access_key_env or "AWS_ACCESS_KEY_ID"},
            "secret_key": {"env": self.secret_key_env or "AWS_SECRET_ACCESS_KEY"},
        }

    def tls(self) -> dict[str, Any]:
        """Return the contract's section of TLS, empty where no certificate is named."""
        return {"mode": "server", "ca_file": self.ca_file} if self.ca_file else {}


_DESCRIBE = ("bucket", "root_path", "region", "provider", "addressing")
ADDRESSING = ("path", "virtual")


def chosen(
    *, target: Path | None, stack: str | None, endpoint: str | None, options: Options
) -> tuple[Storage, Wal | None]:
    """Return the storage contract and the declared log.

    Args:
        target: A target document.
        stack: A stack's name.
        endpoint: The endpoint itself.
        options: What describes an endpoint; for a stack, where the keys and the CA are.

    Raises:
        UsageError: Not exactly one of the three was given, or options that it has no use for.
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
        options.refuse("--target", *_DESCRIBE, "ca_file", "access_key_env", "secret_key_env")
        document = targets.load(target)
        return targets.storage_of(document, where=str(target)), document.milvus.wal
    if stack is not None:
        options.refuse("--stack", *_DESCRIBE)
        return of_stack(stack, options)
    if options.bucket is None:
        raise UsageError("--endpoint needs --bucket", remedy="name the bucket meant for Milvus")
    one_of("--addressing", options.addressing, ADDRESSING)
    described = options.given(_DESCRIBE)
    document = {"provider": "s3", "endpoint": endpoint, **described, **options.keys()}
    return _validated({**document, "tls": options.tls()}, "the options"), None


def of_stack(stack: str, options: Options) -> tuple[Storage, Wal | None]:
    """Return the storage contract in a stack's settings.

    Args:
        stack: Its name; the file is ``stacks/Pulumi.NAME.yaml``.
        options: Where the S3 keys are, since the stack's own are encrypted or in the cluster; and
            the CA, where that is in the cluster too.

    Raises:
        ConfigurationError: The stack's settings are wrong, it makes its store itself, or its CA
            cannot be had from here.
    """
    path = resources.stack_file(stack)
    settings = from_file(path, recorded=False)
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
        "tls": _tls(store, options, path),
        **options.keys(),
    }
    return _validated(document, str(path)), _log_of(settings.log)


def _tls(store: S3 | X10000, options: Options, path: Path) -> dict[str, Any]:
    """Return the contract's section of TLS for a store whose CA a stack declares, if it does."""
    if options.ca_file is not None or store.ca is None:
        return options.tls()
    if store.ca.pem is None:
        raise ConfigurationError(
            "this stack's CA is in a Secret of the cluster, which is not looked into from here",
            where=f"{path}: milvus-kit:storage.ca.existingSecret",
            remedy="give the same certificate with --ca-file",
        )
    return {"mode": "server", "ca_pem": store.ca.pem}


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


def more_endpoints(storage: Storage, urls: Sequence[str], *, performance: bool) -> tuple[str, ...]:
    """Return further endpoints of a store, which are asked for their speed.

    Raises:
        UsageError: Speed was not asked for.
        ConfigurationError: One is no URL of an endpoint.
    """
    if urls and not performance:
        raise UsageError(
            "further endpoints are measured for their speed alone",
            where="--more-endpoint",
            remedy="add --performance, or leave them out",
        )
    for url in urls:
        endpoint_of(storage.model_copy(update={"endpoint": url}), where="--more-endpoint")
    return tuple(urls)


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
        raise ConfigurationError(
            f"this is no storage contract{wrong}", where=source, remedy="mend what is named above"
        ) from None
