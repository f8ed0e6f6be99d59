"""A cluster made with kubeadm on given hosts, or on this very one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi

from infra.kubernetes.contract import KubeAccess
from infra.kubernetes.kubeconfig import required
from infra.kubernetes.node import plan as nodes
from infra.kubernetes.node.resource import Node
from infra.secrets.values import configured
from infra.settings.cluster import Host, KubeadmCluster
from validation.errors import ConfigurationError


def kubeadm(
    name: str, settings: KubeadmCluster, after: Sequence[pulumi.Resource] = ()
) -> tuple[KubeAccess, list[pulumi.Resource]]:
    """Return how the cluster is reached, and its nodes.

    Args:
        name: Of the cluster; it marks the hosts.
        settings: Its hosts and networks.
        after: What there must be before the first of them.

    Raises:
        ConfigurationError: The CNI manifest cannot be read.
    """
    manifest = _text(settings.cni.manifest)
    leaders = [host for host in settings.hosts if host.role == "control-plane"]
    others = [host for host in settings.hosts if host is not leaders[0]]
    made: list[pulumi.Resource] = []
    leader = _plan(name, leaders[0], settings, manifest, None)
    first = Node(f"node-{leaders[0].name}", leader, pulumi.ResourceOptions(depends_on=list(after)))
    made.append(first)
    for host in others:
        # etcd's members join one after another, or its quorum is lost meanwhile.
        before = list(made) if host.role == "control-plane" else [first]
        plan = _plan(name, host, settings, manifest, leaders[0])
        joined = Node(f"node-{host.name}", plan, pulumi.ResourceOptions(depends_on=before))
        made.append(joined)
    origin = {"kubernetes.provider": settings.provider, **nodes.first(leaders[0])}
    kubeconfig = pulumi.Output.secret(first.kubeconfig.apply(required))
    return KubeAccess(kubeconfig=kubeconfig, origin=origin), made


def _plan(
    name: str, host: Host, settings: KubeadmCluster, manifest: str | None, leader: Host | None
) -> pulumi.Output[str]:
    document = {
        "cluster": name,
        "kubernetes_version": settings.kubernetes_version,
        "pod_subnet": settings.pod_subnet,
        "service_subnet": settings.service_subnet,
        "cni_manifest": manifest,
        "image_archives": str(settings.image_archives) if settings.image_archives else None,
        "local_volumes": str(settings.local_volumes),
        "single": len(settings.hosts) == 1,
    }
    machines = {"host": host, "leader": leader}
    described = {key: _host(one) if one else None for key, one in machines.items()}
    joined = pulumi.Output.all(**{key: value for key, value in described.items() if value})

    def text(found: dict[str, Any]) -> str:
        plan = nodes.NodePlan.model_validate({**document, **found})
        return json.dumps(plan.document(), sort_keys=True)

    return joined.apply(text)


def _host(host: Host) -> pulumi.Output[Any]:
    plain = {"name": host.name, "address": host.address, "role": host.role}
    if host.ssh is None:
        return pulumi.Output.from_input(plain)
    ssh = {"user": host.ssh.user, "port": host.ssh.port, "host_key": host.ssh.host_key}
    key = configured(host.ssh.private_key)
    return key.apply(lambda text: {**plain, "ssh": {**ssh, "private_key": text}})


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the CNI manifest cannot be read: {error.strerror}",
            where="kubernetes.cni.manifest",
            seen=str(path),
            remedy="name the file relative to infra/, or with its whole path",
        ) from None
