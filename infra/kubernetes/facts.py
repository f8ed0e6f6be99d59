"""What a cluster is, and every reason why this stack does not fit on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from infra.settings.model import bytes_of, cores_of

OLDEST = (1, 30)
"""The oldest Kubernetes minor version that knows everything these programs use: the pause before a
proxy's stop (``preStop.sleep``) came with it."""
_FORBIDDEN = 403
_MOST_IMAGES = 50
"""A kubelet reports so many images and no more, unless told otherwise."""
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


@dataclasses.dataclass(frozen=True)
class ClusterFacts:
    """A live cluster.

    Args:
        version: Of the API server, such as ``v1.36.3``.
        nodes: Names of the nodes that are ready and take pods.
        cpu: Cores that pods may request, over those nodes.
        memory_bytes: Memory that pods may request.
        storage_classes: Names of all storage classes.
        default_storage_class: The one for volumes that name none; empty if there is none.
        node_ports: Which Service has each port of the nodes, as ``namespace/name``; empty if
            Services may not be listed.
        images: Names of the images on the nodes; None if some node does not tell them all.
    """

    version: str
    nodes: tuple[str, ...]
    cpu: float
    memory_bytes: int
    storage_classes: tuple[str, ...]
    default_storage_class: str
    node_ports: dict[int, str] = dataclasses.field(default_factory=dict)
    images: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a stack needs of a cluster.

    Args:
        storage_class: That its volumes name; empty for the default one.
        volumes: Whether it has any volume.
        cpu: Cores requested by all its pods; 0 if not known.
        memory_bytes: Memory requested by all its pods; 0 if not known.
        node_ports: Ports of the nodes by the Service, ``namespace/name``, that is to have each.
        images: That must be on the nodes already, since they are never pulled.
    """

    storage_class: str = ""
    volumes: bool = True
    cpu: float = 0.0
    memory_bytes: int = 0
    node_ports: dict[str, int] = dataclasses.field(default_factory=dict)
    images: tuple[str, ...] = ()


def facts(client: Any) -> ClusterFacts:
    """Return the facts of the cluster that an API client is connected to."""
    from kubernetes import client as api  # noqa: PLC0415  (half a second, and only needed here)

    version = api.VersionApi(client).get_code().git_version
    usable: list[Any] = [node for node in api.CoreV1Api(client).list_node().items if _usable(node)]
    classes: list[Any] = api.StorageV1Api(client).list_storage_class().items
    allocatable = [node.status.allocatable for node in usable]
    return ClusterFacts(
        version=version,
        nodes=tuple(sorted(node.metadata.name for node in usable)),
        cpu=sum(cores_of(one["cpu"]) for one in allocatable),
        memory_bytes=sum(bytes_of(one["memory"]) for one in allocatable),
        storage_classes=tuple(sorted(one.metadata.name for one in classes)),
        default_storage_class=next(
            (
                one.metadata.name
                for one in classes
                if (one.metadata.annotations or {}).get(_DEFAULT) == "true"
            ),
            "",
        ),
        node_ports=_node_ports(api.CoreV1Api(client)),
        images=_images(usable),
    )


def problems(found: ClusterFacts, needs: Needs) -> list[str]:
    """Return why a stack does not fit on a cluster, each reason with its remedy."""
    checks = (_version, _storage, _capacity, _ports, _absent)
    return [reason for check in checks for reason in check(found, needs)]


def _version(found: ClusterFacts, _: Needs) -> Sequence[str]:
    major, minor = (
        int("".join(c for c in part if c.isdigit())) for part in found.version.split(".")[:2]
    )
    if (major, minor) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return [f"Kubernetes is {found.version}: {wanted} or later is needed"]
    return []


def _storage(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    known = ", ".join(found.storage_classes) or "none"
    if needs.storage_class and needs.storage_class not in found.storage_classes:
        return [f"storage class {needs.storage_class} is not there (there are: {known})"]
    if needs.volumes and not needs.storage_class and not found.default_storage_class:
        return [
            f"no storage class is the default: set kubernetes.storageClass (there are: {known})"
        ]
    return []


def _capacity(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    reasons = []
    if not found.nodes:
        return ["no node is ready and takes pods: see `kubectl get nodes`"]
    if needs.cpu > found.cpu:
        reasons.append(f"its pods request {needs.cpu:g} CPUs, the nodes have {found.cpu:g}")
    if needs.memory_bytes > found.memory_bytes:
        want, have = needs.memory_bytes / 2**30, found.memory_bytes / 2**30
        reasons.append(f"its pods request {want:.1f} GiB, the nodes have {have:.1f} GiB")
    return reasons


def _ports(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    return [
        f"node port {port} of Service {service} is taken by Service {found.node_ports[port]}:"
        " set another nodePort, or delete that Service"
        for service, port in ((name, int(one)) for name, one in needs.node_ports.items())
        if found.node_ports.get(port, service) != service
    ]


def _absent(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    if found.images is None:
        return []
    return [
        f"image {image} is on no node, and images are never pulled here: import it on the nodes"
        " (`ctr -n k8s.io images import`; they report it within a minute), or correct its name"
        for image in needs.images
        if _full_name(image) not in found.images
    ]


def _full_name(image: str) -> str:
    """Return an image's name as nodes report it: with its registry, by tag or by digest."""
    name, at, digest = image.partition("@")
    host, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not {".", ":"} & set(host) and host != "localhost":
        name = f"docker.io/{name}"
    path, _, last = name.rpartition("/")
    if at:
        return f"{path}/{last.partition(':')[0]}@{digest}"
    return name if ":" in last else f"{name}:latest"


def _node_ports(core: Any) -> dict[int, str]:
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (as above)

    try:
        services: list[Any] = core.list_service_for_all_namespaces().items
    except ApiException as error:
        if error.status == _FORBIDDEN:
            return {}  # the API server itself refuses a port that is taken
        raise
    return {
        port.node_port: f"{one.metadata.namespace}/{one.metadata.name}"
        for one in services
        for port in one.spec.ports or []
        if port.node_port
    }


def _images(nodes: Sequence[Any]) -> frozenset[str] | None:
    """Return the images' names, unless a node has told none yet, or only the largest of many."""
    told = [node.status.images or [] for node in nodes]
    if any(not 0 < len(one) < _MOST_IMAGES for one in told):
        return None
    return frozenset(name for one in told for image in one for name in image.names or [])


def _usable(node: Any) -> bool:
    if node.spec.unschedulable or any(
        taint.effect in {"NoSchedule", "NoExecute"} for taint in node.spec.taints or []
    ):
        return False
    conditions = node.status.conditions or []
    return any(one.type == "Ready" and one.status == "True" for one in conditions)
