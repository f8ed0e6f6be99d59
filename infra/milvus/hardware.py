"""GPUs and local NVMe: what they add to the pods of the roles that search or build indexes."""

from __future__ import annotations

from typing import Any

from infra.milvus import pods
from infra.milvus.topology import STANDALONE, has_index_nodes
from infra.settings.milvus import Milvus

GPU_RESOURCE = "nvidia.com/gpu"


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


def data_volume(role: str, milvus: Milvus, storage_class: str | None) -> dict[str, Any]:
    """Return the volume under Milvus's data folder.

    With DiskANN it is local NVMe that comes and goes with the pod: what is on it is a copy of the
    bucket. Otherwise it is an empty folder of the node.
    """
    volume = milvus.diskann.volume
    streaming = role == "streamingnode"  # it serves growing data from the same index files
    if volume and milvus.diskann.enabled and (role in index_roles(milvus.version) or streaming):
        template = pods.claim("data", volume, storage_class)
        return {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": template["spec"]}}}
    return {"name": "data", "emptyDir": {}}
