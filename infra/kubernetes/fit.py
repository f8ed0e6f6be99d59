"""Every reason why a stack does not fit on a cluster, each with its key and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.kubernetes.facts import ClusterFacts, Node
from infra.kubernetes.needs import Needs, Pods

OLDEST = (1, 30)
"""The oldest Kubernetes minor version that knows everything these programs use: the pause before a
proxy's stop (``preStop.sleep``) came with it."""
_GIB = 2**30
_SLACK = 1e-6
"""Cores are added up as fractions."""


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
        return [f"Kubernetes is {found.version}: {wanted} or later is needed: upgrade the cluster"]
    return []


def _storage(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    known = ", ".join(found.storage_classes) or "none"
    reasons = [
        f"{key}: storage class {name} is not there (there are: {known}): name one of them, or make"
        " it"
        for key, name in needs.storage_classes.items()
        if name not in found.storage_classes
    ]
    if needs.default_class and not found.default_storage_class:
        reasons.append(
            f"{', '.join(needs.default_class)}: no storage class is the default: set"
            f" kubernetes.storageClass (there are: {known})"
        )
    return reasons


def _capacity(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    if not any(not node.taints or _may_run(needs.pods, node) for node in found.nodes):
        return ["no node is ready and takes pods: see `kubectl get nodes`"]
    return [*(reason for one in needs.pods for reason in _one(found, one)), *_all(found, needs)]


def _one(found: ClusterFacts, pods: Pods) -> Sequence[str]:
    """Return why no node can run one of these pods: a pod is never spread over nodes."""
    if not pods.count:
        return []
    nodes = [node for node in found.nodes if _takes(node, pods)]
    if not nodes:
        wanted = ", ".join(f"{key}={value}" for key, value in pods.node_selector.items())
        with_labels = f" with {wanted}" if wanted else ""
        reason = (
            f"{pods.key}.placement: no node that is ready{with_labels} takes its pods: correct"
            " nodeSelector or tolerations, or see `kubectl get nodes --show-labels`"
        )
        return [reason]
    if any(_holds(node, pods) for node in nodes):
        return []
    largest = max(nodes, key=lambda node: (node.gpus, node.memory_bytes, node.cpu))
    reason = (
        f"{pods.key}: one pod requests {_told(pods)}, more than any node has free (the largest,"
        f" {largest.name}, has {_told(largest)}): lower {pods.key}.resources, or add a larger node"
    )
    return [reason]


def _all(found: ClusterFacts, needs: Needs) -> Sequence[str]:
    """Return why all pods together are too many for the nodes that run any of them."""
    pods = [one for one in needs.pods if any(_takes(node, one) for node in found.nodes)]
    nodes = [node for node in found.nodes if _may_run(pods, node)]

    def asked(name: str) -> float:
        return sum(getattr(one, name) * one.count for one in pods)

    def free(name: str) -> float:
        return sum(getattr(one, name) for one in nodes)

    def most(name: str) -> str:
        return max(pods, key=lambda one: getattr(one, name) * one.count).key

    reasons = []
    if asked("cpu") > free("cpu") + _SLACK:
        reasons.append(
            f"its pods request {asked('cpu'):g} CPUs, the nodes have {free('cpu'):g} free: lower"
            f" {most('cpu')}.resources.cpu, which is most of it, or add nodes"
        )
    if asked("memory_bytes") > free("memory_bytes"):
        want, have = asked("memory_bytes") / _GIB, free("memory_bytes") / _GIB
        reasons.append(
            f"its pods request {want:.1f} GiB, the nodes have {have:.1f} GiB free: lower"
            f" {most('memory_bytes')}.resources.memory, which is most of it, or add nodes"
        )
    if asked("gpus") > free("gpus"):
        reasons.append(
            f"its pods request {asked('gpus'):g} GPUs, the nodes have {free('gpus'):g} free: lower"
            " milvus.gpu.perPod or the replicas, or add nodes with nvidia.com/gpu"
        )
    return reasons


def _may_run(pods: Sequence[Pods], node: Node) -> bool:
    return any(_takes(node, one) for one in pods)


def _takes(node: Node, pods: Pods) -> bool:
    """Tell whether a node's labels and taints let these pods run there."""
    if not pods.node_selector.items() <= node.labels.items():
        return False
    return all(any(_tolerates(one, taint) for one in pods.tolerations) for taint in node.taints)


def _tolerates(toleration: Mapping[str, Any], taint: tuple[str, str, str]) -> bool:
    key, value, effect = taint
    if toleration.get("effect") not in {None, "", effect}:
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    return toleration["key"] == key and (exists or (toleration.get("value") or "") == value)


def _holds(node: Node, pods: Pods) -> bool:
    return (
        pods.cpu <= node.cpu + _SLACK
        and pods.memory_bytes <= node.memory_bytes
        and pods.gpus <= node.gpus
    )


def _told(of: Pods | Node) -> str:
    gpus = f", {of.gpus:g} GPUs" if of.gpus else ""
    return f"{of.cpu:g} CPUs, {of.memory_bytes / _GIB:.1f} GiB{gpus}"


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
