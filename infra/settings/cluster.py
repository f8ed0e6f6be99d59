"""The Kubernetes cluster: one that is there, or one that the kit makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from infra.settings.model import (
    Cidr,
    ConfigSecret,
    DnsLabel,
    DnsName,
    IpAddress,
    Placement,
    Port,
    Resources,
    Section,
    Version,
)
from validation.common.patterns import shaped


class Jobs(Section):
    """The short Jobs: snapshots of etcd, root's first password, and what runs before a server."""

    resources: Resources = Field(
        default=Resources(cpu="10m", memory="512Mi"), description="of each of their containers"
    )
    placement: Placement = Field(default=Placement(), description="default: kubernetes.placement")


class _Cluster(Section):
    namespace: DnsLabel = Field(default="milvus", description="where everything is deployed")
    create_namespace: bool = Field(
        default=True, description="false: the namespace is there and is not ours to delete"
    )
    storage_class: DnsName | None = Field(
        default=None, description="for every volume that names none; default: the cluster's own"
    )
    pod_security: Literal["restricted", "baseline"] = Field(
        default="restricted", description="Pod Security Standard that the namespace enforces"
    )
    pod_user: Literal["fixed", "assigned"] = Field(
        default="fixed",
        description="fixed: 1000; assigned: the cluster gives each pod its user, as OpenShift does",
    )
    placement: Placement = Field(
        default=Placement(), description="of every pod that has no placement of its own"
    )
    jobs: Jobs = Jobs()


class ExistingCluster(_Cluster):
    """A cluster that is there."""

    provider: Literal["existing"]
    kubeconfig: ConfigSecret | None = Field(
        default=None, description="name of the secret configuration key that holds a kubeconfig"
    )
    kubeconfig_file: Path | None = Field(
        default=None, description="path of a kubeconfig; default: KUBECONFIG, or ~/.kube/config"
    )
    context: str | None = Field(default=None, description="default: the current one")

    @model_validator(mode="after")
    def _one_kubeconfig(self) -> Self:
        if self.kubeconfig is not None and self.kubeconfig_file is not None:
            raise PydanticCustomError(
                "one_source", "give at most one of kubeconfig and kubeconfigFile"
            )
        return self


class KindCluster(_Cluster):
    """A cluster in Docker containers on this machine, by the kind command."""

    provider: Literal["kind"]
    cluster_name: DnsLabel = "milvus-kit"
    kubernetes_version: Version = "1.36.3"
    workers: Annotated[int, Field(ge=0, le=9)] = Field(
        default=0, description="nodes beside the control plane; 0: one node does everything"
    )


class Ssh(Section):
    """How a host is reached."""

    user: str = shaped(r"^[a-z_][a-z0-9_-]*$", "a user of the host", "root", default="root")
    port: Port = 22
    private_key: ConfigSecret = Field(description="secret configuration key with the SSH key")
    host_key: str = Field(description="the host's public key, as in known_hosts: type and base64")


class Host(Section):
    """One machine of a cluster made with kubeadm."""

    name: DnsLabel
    address: IpAddress = Field(
        description="its IP address: the other hosts, and ssh, reach it there"
    )
    role: Literal["control-plane", "worker"]
    ssh: Ssh | None = Field(default=None, description="none: this very machine")


class Cni(Section):
    """The pod network."""

    type: Literal["bridge", "manifest"] = Field(
        default="bridge",
        description="bridge: one node, no NetworkPolicy enforced; manifest: your own",
    )
    manifest: Path | None = Field(default=None, description="manifest file to apply")

    @model_validator(mode="after")
    def _manifest_is_given(self) -> Self:
        if (self.type == "manifest") != (self.manifest is not None):
            raise PydanticCustomError("cni", "manifest goes with type: manifest, and only with it")
        return self


class KubeadmCluster(_Cluster):
    """A cluster made with kubeadm on given hosts."""

    provider: Literal["kubeadm"]
    kubernetes_version: Version = "1.36.3"
    hosts: tuple[Host, ...]
    pod_subnet: Cidr = Field(default="10.244.0.0/16", description="CIDR of pods")
    service_subnet: Cidr = Field(default="10.96.0.0/16", description="CIDR of Services")
    cni: Cni = Cni()
    local_volumes: Path = Field(
        default=Path("/var/lib/milvus-kit/volumes"),
        description="folder on each host for the default storage class",
    )
    image_archives: Path | None = Field(
        default=None,
        description="folder on each host with image archives (*.tar) that are imported before"
        " anything starts; images are then never pulled: for sites without a registry",
    )

    @model_validator(mode="after")
    def _hosts_fit(self) -> Self:
        for key in ("name", "address"):
            values = [getattr(host, key) for host in self.hosts]
            if len(set(values)) != len(values):
                raise PydanticCustomError("hosts", "two hosts have the same " + key)
        leaders = sum(host.role == "control-plane" for host in self.hosts)
        if leaders not in {1, 3, 5}:
            raise PydanticCustomError("hosts", "give 1, 3 or 5 hosts with role: control-plane")
        if len(self.hosts) > 1 and self.cni.type == "bridge":
            raise PydanticCustomError("hosts", "more than one host needs cni.type: manifest")
        return self


Cluster = Annotated[ExistingCluster | KindCluster | KubeadmCluster, Field(discriminator="provider")]
