"""Milvus itself: version, shape, roles, security, hardware and the data it is declared to hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from infra.milvus.capacity.indexes import Index, VectorType
from infra.milvus.roles import keys
from infra.settings.model import (
    Access,
    DnsName,
    ImageRef,
    Placement,
    Resources,
    SecretValue,
    Section,
    Version,
    Volume,
)
from infra.settings.quantities import Quantity
from validation.common.patterns import shaped

CveId = Annotated[
    str, shaped(r"^CVE-\d{4}-\d{4,7}$", "the identifier of a vulnerability", "CVE-2026-26190")
]
Reason = Annotated[str, Field(min_length=10, max_length=400)]
RoleName = Literal[
    "standalone",
    "rootcoord",
    "querycoord",
    "datacoord",
    "indexcoord",
    "mixcoord",
    "proxy",
    "querynode",
    "datanode",
    "indexnode",
    "streamingnode",
]


def _as_milvus_reads_it(tree: dict[str, Any]) -> dict[str, Any]:
    """Return milvus.yaml's keys in one form, so that no rule is passed by another spelling."""
    try:
        return keys.nested(tree)
    except ValueError as error:
        raise PydanticCustomError(
            "twice",
            "{key} stands here twice: Milvus reads a.b, A: {{b}} and a_b as one key",
            {"key": str(error)},
        ) from None


class Autoscaling(Section):
    """A HorizontalPodAutoscaler: compute scales, storage is not touched."""

    min_replicas: Annotated[int, Field(ge=1)]
    max_replicas: Annotated[int, Field(ge=1)]
    cpu_percent: Annotated[int, Field(ge=10, le=95)] = 70

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise PydanticCustomError("autoscaling", "minReplicas is more than maxReplicas")
        return self


class Role(Section):
    """One Milvus role. What is left out comes from sizing."""

    replicas: Annotated[int, Field(ge=0, le=512)] | None = None
    resources: Resources = Resources()
    autoscaling: Autoscaling | None = None
    placement: Placement = Placement()
    env: dict[
        Annotated[
            str, shaped(r"^[A-Z_][A-Z0-9_]*$", "the name of an environment variable", "GOMEMLIMIT")
        ],
        str,
    ] = Field(default={}, description="more environment variables; no secrets")
    local_storage: Quantity | None = Field(
        default=None,
        description="the node's disk that its data folder may take, where that is no volume;"
        " default: twice its memory, at least 20Gi",
    )
    termination_grace_seconds: Annotated[int, Field(ge=10, le=7200)] | None = Field(
        default=None, description="time to drain before the pod is stopped"
    )


class MilvusTls(Section):
    """TLS between clients and Milvus."""

    mode: Literal["off", "server", "mutual"] = Field(
        default="off", description="default in prod: server"
    )
    existing_secret: DnsName | None = Field(
        default=None,
        description="Secret with tls.crt, tls.key and ca.crt; none: this stack's own CA signs",
    )
    existing_client_secret: DnsName | None = Field(
        default=None,
        description="mode mutual with existingSecret: Secret with tls.crt, tls.key and ca.crt of a"
        " client, for the kit's own Jobs",
    )


class MilvusAuth(Section):
    """Users and passwords (common.security.authorizationEnabled)."""

    enabled: bool = Field(default=False, description="default in prod: true")
    root_password: SecretValue | None = Field(
        default=None,
        description="none: generated. Set at the first start; to change it later, change it in"
        " Milvus first (update_password), which alone knows the old one, and then here",
    )


class Operator(Section):
    """milvus-operator, with ``installer: operator``."""

    install: bool = Field(
        default=True, description="false: the operator is there and is not ours to change"
    )
    chart: str | None = Field(
        default=None, description="path or URL of the chart, for sites without the public one"
    )
    install_crds: bool = Field(
        default=True,
        description="the chart brings the CRDs; `destroy` leaves the release, because with it"
        " every Milvus would go",
    )


class Gpu(Section):
    """GPU index building and search (CAGRA): the -gpu image and nvidia.com/gpu."""

    enabled: bool = False
    per_pod: Annotated[int, Field(ge=1, le=16)] = 1
    runtime_class: DnsName | None = None
    roles: tuple[Literal["querynode", "indexnode", "datanode", "standalone"], ...] = Field(
        default=(), description="default: the roles that search and build"
    )


class DiskAnn(Section):
    """DiskANN: an index on local NVMe."""

    enabled: bool = False
    volume: Volume | None = Field(
        default=None, description="local NVMe volume of each node that searches or builds"
    )

    @model_validator(mode="after")
    def _volume_is_given(self) -> Self:
        if self.enabled and self.volume is None:
            raise PydanticCustomError("diskann", "DiskANN needs volume: a local NVMe volume")
        return self


class Dataset(Section):
    """The data this deployment is declared to hold: sizing refuses a stack too small for it."""

    vectors: Annotated[int, Field(ge=1, le=10**13)]
    dim: Annotated[int, Field(ge=1, le=32_768)]
    vector_type: VectorType = Field(default=VectorType.FLOAT, description="of a dimension")
    index: Index = Index.HNSW
    replicas: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="copies in memory across query nodes"
    )
    scalar_bytes: Annotated[int, Field(ge=0)] = Field(
        default=0, description="bytes of scalar fields in one row"
    )
    hnsw_m: Annotated[int, Field(ge=2, le=2048)] = Field(
        default=30, description="HNSW: M, the most edges of a node"
    )
    nlist: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=128, description="IVF: number of clusters"
    )
    max_degree: Annotated[int, Field(ge=1, le=512)] = Field(
        default=56, description="DISKANN, AISAQ: the most edges of a node"
    )
    mmap: bool = Field(
        default=False,
        description="query nodes map indexes and fields from their disk (queryNode.mmap, 2.5 and"
        " later): less memory, slower searches",
    )


class Milvus(Section):
    """One Milvus deployment."""

    version: Version
    mode: Literal["standalone", "cluster"]
    installer: Literal["manifests", "operator"] = Field(
        default="manifests",
        description="manifests: objects that preview shows; operator: a Milvus custom resource",
    )
    operator: Operator = Operator()
    image: ImageRef | None = Field(
        default=None, description="instead of the one in stacks/images.yaml, same version"
    )
    command: tuple[str, ...] = Field(
        default=("milvus",),
        min_length=1,
        description="the server's binary in the image, for images that are laid out differently",
    )
    upgrade_from: Version | None = Field(
        default=None,
        description="the version that runs now, for an upgrade to another minor version or a"
        " downgrade: roles are then changed in the order that this step needs",
    )
    roles: dict[RoleName, Role] = Field(
        default={}, description="only what differs from sizing and defaults"
    )
    ready_seconds: Annotated[int, Field(ge=0, le=600)] = Field(
        default=0,
        description="how long a new pod stays ready before the next one is replaced"
        " (minReadySeconds); default in prod: 30",
    )
    configuration: Annotated[dict[str, Any], AfterValidator(_as_milvus_reads_it)] = Field(
        default={}, description="further milvus.yaml keys, nested as there or dotted; no secrets"
    )
    tls: MilvusTls = MilvusTls()
    auth: MilvusAuth = MilvusAuth()
    gpu: Gpu = Gpu()
    diskann: DiskAnn = DiskAnn()
    dataset: Dataset | None = None
    data_volume: Volume | None = Field(
        default=None, description="volume of a standalone with RocksMQ or embedded etcd"
    )
    access: Access = Field(default=Access(), description="how clients reach the proxy")
    clients_from: tuple[DnsName, ...] = Field(
        default=(),
        description="namespaces whose pods may connect to the proxy; with access.sourceRanges also"
        " empty: every client the network lets in",
    )
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    accepted_risks: dict[CveId, Reason] = Field(
        default={},
        description="why a version with this published vulnerability may run, by CVE number; prod"
        " refuses it otherwise, dev says so",
    )
