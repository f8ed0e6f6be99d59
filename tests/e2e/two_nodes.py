"""Stack ``ci-two-nodes``: a cluster of two containers that are reached over SSH.

This machine itself is no node meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from infra.kubernetes.node.plan import Host, NodePlan, Ssh
from tests.e2e import container_node, container_root, project
from tests.e2e.container_node import ContainerNode
from tests.e2e.deployment import Deployment
from tests.e2e.images.bundle import chosen, image_archives
from tests.e2e.toolchain.provide import Toolchain
from validation.common.progress import Progress

STACK = "ci-two-nodes"
MANIFEST = "pod_network.yaml"
CLUSTER_ONLY = [
    part
    for name in ("guard", "node-*", "local-volumes*")
    for part in ("--target", f"urn:pulumi:{STACK}::milvus-kit::**::{name}")
]
"""What of the stack is brought up: its guard, the cluster with its volumes, and nothing on it."""
_ROLES = {"control": "control-plane", "worker": "worker"}
_ADMIN = container_node.FOLDER / "control/root/etc/kubernetes/admin.conf"


class TwoNodes(Deployment):
    """A stack whose control plane is a container."""

    def has_cluster(self) -> bool:
        """Return whether there is a cluster to look at."""
        return _ADMIN.exists()

    @contextmanager
    def kubeconfig(self) -> Iterator[Path]:
        """Yield the administrator's kubeconfig, where the container has it."""
        yield _ADMIN


@contextmanager
def containers(
    tools: Toolchain, progress: Progress, folder: Path
) -> Iterator[dict[str, ContainerNode]]:
    """Run the two hosts, ``control`` and ``worker``; systemd runs on the worker alone.

    Args:
        tools: With the commands of Kubernetes.
        progress: Shows what is done.
        folder: For the private key that both let in.
    """
    container_node.remove_all()
    key = container_root.make_key(folder / "key")
    archives = chosen(image_archives(tools, progress), STACK, [])
    given = {"commands": tools.folders["kubernetes"], "archives": archives, "key": key}
    try:
        with (
            progress.step("start two containers that behave as hosts"),
            ThreadPoolExecutor() as pool,
        ):
            begun = {
                name: pool.submit(
                    container_node.start, name, number, systemd=name == "worker", **given
                )
                for number, name in enumerate(_ROLES, start=11)
            }
            started = {name: one.result() for name, one in begun.items()}
        yield started
    finally:  # also the one that came up beside one that did not
        with progress.step("remove the containers"):
            container_node.remove_all()


def configure(made: Deployment, nodes: Mapping[str, ContainerNode]) -> None:
    """Make the stack: the hosts of the stack ``ci`` are the containers, the pod network is ours."""
    document = yaml.safe_load((project.ROOT / "stacks/Pulumi.ci.yaml").read_text(encoding="utf-8"))
    manifest = made.folder / MANIFEST
    manifest.write_bytes(Path(__file__).with_name(MANIFEST).read_bytes())
    document["config"]["milvus-kit:kubernetes"].update(
        hosts=[_host(node, name) for name, node in nodes.items()],
        cni={"type": "manifest", "manifest": str(manifest)},
        podSubnet="10.245.0.0/16",
    )
    made.file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    made.pulumi.run("stack", "init", STACK)
    key = nodes["control"].key.read_text(encoding="utf-8")
    made.pulumi.run("config", "set", "--secret", "milvus-kit:nodeKey", "-s", STACK, given=key)


def plan(node: ContainerNode, **ssh: object) -> NodePlan:
    """Return a plan that makes a worker of a container.

    Args:
        node: The container.
        ssh: How it is reached, where that is not as it should be.
    """
    reached = {"user": "root", "private_key": node.key.read_text(), "host_key": node.host_key}
    host = Host(
        name=node.name, address=node.address, role="worker", ssh=Ssh.model_validate(reached | ssh)
    )
    return NodePlan(
        cluster="other",
        host=host,
        kubernetes_version="1.36.3",
        pod_subnet="10.245.0.0/16",
        service_subnet="10.96.0.0/16",
        cni_manifest="given",
    )


def key_lines(node: ContainerNode) -> list[str]:
    """Return the lines of the private key that nobody else may see."""
    return node.key.read_text(encoding="utf-8").splitlines()[1:-1]


def _host(node: ContainerNode, name: str) -> dict[str, object]:
    ssh = {"privateKey": "nodeKey", "hostKey": node.host_key}
    return {"name": node.name, "address": node.address, "role": _ROLES[name], "ssh": ssh}
