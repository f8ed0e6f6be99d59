"""The storage contract: what Milvus, etcd's snapshots and the target need to know of a store.

Every kind of store yields the same fields, so nothing downstream asks which one it is. Names of
Secrets are fixed, so that rendered objects are the same for the same settings; values that are
secret are Pulumi secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import pulumi


@dataclass(frozen=True)
class SecretKeyRef:
    """One key of a Kubernetes Secret in the deployment's namespace."""

    name: str
    key: str


@dataclass(frozen=True)
class S3KeyRefs:
    """Where pods find Milvus's S3 key."""

    access_key: SecretKeyRef
    secret_key: SecretKeyRef


@dataclass(frozen=True, kw_only=True)
class StorageContract:
    """How a bucket is reached, and what was declared of it.

    Args:
        whole: Everything that is declared of it.
        provider: What kind of store it is; for the target and reports, never for decisions.
        endpoint: ``http(s)://host:port`` as pods reach it.
        public_endpoint: The same as the validation reaches it.
        bucket: Milvus's bucket.
        root_path: Prefix of Milvus's objects.
        region: Region that requests are signed for.
        addressing: Whether the bucket stands in the path or in the host name.
        credentials: Where pods find Milvus's key.
        access_key: The access key id, a Pulumi secret.
        secret_key: The secret key, a Pulumi secret.
        ca: Where pods find the private CA, or None for the public ones.
        ca_pem: The private CA's certificate, or None.
        fingerprint: Hash of key and CA: a pod template that carries it rolls when they change.
        pods: Labels of the store's pods when it is in this namespace; None: it is outside.
        versioning: Declared versioning.
        object_lock: Declared object lock.
        encryption: Declared encryption at rest.
        checksums: When clients add checksums of their own, as the store's recorded profile decides;
            None: as each client does by default.
        ready: Resources that must exist before the bucket can be used.
    """

    whole: pulumi.Resource
    provider: Literal["minio", "x10000", "s3"]
    endpoint: str
    public_endpoint: str
    bucket: str
    root_path: str
    region: str
    addressing: Literal["path", "virtual"]
    credentials: S3KeyRefs
    access_key: pulumi.Output[str]
    secret_key: pulumi.Output[str]
    ca: SecretKeyRef | None
    ca_pem: pulumi.Output[str] | None
    fingerprint: pulumi.Output[str]
    pods: dict[str, str] | None
    versioning: Literal["off", "enabled", "suspended"] | None = None
    object_lock: bool | None = None
    encryption: str | None = None
    checksums: Literal["when_required", "when_supported"] | None = None
    ready: tuple[pulumi.Resource, ...] = ()

    @property
    def secure(self) -> bool:
        """Tell whether the store speaks TLS."""
        return self.endpoint.startswith("https://")

    @property
    def host(self) -> str:
        """Return the host that pods connect to."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        """Return the port that pods connect to."""
        return urlsplit(self.endpoint).port or (443 if self.secure else 80)
