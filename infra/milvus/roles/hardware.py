"""GPUs and local NVMe: what they add to the pods of the roles that search or build indexes."""

from __future__ import annotations

import math
from typing import Any

from infra.milvus.capacity.planning import Capacity
from infra.milvus.roles.topology import STANDALONE, has_index_nodes
from infra.servers import pods
from infra.settings.milvus import Milvus
from infra.settings.model import Volume
from infra.settings.quantities import bytes_of

GPU_RESOURCE = "nvidia.com/gpu"
LEAST_ROOM = 20 * 2**30


def index_roles(version: str) -> tuple[str, ...]:
    """Return the roles that search or build indexes."""
    builder = "indexnode" if has_index_nodes(version) else "datanode"
    return ("querynode", builder, STANDALONE)


def gpu_resources(role: str, milvus: Milvus) -> dict[str, str]:
    """Return the extended resource that a role's container asks for; empty without GPUs."""
    if not uses_gpu(role, milvus):
        return {}
    return {GPU_RESOURCE: str(milvus.gpu.per_pod)}


def uses_gpu(role: str, milvus: Milvus) -> bool:
    """Tell whether a role's pods have a GPU."""
    return milvus.gpu.enabled and role in (milvus.gpu.roles or index_roles(milvus.version))


def runtime_class(role: str, milvus: Milvus) -> dict[str, str]:
    """Return the pod's runtime class, which nodes with GPUs often need."""
    if milvus.gpu.runtime_class and uses_gpu(role, milvus):
        return {"runtimeClassName": milvus.gpu.runtime_class}
    return {}


def volume_of(role: str, milvus: Milvus) -> Volume | None:
    """Return the volume under a role's data folder; None where that is a folder of the node."""
    if role == STANDALONE and milvus.data_volume:
        return milvus.data_volume
    return milvus.diskann.volume if on_nvme(role, milvus) else None


def on_nvme(role: str, milvus: Milvus) -> bool:
    """Tell whether a role's data folder has to be on local NVMe, for DiskANN."""
    streaming = role == "streamingnode"  # it serves growing data from the same index files
    return milvus.diskann.enabled and (role in index_roles(milvus.version) or streaming)


def room(capacity: Capacity, milvus: Milvus) -> str:
    """Return how much a role's data folder may hold."""
    volume = volume_of(capacity.role.name, milvus)
    if volume is not None:
        return volume.size
    memory = bytes_of(capacity.resources.memory or "0")
    usual = math.ceil(max(LEAST_ROOM, 2 * memory, capacity.disk_bytes) / 2**30)
    return capacity.given.local_storage or f"{usual}Gi"


def data_volume(capacity: Capacity, milvus: Milvus, storage_class: str | None) -> dict[str, Any]:
    """Return the volume under Milvus's data folder, of a role that keeps nothing.

    With DiskANN it is local NVMe that comes and goes with the pod: what is on it is a copy of the
    bucket. Otherwise it is an empty folder of the node.
    """
    volume = volume_of(capacity.role.name, milvus)
    if volume is not None:
        template = pods.claim("data", volume, storage_class)
        return {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": template["spec"]}}}
    return pods.scratch(data=room(capacity, milvus))[0]
