"""What a stack has to say of a data set that was sized, ready to be pasted into its file."""

from __future__ import annotations

import math
from typing import Any

import yaml

from infra.milvus.capacity.indexes import FLOAT_BYTES, GIB, ON_DISK, SEGMENT_MIB, Index
from infra.milvus.capacity.sizing import Sizing
from infra.settings.milvus import Dataset

_KEYS = {
    "vectors": "vectors",
    "dim": "dim",
    "replicas": "replicas",
    "scalar_bytes": "scalarBytes",
    "m": "hnswM",
    "nlist": "nlist",
    "max_degree": "maxDegree",
    "mmap": "mmap",
}
_NVME = "local-nvme"
_REMARKS = {f"storageClass: {_NVME}": "the class of your local NVMe volumes"}


def section(sizing: Sizing) -> dict[str, Any]:
    """Return the keys of ``milvus-kit:milvus`` that follow from a sizing; defaults are left out."""
    work = sizing.workload
    values = {name: getattr(work, field) for field, name in _KEYS.items()}
    usual = {
        field.alias: field.default
        for field in Dataset.model_fields.values()
        if not field.is_required()
    }
    dataset = {name: value for name, value in values.items() if usual.get(name) != value}
    dataset |= {"vectorType": str(work.vector_type)} if work.dim_bytes != FLOAT_BYTES else {}
    found: dict[str, Any] = {"dataset": {**dataset, "index": str(work.index)}}
    if work.index is Index.GPU_CAGRA:
        found["gpu"] = {"enabled": True}
    if work.index in ON_DISK:
        nodes = sizing.nodes["standalone" if sizing.mode == "standalone" else "querynode"]
        room = max(1, math.ceil(sizing.disk_bytes / nodes.count / GIB))
        volume = {"size": f"{room}Gi", "storageClass": _NVME}
        found["diskann"] = {"enabled": True, "volume": volume}
    if work.segment_mib != SEGMENT_MIB:
        found["configuration"] = {"dataCoord": {"segment": {"maxSize": work.segment_mib}}}
    return found


def text(sizing: Sizing) -> str:
    """Return `section` as YAML, with what a reader has to know behind its lines."""
    document = {"config": {"milvus-kit:milvus": section(sizing)}}
    lines = yaml.safe_dump(document, sort_keys=False).splitlines()
    told = (
        f"{line} # {_REMARKS[line.strip()]}" if line.strip() in _REMARKS else line for line in lines
    )
    room = math.ceil(sizing.bucket_bytes / GIB)
    note = f"# The bucket needs {room}Gi: storage.volume.size of a MinIO made here, or the store's."
    return "\n".join([*told, note]) + "\n"
