"""Rules of what is given to Milvus as it is: environment variables and milvus.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.milvus.dependencies.log import store as log_store
from infra.milvus.roles import topology
from infra.milvus.roles.configuration import written_by_kit
from infra.milvus.roles.keys import as_read, leaves
from infra.settings.milvus import Milvus, Role
from infra.settings.model import version_of
from infra.settings.problem import Problem, secretive
from infra.settings.rules.registry import rule
from infra.settings.services import Etcd, Log

OWNED = ("minio", "etcd", "mq", "woodpecker", "kafka", "pulsar", "rocksmq", "tls", "localStorage")
"""Top-level keys of milvus.yaml that the kit writes into: no variable passes over what it says."""

_SECURITY = "common.security"
_NEVER = tuple(map(as_read, (_SECURITY, "minio.ssl.tlsCACert", "tls", "etcd.auth", "mq")))
"""What is never the user's here, whether or not the kit writes it for these settings."""
_OWNED = tuple(map(as_read, OWNED))
_DECIDED_BY = {
    as_read(part): section
    for part, section in {
        "minio": "storage",
        "etcd": "etcd",
        "tls": "milvus.tls",
        "common.security": "milvus.auth and milvus.tls",
        **dict.fromkeys(("mq", "woodpecker", "kafka", "pulsar", "rocksmq"), "log"),
    }.items()
}
_NOT_OWNED = frozenset({as_read("LOCAL_STORAGE_SIZE")})
# Milvus reads a variable as the key of milvus.yaml that it spells, and before the file's.
_OWNED_VARIABLES = (*_OWNED, as_read(_SECURITY), "aws", "milvusconf", "sslcertfile", "metricsport")


@rule
def _environment_holds_no_secret(
    environment: str, milvus: Milvus, etcd: Etcd, log: Log
) -> Iterator[Problem]:
    written = _written(environment, milvus, etcd, log)
    for name, role in milvus.roles.items():
        yield from _variables(role, f"milvus.roles.{name}.env", written)
    yield from _secret_keys(milvus.configuration, "milvus.configuration")


def _variables(role: Role, key: str, written: frozenset[str]) -> Iterator[Problem]:
    for variable in role.env:
        read = as_read(variable)
        ours = read.startswith(_OWNED_VARIABLES) and read not in _NOT_OWNED
        if secretive(variable) or ours or read in written:
            yield Problem(
                f"{key}.{variable}",
                "environment variables here are plain text in the cluster, and this one is the"
                " kit's to set",
                remedy="remove it; credentials come from Secrets, see storage.credentials, and"
                " other keys of milvus.yaml go into milvus.configuration",
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
def _configuration_is_not_owned(
    environment: str, milvus: Milvus, etcd: Etcd, log: Log
) -> Iterator[Problem]:
    written = _written(environment, milvus, etcd, log)
    for key, _ in leaves(milvus.configuration):
        read = as_read(key)
        ours = any(read.startswith(one) or one.startswith(read) for one in written)
        if (ours or read.startswith(_NEVER)) and read not in _NOT_OWNED:
            sections = [one for part, one in _DECIDED_BY.items() if read.startswith(part)]
            chosen = f"what can be chosen of it stands in {sections[0]}" if sections else ""
            yield Problem(
                f"milvus.configuration.{key}",
                "the kit writes this key of milvus.yaml itself, and yours would be passed over",
                remedy=f"remove it: {chosen or 'it follows from other settings'}; see"
                " docs/settings.md",
            )


def _written(environment: str, milvus: Milvus, etcd: Etcd, log: Log) -> frozenset[str]:
    """Return the keys that the kit writes, as Milvus reads them."""
    if version_of(milvus.version) < topology.OLDEST:
        return frozenset()  # another rule refuses it
    ours = written_by_kit(
        milvus,
        log_store(log, milvus.version, "namespace"),
        production=environment == "prod",
        snapshots=etcd.snapshots is not None,
    )
    return frozenset(as_read(key) for key, _ in leaves(ours))
