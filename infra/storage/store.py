"""Which store the settings describe."""

from __future__ import annotations

import pulumi

from infra.kubernetes.contract import ClusterContract
from infra.secrets.authority import Authority
from infra.settings import Settings
from infra.settings.storage import Minio as MinioSettings
from infra.storage.contract import StorageContract
from infra.storage.endpoint import ExternalStore
from infra.storage.minio.server import Minio


def deploy(
    name: str,
    settings: Settings,
    *,
    cluster: ClusterContract,
    authority: Authority,
    opts: pulumi.ResourceOptions | None = None,
) -> StorageContract:
    """Create or adopt the store that the settings describe, and say how it is used."""
    if isinstance(settings.storage, MinioSettings):
        return Minio(name, settings, cluster, authority, opts).contract
    return ExternalStore(name, settings, cluster, opts).contract
