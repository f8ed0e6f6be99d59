"""etcd, Milvus's metadata store: one member for development, three for production.

Authentication is by client certificate: with ``etcd.auth`` a client without one that the stack's CA
has signed is refused. That works for every version of Milvus from 2.3 on, needs no first-start
step, and leaves no password to rotate.

Sources: etcd's own flags (3.5 and 3.6), and the settings that Milvus recommends for it
(revision compaction, 4 GiB quota).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.milvus import pods, stateful
from infra.milvus.configuration import MetadataStore
from infra.milvus.stateful import ServerPlan
from infra.settings.services import Etcd as EtcdSettings

NAME = "etcd"
CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381
DATA = "/var/lib/etcd"
TLS = "/etc/etcd/tls"
QUOTA_BYTES = 4 * 2**30
GRACE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class EtcdPlan(ServerPlan):
    """What etcd's objects are made of."""

    settings: EtcdSettings
    tls_secret: str | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """Return the members' names."""
        return tuple(f"{NAME}-{index}" for index in range(self.settings.members))

    @property
    def scheme(self) -> str:
        """Return the scheme of clients and peers."""
        return "https" if self.settings.tls else "http"

    def host(self, member: str) -> str:
        """Return a member's name in DNS."""
        return f"{member}.{NAME}.{self.namespace}.svc"

    def store(self) -> MetadataStore:
        """Return what Milvus needs to know: every member, so that one may be away."""
        endpoints = tuple(f"{self.host(member)}:{CLIENT_PORT}" for member in self.members)
        return MetadataStore(endpoints=endpoints, tls=self.settings.tls)

    def certificate_hosts(self) -> tuple[str, ...]:
        """Return the names a member's certificate needs.

        Members are named one by one: etcd resolves each name in a peer's certificate and compares
        addresses, which it cannot do for a wildcard.
        """
        service = f"{NAME}.{self.namespace}.svc"
        return (
            *(self.host(member) for member in self.members),
            service,
            NAME,
            "localhost",
            "127.0.0.1",
        )


class Etcd(pulumi.ComponentResource):
    """A headless Service, a StatefulSet and, for three members, a PodDisruptionBudget."""

    def __init__(
        self,
        plan: EtcdPlan,
        *,
        fingerprint: pulumi.Input[str] | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("milvus-kit:milvus:Etcd", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        annotations = {"milvus-kit/tls": fingerprint} if fingerprint is not None else {}
        self.service = k8s.core.v1.Service(NAME, **service(plan), opts=child)
        self.members = k8s.apps.v1.StatefulSet(NAME, **stateful_set(plan, annotations), opts=child)
        if plan.settings.members > 1:
            budget = stateful.quorum_budget(NAME, plan.namespace)
            k8s.policy.v1.PodDisruptionBudget(NAME, **budget, opts=child)
        self.register_outputs({})


def service(plan: EtcdPlan) -> Any:
    """Return the headless Service."""
    ports = [
        {"name": "client", "port": CLIENT_PORT, "targetPort": "client"},
        {"name": "peer", "port": PEER_PORT, "targetPort": "peer"},
    ]
    return stateful.headless_service(NAME, plan.namespace, ports)


def stateful_set(plan: EtcdPlan, annotations: dict[str, Any] | None = None) -> Any:
    """Return the members."""
    return stateful.stateful_set(
        NAME,
        plan,
        volume=plan.settings.volume,
        pod={
            "containers": [_container(plan)],
            "volumes": _volumes(plan),
            "grace_seconds": GRACE_SECONDS,
        },
        annotations=annotations or {},
        replicas=plan.settings.members,
        placement=plan.settings.placement,
    )


def _container(plan: EtcdPlan) -> dict[str, Any]:
    # Serializable health asks this member alone: a lost quorum is not cured by restarting it.
    alone = _health("?serializable=true")
    mounts: list[dict[str, Any]] = [{"name": "data", "mountPath": DATA}]
    if plan.tls_secret:
        mounts.append({"name": "tls", "mountPath": TLS, "readOnly": True})
    return {
        "name": NAME,
        "image": plan.image,
        "imagePullPolicy": plan.pull_policy,
        "command": ["etcd"],
        "args": arguments(plan),
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [
            {"name": "client", "containerPort": CLIENT_PORT},
            {"name": "peer", "containerPort": PEER_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "resources": pods.resources(plan.settings.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
        "startupProbe": pods.probe(alone, period=1, failures=300),
        "livenessProbe": pods.probe(alone, period=10, failures=6),
        "readinessProbe": pods.probe(_health(), period=5, failures=3),
    }


def _volumes(plan: EtcdPlan) -> list[dict[str, Any]]:
    if not plan.tls_secret:
        return []
    keys = {"tls.crt": "tls.crt", "tls.key": "tls.key", "ca.crt": "ca.crt"}
    return [pods.secret_volume("tls", plan.tls_secret, keys)]


def _health(query: str = "") -> dict[str, Any]:
    return {"httpGet": {"path": f"/health{query}", "port": "metrics"}}


def arguments(plan: EtcdPlan) -> list[str]:
    """Return etcd's flags."""
    scheme = plan.scheme
    mine = plan.host("$(POD_NAME)")
    cluster = ",".join(f"{name}={scheme}://{plan.host(name)}:{PEER_PORT}" for name in plan.members)
    flags = [
        "--name=$(POD_NAME)",
        f"--data-dir={DATA}/data",
        f"--listen-client-urls={scheme}://0.0.0.0:{CLIENT_PORT}",
        f"--advertise-client-urls={scheme}://{mine}:{CLIENT_PORT}",
        f"--listen-peer-urls={scheme}://0.0.0.0:{PEER_PORT}",
        f"--initial-advertise-peer-urls={scheme}://{mine}:{PEER_PORT}",
        f"--initial-cluster={cluster}",
        "--initial-cluster-state=new",
        f"--initial-cluster-token={plan.namespace}",
        f"--listen-metrics-urls=http://0.0.0.0:{METRICS_PORT}",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=1000",
        f"--quota-backend-bytes={QUOTA_BYTES}",
    ]
    if not plan.settings.tls:
        return flags
    flags += [
        f"--cert-file={TLS}/tls.crt",
        f"--key-file={TLS}/tls.key",
        f"--trusted-ca-file={TLS}/ca.crt",
        f"--peer-cert-file={TLS}/tls.crt",
        f"--peer-key-file={TLS}/tls.key",
        f"--peer-trusted-ca-file={TLS}/ca.crt",
        "--peer-client-cert-auth=true",
    ]
    return [*flags, "--client-cert-auth=true"] if plan.settings.auth else flags
