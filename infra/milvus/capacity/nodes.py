"""The published table of nodes: which roles, how many and how large, for a loading memory.

Source: the Milvus sizing tool (milvus.io/tools/sizing): its 2.5 page for 2.3 to 2.5, its current
page for 2.6 and later. The tables are the tool's; counting replicas is this kit's own rule,
because the tool knows one replica only and replicas never share a query node.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

ROW_768_BYTES = 768 * 4
MILLION = 10**6


@dataclass(frozen=True)
class NodeGroup:
    """Equal nodes of one role: ``count`` of them, each with cores, memory and a volume in GiB."""

    count: int
    cpu: float
    memory_gib: int
    volume_gib: int = 0

    def __str__(self) -> str:
        volume = f", {self.volume_gib} GiB volume" if self.volume_gib else ""
        return f"{self.count} x ({self.cpu:g} cores, {self.memory_gib} GiB{volume})"


def query_nodes(loading_gib: float) -> NodeGroup:
    """Return the query nodes of one replica.

    Below 8 GiB one of 2 cores and 8 GiB; below 16 one of 4 and 16; below 96 one of 4 and 16 for
    each started 16 GiB; then nodes of 32, 64 (from 512 GiB) and 128 GiB (from 2 TiB).
    """
    if loading_gib < 8:  # noqa: PLR2004  (the table's own bounds, here and below)
        return NodeGroup(1, 2, 8)
    if loading_gib < 96:  # noqa: PLR2004
        return NodeGroup(math.floor(loading_gib / 16) + 1, 4, 16)
    memory = 32 if loading_gib < 512 else 64 if loading_gib < 2048 else 128  # noqa: PLR2004
    return NodeGroup(math.ceil(loading_gib / memory), memory / 4, memory)


def streaming_nodes(query_cores: float) -> NodeGroup:
    """Return the streaming nodes for the cores of all query nodes: 2 for each started 16."""
    units = max(1, math.ceil(query_cores / 16))
    if units == 1:
        return NodeGroup(1, 2, 8)
    if units <= 4:  # noqa: PLR2004
        return NodeGroup(1 if units == 2 else 2, 4, 16)  # noqa: PLR2004
    return NodeGroup(2 if units <= 8 else math.ceil(units / 4), 8, 32)  # noqa: PLR2004


def cluster_nodes(
    loading_gib: float, replicas: int, roles: Collection[str]
) -> dict[str, NodeGroup]:
    """Return a group for each Milvus role.

    Coordinators in processes of their own (2.3) get half of what mixcoord gets, each: it is the
    kit's own rule, since the tool knows mixcoord alone.

    Args:
        loading_gib: Loading memory of one replica.
        replicas: In-memory replicas.
        roles: Names of the roles that this version of Milvus has.
    """
    one = query_nodes(loading_gib)
    query = NodeGroup(one.count * replicas, one.cpu, one.memory_gib)
    if loading_gib < 8:  # noqa: PLR2004
        small, worker, workers = NodeGroup(1, 1, 4), (2, 8), 1
    elif loading_gib < 96:  # noqa: PLR2004
        small, worker = NodeGroup(1, 2, 8), (4, 16)
        workers = 1 if loading_gib < 16 else 2 if loading_gib < 64 else 4  # noqa: PLR2004
    else:
        small, worker, workers = NodeGroup(1, 8, 32), (8, 16), 8
    half = NodeGroup(1, max(small.cpu / 2, 1), max(small.memory_gib // 2, 4))
    groups = {
        "mixcoord": small,
        **dict.fromkeys(("rootcoord", "datacoord", "querycoord"), half),
        "querynode": query,
        "datanode": NodeGroup(workers, *worker),
        "streamingnode": streaming_nodes(query.cpu * query.count),
        "proxy": small,
    }
    if "indexnode" in roles:
        groups["datanode"] = NodeGroup(1, 2, 8) if loading_gib < 96 else small  # noqa: PLR2004
        groups["indexnode"] = NodeGroup(workers, *worker)
    return {name: group for name, group in groups.items() if name in roles}


def standalone_node(loading_gib: float) -> NodeGroup:
    """Return the standalone server: 8 or 16 GiB, else the next multiple of 32; 4 GiB a core."""
    for memory in (8, 16):
        if loading_gib <= memory:
            return NodeGroup(1, memory / 4, memory)
    memory = math.ceil(loading_gib / 32) * 32
    return NodeGroup(1, memory / 4, memory)


def etcd_nodes(mode: str, raw_bytes: float) -> dict[str, NodeGroup]:
    """Return etcd's members: three on SSD for a cluster, one for a standalone server."""
    if mode == "standalone":
        memory = 2 if raw_bytes >= MILLION * ROW_768_BYTES else 1
        return {"etcd": NodeGroup(1, 0.5, memory, 10)}
    large = raw_bytes >= 100 * MILLION * ROW_768_BYTES
    return {"etcd": NodeGroup(3, 1, 8 if large else 4, 50 if large else 20)}


def log_nodes(raw_bytes: float, log: str) -> dict[str, NodeGroup]:
    """Return the servers of a log that has any, each with room for the raw data once.

    The tool knows Kafka's brokers, with at least 20 GiB. Woodpecker's servers, of which there is
    one more than keep a write, get the same by the kit's own rule; what they have put into the
    object store leaves their volumes.
    """
    large = raw_bytes >= 100 * MILLION * ROW_768_BYTES
    cpu, memory = (4, 16) if large else (2, 8)
    room = max(math.ceil(raw_bytes / 2**30), 20)
    servers = {"kafka": ("kafka", 3), "woodpecker-service": ("woodpecker", 4)}
    if log not in servers:
        return {}
    name, count = servers[log]
    return {name: NodeGroup(count, cpu, memory, room)}
