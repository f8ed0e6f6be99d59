"""What a cluster is, as its API server tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.kubernetes.server import Server

GPU = "nvidia.com/gpu"
_FORBIDDEN = 403
_MOST_IMAGES = 50
"""A kubelet reports so many images and no more, unless told otherwise."""
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
_RESOURCES = ("cpu", "memory", GPU)


@dataclasses.dataclass(frozen=True)
class Node:
    """A node that is ready, and what of it pods may still request.

    ``taints`` are those that keep pods away, as key, value and effect.
    """

    name: str
    cpu: float
    memory_bytes: int
    gpus: int = 0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class ClusterFacts:
    """A live cluster.

    Args:
        version: Of the API server, such as ``v1.36.3``.
        nodes: That are ready and not cordoned off.
        storage_classes: Names of all storage classes.
        default_storage_class: The one for volumes that name none; empty if there is none.
        node_ports: Which Service has each port of the nodes, as ``namespace/name``; empty if
            Services may not be listed.
        images: Names of the images on the nodes; None if some node does not tell them all.
        uid: Of the namespace kube-system, which is as old as the cluster; empty if it may not be
            read.
    """

    version: str
    nodes: tuple[Node, ...]
    storage_classes: tuple[str, ...]
    default_storage_class: str
    node_ports: Mapping[int, str] = dataclasses.field(default_factory=dict)
    images: frozenset[str] | None = None
    uid: str = ""


def facts(client: Any, namespace: str = "") -> ClusterFacts:
    """Return the facts of the cluster that an API client is connected to.

    Args:
        client: The API client.
        namespace: Whose pods are the stack's own: they leave the room that they have.
    """
    server = Server(client)
    version = server.ask("/version", "gitVersion")
    usable = [node for node in server.items("/api/v1/nodes") if _usable(node)]
    classes = {
        one["metadata"]["name"]: one["metadata"].get("annotations") or {}
        for one in server.items("/apis/storage.k8s.io/v1/storageclasses")
    }
    taken = _taken(server, namespace)
    return ClusterFacts(
        version=version,
        nodes=tuple(sorted((_node(one, taken) for one in usable), key=lambda node: node.name)),
        storage_classes=tuple(sorted(classes)),
        default_storage_class=next(
            (name for name, notes in classes.items() if notes.get(_DEFAULT) == "true"), ""
        ),
        node_ports=_node_ports(server),
        images=_images(usable),
        uid=_uid(server),
    )


def _usable(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not node["spec"].get("unschedulable")


def _node(node: Mapping[str, Any], taken: Mapping[str, list[float]]) -> Node:
    """Return a node with what is left of it."""
    told = node["status"].get("allocatable") or {}
    name = node["metadata"]["name"]
    # What was promised can be more than there is: a kubelet may have been given less since.
    cpu, memory, gpus = (
        max(0.0, amount(told.get(one, "0")) - used)
        for one, used in zip(_RESOURCES, taken.get(name, [0.0] * 3), strict=True)
    )
    return Node(
        name=name,
        cpu=round(cpu, 3),
        memory_bytes=int(memory),
        gpus=int(gpus),
        labels=node["metadata"].get("labels") or {},
        taints=tuple(
            (one["key"], one.get("value") or "", one["effect"])
            for one in node["spec"].get("taints") or []
            if one["effect"] in {"NoSchedule", "NoExecute"}
        ),
    )


def amount(quantity: str) -> float:
    """Return a quantity as the API server writes it, such as ``1930m`` or ``128974848Ki``."""
    from kubernetes.utils import parse_quantity  # noqa: PLC0415  (as above)

    return float(parse_quantity(quantity))


def _taken(server: Server, namespace: str) -> dict[str, list[float]]:
    """Return what the pods of others have requested of each node; of all if they may be listed."""
    pods = _allowed(lambda: server.items("/api/v1/pods", fieldSelector=_RUNNING), [])
    found: dict[str, list[float]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod["metadata"]["namespace"] != namespace:
            before = found.setdefault(node, [0.0] * len(_RESOURCES))
            found[node] = [sum(pair) for pair in zip(before, _requested(pod["spec"]), strict=True)]
    return found


def _requested(spec: Mapping[str, Any]) -> list[float]:
    """Return what one pod requests: of init containers the largest, as they run one by one."""

    def of(containers: Iterable[Mapping[str, Any]], name: str) -> list[float]:
        requests = [(one.get("resources") or {}).get("requests") or {} for one in containers]
        return [amount(one[name]) for one in requests if name in one]

    first = spec.get("initContainers") or []
    beside = [one for one in first if one.get("restartPolicy") == "Always"]
    return [
        max(sum(of([*spec["containers"], *beside], name)), *of(first, name), 0.0)
        for name in _RESOURCES
    ]


def _allowed(ask: Callable[[], Any], otherwise: Any) -> Any:
    """Return an answer of the API server's, or something else where it may not be asked for."""
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (as above)

    try:
        return ask()
    except ApiException as error:
        if error.status == _FORBIDDEN:
            return otherwise
        raise


def _uid(server: Server) -> str:
    found = _allowed(lambda: server.ask("/api/v1/namespaces/kube-system", "metadata"), {})
    return found.get("uid", "")


def _node_ports(server: Server) -> dict[int, str]:
    # Where they may not be listed, the API server itself refuses a port that is taken.
    services = _allowed(lambda: server.items("/api/v1/services"), [])
    return {
        port["nodePort"]: f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in services
        for port in one["spec"].get("ports") or []
        if port.get("nodePort")
    }


def _images(nodes: Iterable[Mapping[str, Any]]) -> frozenset[str] | None:
    """Return the images' names, unless a node has told none yet, or only the largest of many."""
    told = [node["status"].get("images") or [] for node in nodes]
    if any(not 0 < len(one) < _MOST_IMAGES for one in told):
        return None
    return frozenset(name for one in told for image in one for name in image.get("names") or [])
