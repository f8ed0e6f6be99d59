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

from infra.kubernetes.contract import KubeAccess
from infra.milvus.roles.configuration import MetadataStore
from infra.servers import pods, stateful
from infra.servers.component import Servers
from infra.servers.stateful import ServerPlan
from infra.settings.quantities import bytes_of
from infra.settings.services import Etcd as EtcdSettings

NAME = "etcd"
CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381
DATA = "/var/lib/etcd"
DATA_FOLDER = f"{DATA}/data"
TLS = "/etc/etcd/tls"
USUAL_QUOTA = 4 * 2**30
LARGEST_QUOTA = 8 * 2**30
"""Beyond it etcd itself warns."""
LARGE_VOLUME = 50 * 2**30
GRACE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class EtcdPlan(ServerPlan):
    """What etcd's objects are made of."""

    settings: EtcdSettings
    tls_secret: str | None = None

    @property
    def quota(self) -> int:
        """Return the bytes that etcd keeps at most: half its volume, for its log is there too."""
        volume = bytes_of(self.settings.volume.size)
        usual = LARGEST_QUOTA if volume >= LARGE_VOLUME else USUAL_QUOTA
        return bytes_of(self.settings.quota) if self.settings.quota else min(usual, volume // 2)

    @property
    def members(self) -> tuple[str, ...]:
        """Return the members' names."""
        return tuple(f"{NAME}-{index}" for index in range(self.settings.members))

    @property
    def scheme(self) -> str:
        """Return the scheme of clients and peers."""
        return "https" if self.settings.tls else "http"

    @property
    def service(self) -> str:
        """Return the name in DNS that stands for every member."""
        return f"{NAME}.{self.namespace}.svc"

    def host(self, member: str) -> str:
        """Return a member's name in DNS."""
        return f"{member}.{self.service}"

    def store(self) -> MetadataStore:
        """Return what Milvus needs to know: every member, so that one may be away."""
        endpoints = tuple(f"{self.host(member)}:{CLIENT_PORT}" for member in self.members)
        return MetadataStore(endpoints=endpoints, tls=self.settings.tls)

    def certificate_hosts(self) -> tuple[str, ...]:
        """Return the names a member's certificate needs.

        Members are named one by one: etcd resolves each name in a peer's certificate and compares
        addresses, which it cannot do for a wildcard.
        """
        return (
            *(self.host(member) for member in self.members),
            self.service,
            NAME,
            "localhost",
            "127.0.0.1",
        )


def deploy(
    plan: EtcdPlan,
    *,
    fingerprint: pulumi.Input[str] | None = None,
    access: KubeAccess,
    after: Sequence[pulumi.Resource] = (),
    opts: pulumi.ResourceOptions | None = None,
) -> Servers:
    """Declare etcd.

    Args:
        plan: What its objects are made of.
        fingerprint: What changes whenever its certificate does.
        access: How the cluster's API server is reached.
        after: What comes before it.
        opts: Resource options.
    """
    annotations = {"milvus-kit/tls": fingerprint} if fingerprint is not None else {}
    quorum = plan.settings.members > 1
    return Servers(
        "Etcd",
        NAME,
        service=service(plan),
        stateful_set=stateful_set(plan, annotations),
        budget=stateful.quorum_budget(NAME, plan.namespace) if quorum else None,
        access=access,
        after=after,
        opts=opts,
    )


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


def identity(plan: EtcdPlan, member: str) -> list[str]:
    """Return the flags that say who a member is, which a restored one is told as well."""
    scheme = plan.scheme
    cluster = ",".join(f"{name}={scheme}://{plan.host(name)}:{PEER_PORT}" for name in plan.members)
    return [
        f"--name={member}",
        f"--data-dir={DATA_FOLDER}",
        f"--initial-advertise-peer-urls={scheme}://{plan.host(member)}:{PEER_PORT}",
        f"--initial-cluster={cluster}",
        f"--initial-cluster-token={plan.namespace}",
    ]


def arguments(plan: EtcdPlan) -> list[str]:
    """Return etcd's flags."""
    scheme = plan.scheme
    mine = plan.host("$(POD_NAME)")
    flags = [
        *identity(plan, "$(POD_NAME)"),
        f"--listen-client-urls={scheme}://0.0.0.0:{CLIENT_PORT}",
        f"--advertise-client-urls={scheme}://{mine}:{CLIENT_PORT}",
        f"--listen-peer-urls={scheme}://0.0.0.0:{PEER_PORT}",
        "--initial-cluster-state=new",
        f"--listen-metrics-urls=http://0.0.0.0:{METRICS_PORT}",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=1000",
        f"--quota-backend-bytes={plan.quota}",
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
