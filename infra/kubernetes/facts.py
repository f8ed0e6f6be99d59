"""What a cluster is, and every reason why this stack does not fit on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from infra.settings.model import bytes_of, cores_of

OLDEST = (1, 30)
"""The oldest Kubernetes minor version that knows everything these programs use: the pause before a
proxy's stop (``preStop.sleep``) came with it."""
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
    """

    version: str
    nodes: tuple[str, ...]
    cpu: float
    memory_bytes: int
    storage_classes: tuple[str, ...]
    default_storage_class: str


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a stack needs of a cluster.

    Args:
        storage_class: That its volumes name; empty for the default one.
        volumes: Whether it has any volume.
        cpu: Cores requested by all its pods; 0 if not known.
        memory_bytes: Memory requested by all its pods; 0 if not known.
    """

    storage_class: str = ""
    volumes: bool = True
    cpu: float = 0.0
    memory_bytes: int = 0


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
    )


def problems(found: ClusterFacts, needs: Needs) -> list[str]:
    """Return why a stack does not fit on a cluster, each reason with its remedy."""
    checks = (_version, _storage, _capacity)
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


def _usable(node: Any) -> bool:
    if node.spec.unschedulable or any(
        taint.effect in {"NoSchedule", "NoExecute"} for taint in node.spec.taints or []
    ):
        return False
    conditions = node.status.conditions or []
    return any(one.type == "Ready" and one.status == "True" for one in conditions)
