"""Rules of what is given to Milvus as it is: environment variables and milvus.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.milvus.configuration import written_by_kit
from infra.settings.milvus import Milvus, Role
from infra.settings.problem import Problem, secretive
from infra.settings.rules.registry import rule

OWNED = ("minio", "etcd", "mq", "woodpecker", "kafka", "pulsar", "rocksmq", "tls", "localStorage")
"""Top-level keys of milvus.yaml that the kit writes itself."""

# Milvus reads a variable as the key of milvus.yaml that it spells.
OWNED_VARIABLES = (
    *(f"{section.upper()}_" for section in OWNED),
    "COMMON_SECURITY_",
    "COMMON_STORAGETYPE",
    "AWS_",
    "MILVUSCONF",
    "SSL_CERT_FILE",
)
"""How the names begin of environment variables that the kit sets itself, or that undo them."""


@rule
def _environment_holds_no_secret(milvus: Milvus) -> Iterator[Problem]:
    for name, role in milvus.roles.items():
        yield from _secret_names(role, f"milvus.roles.{name}.env")
    yield from _secret_keys(milvus.configuration, "milvus.configuration")


def _secret_names(role: Role, key: str) -> Iterator[Problem]:
    for variable in role.env:
        if secretive(variable) or variable.startswith(OWNED_VARIABLES):
            yield Problem(
                f"{key}.{variable}",
                "environment variables here are plain text in the cluster, and this one is the"
                " kit's to set",
                remedy="remove it; credentials come from Secrets, see storage.credentials",
            )


def _secret_keys(tree: dict[str, Any], key: str) -> Iterator[Problem]:
    for name, value in tree.items():
        path = f"{key}.{name}"
        if isinstance(value, dict):
            yield from _secret_keys(value, path)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _secret_keys(item, f"{path}.{index}")
        elif secretive(str(name)) and isinstance(value, str):
            yield Problem(
                path,
                "milvus.yaml is a ConfigMap that anyone with access to the namespace can read",
                remedy="remove it; credentials come from Secrets",
            )


@rule
def _configuration_is_not_owned(milvus: Milvus) -> Iterator[Problem]:
    for name in milvus.configuration:
        if name in OWNED:
            yield Problem(
                f"milvus.configuration.{name}",
                "the kit writes this part of milvus.yaml from other sections",
                remedy="remove it, and use storage, etcd, log or milvus.tls",
            )
    security = milvus.configuration.get("common", {})
    if isinstance(security, dict) and "security" in security:
        yield Problem(
            "milvus.configuration.common.security",
            "the kit writes this part of milvus.yaml from other sections",
            remedy="remove it, and use milvus.auth and milvus.tls",
        )
    yield from _overlap(milvus.configuration, written_by_kit(milvus), "milvus.configuration")


def _overlap(given: Mapping[str, Any], ours: Mapping[str, Any], key: str) -> Iterator[Problem]:
    for name, value in given.items():
        path, mine = f"{key}.{name}", ours.get(name)
        if name not in ours or path.endswith(".common.security"):
            continue
        if isinstance(value, dict) and isinstance(mine, Mapping):
            yield from _overlap(value, mine, path)
        else:
            yield Problem(
                path,
                "the kit writes this key of milvus.yaml itself, and yours would be passed over",
                remedy="remove it; docs/settings.md has the keys that decide it",
            )
