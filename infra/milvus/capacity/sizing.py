"""How much a data set needs: memory, nodes, disks and bucket, from Milvus's published formulas.

The formulas are those of the Milvus sizing tool (milvus.io/tools/sizing), which its authors derived
from laboratory data: a start, to be confirmed by an acceptance run. Sizes are binary (1 GiB =
2**30 bytes), as the tool counts. What this kit adds to the published rules is marked as its own.

Everything here is a pure function of a `Workload`; the arithmetic is kept line by line in
`Sizing.steps`, so that a reader can check each number by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from infra.milvus.capacity.indexes import (
    GIB,
    OFFLOADED_SHARE,
    ON_DISK,
    SINCE,
    Index,
    Step,
    Workload,
    gib,
    index_size,
)
from infra.milvus.capacity.nodes import (
    NodeGroup,
    cluster_nodes,
    etcd_nodes,
    log_nodes,
    standalone_node,
)
from infra.milvus.roles.topology import OLDEST, parse_version, roles
from validation.errors import ConfigurationError

NEWEST = "3"
MIB = 2**20
LOADING_FACTOR = 1.15
GPU_FACTOR = 1.5
CAGRA_GRAPH_DEGREE = 64
MINIMUM_BUCKET_GIB = 30
Mode = Literal["standalone", "cluster"]


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What a workload needs.

    Sizes are bytes. ``loading_bytes`` is the loading memory of one replica, ``memory_bytes`` that
    of all; ``disk_bytes`` and ``gpu_bytes`` the local NVMe and device memory of all query nodes
    (zero where the index needs none); ``bucket_bytes`` what the bucket must hold. ``nodes`` maps a
    role to its group.
    """

    workload: Workload
    mode: Mode
    raw_bytes: float
    index_bytes: float
    loading_bytes: float
    memory_bytes: float
    disk_bytes: float
    gpu_bytes: float
    bucket_bytes: float
    nodes: Mapping[str, NodeGroup]
    steps: tuple[Step, ...] = field(repr=False)


def size(
    workload: Workload, *, mode: Mode = "cluster", version: str = NEWEST, log: str | None = None
) -> Sizing:
    """Return what a workload needs.

    Args:
        workload: The data set and how it is searched.
        mode: ``cluster`` or ``standalone``.
        version: Of Milvus, which decides what roles a cluster has.
        log: As the target names it; None: Kafka until 2.5, Woodpecker's own servers from 2.6 on.

    Raises:
        ConfigurationError: More than one replica on a standalone server, which has one node; or an
            index that the version does not have.
    """
    since = SINCE.get(workload.index, OLDEST)
    if parse_version(version)[:2] < since[:2]:
        raise ConfigurationError(
            f"this index came with Milvus {since[0]}.{since[1]}",
            where="index",
            seen=f"{workload.index}, Milvus {version}",
            remedy="choose another index, or a later version",
        )
    if mode == "standalone" and workload.replicas > 1:
        raise ConfigurationError(
            "a standalone Milvus holds one in-memory replica",
            where="replicas",
            seen=workload.replicas,
            remedy="set replicas to 1, or size a cluster",
        )
    raw = workload.raw
    scalars = workload.vectors * workload.scalar_bytes
    memory, disk, formulas = index_size(workload)
    margin = 0 if workload.index in ON_DISK else 2 * workload.segment_mib * MIB
    whole = (memory + margin) * LOADING_FACTOR + scalars
    stored = raw + scalars + max(whole, memory + disk)
    share = OFFLOADED_SHARE if workload.mmap else 1
    loading = (memory / share + margin) * LOADING_FACTOR + scalars / share
    if workload.mmap:
        disk += memory + scalars
    sizing = Sizing(
        workload=workload,
        mode=mode,
        raw_bytes=raw + scalars,
        index_bytes=memory,
        loading_bytes=loading,
        memory_bytes=loading * workload.replicas,
        disk_bytes=disk * workload.replicas,
        gpu_bytes=_gpu_bytes(workload, raw),
        bucket_bytes=max(math.ceil(stored / GIB), MINIMUM_BUCKET_GIB) * GIB,
        nodes=_nodes(workload, loading, mode=mode, version=version, log=log),
        steps=formulas,
    )
    return _explained(sizing)


def _gpu_bytes(workload: Workload, raw: float) -> float:
    """Return device memory: vectors and graph, times the tool's head-room of 1.5."""
    if workload.index is not Index.GPU_CAGRA:
        return 0.0
    graph = workload.vectors * CAGRA_GRAPH_DEGREE * 4
    return (raw + graph) * GPU_FACTOR * workload.replicas


def _nodes(
    workload: Workload, loading: float, *, mode: Mode, version: str, log: str | None
) -> dict[str, NodeGroup]:
    raw = workload.raw + workload.vectors * workload.scalar_bytes
    if mode == "standalone":
        groups = {"standalone": standalone_node(loading / GIB)}
    else:
        names = [role.name for role in roles(version, mode)]
        groups = cluster_nodes(loading / GIB, workload.replicas, names)
        usual = "woodpecker-service" if "streamingnode" in names else "kafka"
        groups |= log_nodes(raw, log or usual)
    return groups | etcd_nodes(mode, raw)


def _explained(sizing: Sizing) -> Sizing:
    """Return the sizing with every line of its arithmetic."""
    work = sizing.workload
    vectors = work.raw
    scalars = sizing.raw_bytes - vectors
    share = f" / {OFFLOADED_SHARE} (mapped from disk)" if work.mmap else ""
    margin = "" if work.index in ON_DISK else f" + 2 segments x {work.segment_mib} MiB"
    steps = [
        Step(
            "raw vectors",
            f"{work.vectors:,} x {work.dim} dimensions x {work.dim_bytes} B",
            gib(vectors),
        ),
        Step("raw scalars", f"{work.vectors:,} x {work.scalar_bytes} B", gib(scalars)),
        *sizing.steps,
        Step(
            "loading memory, one replica",
            f"({gib(sizing.index_bytes)}{share}{margin}) x {LOADING_FACTOR}"
            f" + {gib(scalars)}{share} scalars",
            gib(sizing.loading_bytes),
        ),
        Step(
            "loading memory, all replicas",
            f"{gib(sizing.loading_bytes)} x {work.replicas}",
            gib(sizing.memory_bytes),
        ),
    ]
    if sizing.disk_bytes:
        mapped = " and what is mapped" if work.mmap else ""
        formula = f"one replica's{mapped} x {work.replicas}"
        steps.append(Step("local disk, all replicas", formula, gib(sizing.disk_bytes)))
    if sizing.gpu_bytes:
        formula = f"(raw + vectors x degree {CAGRA_GRAPH_DEGREE} x 4 B) x {GPU_FACTOR} x replicas"
        steps.append(Step("GPU memory, all replicas", formula, gib(sizing.gpu_bytes)))
    steps += [_node_step(sizing), *_bucket_steps(sizing)]
    return Sizing(**{**vars(sizing), "steps": tuple(steps)})


def _node_step(sizing: Sizing) -> Step:
    if sizing.mode == "standalone":
        text = "8 or 16 GiB, else the next multiple of 32; 4 GiB a core"
        return Step("standalone server", text, str(sizing.nodes["standalone"]))
    group, replicas = sizing.nodes["querynode"], sizing.workload.replicas
    text = f"{group.count // replicas} x {group.memory_gib} GiB a replica, x {replicas}"
    return Step("query nodes", text, str(group))


def _bucket_steps(sizing: Sizing) -> tuple[Step, ...]:
    files = sizing.index_bytes + sizing.disk_bytes / sizing.workload.replicas
    return (
        Step(
            "bucket",
            f"raw {gib(sizing.raw_bytes)} + the larger of loading memory and index files"
            f" {gib(max(sizing.loading_bytes, files))}, at least {MINIMUM_BUCKET_GIB} GiB;"
            " replicas share it",
            gib(sizing.bucket_bytes),
        ),
        Step(
            "bucket while compacting (the kit's rule)",
            "x 2: old segments stay until they are garbage-collected",
            gib(2 * sizing.bucket_bytes),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a stack declares, to be held against a sizing; None where it declares nothing.

    ``memory_bytes`` and ``disk_bytes`` are those of all query nodes, or of the standalone server.
    """

    query_nodes: int | None = None
    memory_bytes: float | None = None
    disk_bytes: float | None = None
    bucket_bytes: float | None = None


def shortfalls(declared: Declared, need: Sizing) -> list[str]:
    """Return a line for each thing that is too small, saying by how much.

    Memory is what decides: fewer, larger query nodes are as good as the recommended ones, as long
    as there is one for each replica.
    """
    short: list[str] = []
    replicas = need.workload.replicas
    if declared.query_nodes is not None and declared.query_nodes < replicas:
        short.append(
            f"query nodes: {declared.query_nodes} declared, {replicas} needed for {replicas}"
            f" replicas, {replicas - declared.query_nodes} short"
        )
    for name, have, want in (
        ("memory", declared.memory_bytes, need.memory_bytes),
        ("local disk", declared.disk_bytes, need.disk_bytes),
        ("bucket", declared.bucket_bytes, need.bucket_bytes),
    ):
        if have is not None and have < want:
            missing = gib(want - have)
            short.append(f"{name}: {gib(have)} declared, {gib(want)} needed, {missing} short")
    return short


def require_enough(declared: Declared, need: Sizing, *, where: str) -> None:
    """Refuse a stack that is too small for its declared data set.

    Args:
        declared: What the stack declares.
        need: What its data set needs.
        where: The stack's file and key, for the error.

    Raises:
        ConfigurationError: Naming every shortfall, and by how much.
    """
    short = shortfalls(declared, need)
    if not short:
        return
    role = "querynode" if need.mode == "cluster" else "standalone"
    raise ConfigurationError(
        "the stack is too small for its declared data set\n    " + "\n    ".join(short),
        where=where,
        remedy=f"declare {role} {need.nodes[role]}; `milvus-kit size` shows the arithmetic",
    )
