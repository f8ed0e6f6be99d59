"""Which secrets each role gets, and how: by reference, and only to the roles that use them.

A pod's template carries a fingerprint of every Secret it refers to, so that a rotated Secret
restarts exactly its users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from infra.milvus.dependencies.log import LogAccess
from infra.milvus.roles.configuration import (
    ETCD_TLS_FOLDER,
    LOG_CA_FILE,
    LOG_CLIENT_FOLDER,
    S3_CA_FILE,
    TLS_FOLDER,
)
from infra.milvus.roles.topology import STANDALONE, sets_first_password
from infra.servers import pods
from infra.storage.contract import SecretKeyRef, StorageContract

TLS_KEYS = {key: key for key in ("tls.crt", "tls.key", "ca.crt")}

SYSTEM_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Where libcurl, under Milvus's C++ S3 client, looks for CAs: on Debian's kin, on Red Hat's kin.

It heeds neither SSL_CERT_FILE nor milvus.yaml in older versions, so the private CA stands there.
"""


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """The Secrets of one deployment; None where it has no such Secret.

    Args:
        storage: The store, with its key and CA.
        log: The log, with its password and CA.
        etcd_tls: Name of the Secret with Milvus's client certificate for etcd.
        server_tls: Name of the Secret with the certificate that clients of Milvus see.
        root_password: Where root's first password is.
        fingerprints: By purpose, what changes whenever that Secret does.
    """

    storage: StorageContract
    log: LogAccess
    etcd_tls: str | None = None
    server_tls: str | None = None
    root_password: SecretKeyRef | None = None
    fingerprints: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RoleSecrets:
    """What one role's pods get."""

    env: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    annotations: dict[str, Any]


def purposes(role: str, version: str, secrets: Secrets) -> tuple[str, ...]:
    """Return what a role uses Secrets for."""
    used = ["s3"]
    if secrets.etcd_tls:
        used.append("etcd-tls")
    if secrets.log.password:
        used.append("log")
    if secrets.log.ca:
        used.append("log-ca")
    if secrets.log.client:
        used.append("log-client")
    if secrets.server_tls and role in {"proxy", STANDALONE}:
        used.append("server-tls")
    coordinator = role in {"rootcoord", "mixcoord", STANDALONE}
    if secrets.root_password and coordinator and sets_first_password(version):
        used.append("root-password")
    return tuple(used)


def for_role(role: str, version: str, secrets: Secrets) -> RoleSecrets:
    """Return the environment, volumes and annotations by which a role gets its secrets."""
    used = purposes(role, version, secrets)
    keys = secrets.storage.credentials
    env = [
        pods.secret_env("MINIO_ACCESS_KEY_ID", keys.access_key.name, keys.access_key.key),
        pods.secret_env("MINIO_SECRET_ACCESS_KEY", keys.secret_key.name, keys.secret_key.key),
        *secrets.log.env,
    ]
    if "root-password" in used and secrets.root_password:
        ref = secrets.root_password
        env.append(pods.secret_env("COMMON_SECURITY_DEFAULTROOTPASSWORD", ref.name, ref.key))
    volumes, mounts = _files(used, secrets)
    if secrets.storage.ca:
        env.append({"name": "SSL_CERT_FILE", "value": S3_CA_FILE})
        mounts += [
            {"name": "s3-ca", "mountPath": path, "subPath": "ca.crt", "readOnly": True}
            for path in SYSTEM_CA_FILES
        ]
    if secrets.storage.checksums == "when_required":
        # Read by the AWS SDK under Milvus's C++ client; some stores keep its trailing checksums.
        env += [
            {"name": f"AWS_{what}", "value": "when_required"}
            for what in ("REQUEST_CHECKSUM_CALCULATION", "RESPONSE_CHECKSUM_VALIDATION")
        ]
    annotations = {
        f"milvus-kit/{purpose}": secrets.fingerprints[purpose]
        for purpose in used
        if purpose in secrets.fingerprints
    }
    return RoleSecrets(env=env, volumes=volumes, mounts=mounts, annotations=annotations)


def _files(
    used: tuple[str, ...], secrets: Secrets
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []

    def add(name: str, secret: str, keys: Mapping[str, str], folder: str) -> None:
        volumes.append(pods.secret_volume(name, secret, keys))
        mounts.append({"name": name, "mountPath": folder, "readOnly": True})

    if "etcd-tls" in used and secrets.etcd_tls:
        add("etcd-tls", secrets.etcd_tls, TLS_KEYS, ETCD_TLS_FOLDER)
    if "server-tls" in used and secrets.server_tls:
        add("server-tls", secrets.server_tls, TLS_KEYS, TLS_FOLDER)
    if secrets.storage.ca:
        ca = secrets.storage.ca
        add("s3-ca", ca.name, {ca.key: "ca.crt"}, S3_CA_FILE.rsplit("/", 1)[0])
    if secrets.log.ca:
        ca = secrets.log.ca
        add("log-ca", ca.name, {ca.key: "ca.crt"}, LOG_CA_FILE.rsplit("/", 1)[0])
    if secrets.log.client:
        keys = {key: key for key in ("tls.crt", "tls.key")}
        add("log-client", secrets.log.client, keys, LOG_CLIENT_FOLDER)
    return volumes, mounts
