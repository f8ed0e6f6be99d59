"""A stack's configuration: parsed once into frozen models, every error at once.

Keys live under the project's namespace in ``stacks/Pulumi.NAME.yaml``, one top-level key a section
below (``milvus-kit:storage`` and so on). A secret is a top-level key of its own, set with
``pulumi config set --secret NAME``, and the sections name it; nothing secret ever stands inside a
section. ``parse`` is where a document becomes ``Settings``; docs/settings.md is generated from the
models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infra.settings.cluster import Cluster
from infra.settings.milvus import Milvus
from infra.settings.model import Section
from infra.settings.network import Network
from infra.settings.services import Etcd, Images, Log, Migration, Observability, ValidationJob
from infra.settings.storage import Storage

PROJECT = "milvus-kit"


class Settings(Section):
    """The whole configuration of one stack."""

    environment: Literal["dev", "prod"] = Field(
        description="prod switches on authentication, TLS, protection and digests, and refuses"
        " what is not safe"
    )
    kubernetes: Cluster = Field(description="the cluster")
    storage: Storage = Field(description="object storage")
    milvus: Milvus = Field(description="Milvus itself")
    etcd: Etcd = Field(default=Etcd(), description="the metadata store")
    log: Log = Field(
        description="the write-ahead log; chosen once: an upgrade cannot change its type"
    )
    observability: Observability = Field(
        default=Observability(), description="metrics, dashboard, logs"
    )
    validation: ValidationJob = Field(
        default=ValidationJob(), description="the suite as a Job in the cluster"
    )
    network: Network = Field(
        default=Network(), description="who is reached, for the NetworkPolicies"
    )
    images: Images = Field(default=Images(), description="images and mirrors")
    migration: Migration = Field(
        default=Migration(), description="decisions of the first day that change: see topology.md"
    )

    @property
    def production(self) -> bool:
        """Tell whether this is a production stack."""
        return self.environment == "prod"


__all__ = ["PROJECT", "Settings"]
