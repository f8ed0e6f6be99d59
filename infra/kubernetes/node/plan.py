"""What is to be made of a host: plain values that travel through Pulumi's state."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

FOLDER = "/var/lib/milvus-kit/node"
"""Everything the kit puts on a host and need not stand elsewhere."""
STATE = "/run/milvus-kit/node"
RECORD = f"{FOLDER}/record.json"
ADMIN = "/etc/kubernetes/admin.conf"
SOCKET = f"{STATE}/containerd/containerd.sock"
API_PORT = 6443


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ssh(_Part):
    """How a host is reached from here."""

    user: str
    port: int = 22
    private_key: SecretStr
    host_key: str


class Host(_Part):
    """One machine; without ``ssh`` it is this very one."""

    name: str
    address: str
    role: Literal["control-plane", "worker"]
    ssh: Ssh | None = None


class NodePlan(_Part):
    """A node of one cluster.

    Args:
        cluster: Name of the cluster; it marks the host as ours.
        kubernetes_version: Such as ``1.36.3``; kubeadm and kubelet of the host must have it.
        cni_manifest: Text of the user's own manifest; None for the plain bridge of one node.
        image_archives: Folder on the host with image archives that are imported before anything
            starts, for sites without a registry.
        local_volumes: Folder on the host for the default storage class.
        single: Whether this is the only node, which then takes every pod.
        leader: The control plane to join; None for the host that starts the cluster.
    """

    cluster: str
    host: Host
    kubernetes_version: str
    pod_subnet: str
    service_subnet: str
    cni_manifest: str | None = None
    image_archives: str | None = None
    local_volumes: str = "/var/lib/milvus-kit/volumes"
    single: bool = True
    leader: Host | None = None

    def decides(self) -> dict[str, str]:
        """Return what decides which cluster this is a node of, by the settings' keys."""
        if self.leader is not None:
            return first(self.leader)
        return {
            **first(self.host),
            "kubernetes.kubernetesVersion": self.kubernetes_version,
            "kubernetes.podSubnet": self.pod_subnet,
            "kubernetes.serviceSubnet": self.service_subnet,
            "kubernetes.cni.type": "manifest" if self.cni_manifest else "bridge",
            "kubernetes.imageArchives": self.image_archives or "none",
            "kubernetes.localVolumes": self.local_volumes,
        }

    def document(self) -> dict[str, Any]:
        """Return the plan as plain data, the SSH keys in plain text: only for Pulumi secrets."""
        return _revealed(self)

    def fingerprint(self) -> str:
        """Return a digest of what makes the node what it is.

        How it is reached is no part of it. Neither is the text of the pod network's manifest, nor
        whether other nodes are beside it: both change in the cluster as it stands.
        """
        data = self.model_dump(mode="json")
        data["host"].pop("ssh", None)
        data["cni_manifest"] = self.cni_manifest and "given"
        data["single"] = True
        data.pop("leader", None)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def first(host: Any) -> dict[str, str]:
    """Return which control plane is the first: its address is the whole cluster's."""
    return {"kubernetes.hosts": f"first control plane {host.name}, {host.address}"}


def _revealed(part: Any) -> Any:
    if isinstance(part, SecretStr):
        return part.get_secret_value()
    if isinstance(part, BaseModel):
        return {name: _revealed(getattr(part, name)) for name in type(part).model_fields}
    return part
