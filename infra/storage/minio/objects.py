"""MinIO's Kubernetes objects, as plain data: one server, one volume, nothing it does not need.

Sources: MinIO's own documentation for a single-node, single-drive server, its health endpoints
and its layout of certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.servers import exposure, pods, stateful
from infra.servers.stateful import ServerPlan
from infra.settings.storage import Minio
from validation.common import addresses

NAME = "minio"
# Not "minio": a Service of that name would set MINIO_PORT in every pod with service links, which
# Milvus takes for its own configuration.
SERVICE = "object-store"
COMPONENT = "object-storage"
ROOT_SECRET = "minio-root"  # noqa: S105  (a name)
TLS_SECRET = "minio-tls"  # noqa: S105  (a name)
ROOT_USER, ROOT_PASSWORD = "user", "password"
PORT = 9000
GRACE_SECONDS = 60
_DATA, _CERTIFICATES = "/data", "/etc/minio/certs"


@dataclass(frozen=True, kw_only=True)
class MinioPlan(ServerPlan):
    """What MinIO's objects are made of."""

    settings: Minio
    tls_secret: str | None

    @property
    def scheme(self) -> str:
        """Return the scheme it speaks."""
        return "https" if self.tls_secret else "http"

    @property
    def host(self) -> str:
        """Return its name in the cluster."""
        return f"{SERVICE}.{self.namespace}.svc"

    @property
    def hosts(self) -> list[str]:
        """Return every name that its certificate must hold."""
        names = [self.host, f"{self.host}.cluster.local", SERVICE, "localhost", "127.0.0.1"]
        outside = self.settings.access.host
        return names + ([outside] if outside and outside not in names else [])

    @property
    def endpoint(self) -> str:
        """Return how pods reach it."""
        return f"{self.scheme}://{self.host}:{PORT}"

    @property
    def public_endpoint(self) -> str:
        """Return how clients outside reach it."""
        access = self.settings.access
        if access.host is None:
            return self.endpoint
        return f"{self.scheme}://{addresses.netloc(access.host, access.node_port or PORT)}"


def statefulset(plan: MinioPlan, annotations: Mapping[str, Any]) -> Any:
    """Return the server."""
    volumes = pods.scratch(tmp="1Gi")
    if plan.tls_secret:
        keys = {"tls.crt": "public.crt", "tls.key": "private.key"}
        volumes.append(pods.secret_volume("certificates", plan.tls_secret, keys))
    return stateful.stateful_set(
        NAME,
        plan,
        volume=plan.settings.volume,
        pod={
            "containers": [_container(plan)],
            "volumes": volumes,
            "grace_seconds": GRACE_SECONDS,
        },
        annotations=annotations,
        placement=plan.settings.placement,
        service=SERVICE,
        component=COMPONENT,
    )


def _container(plan: MinioPlan) -> dict[str, Any]:
    mounts = [
        {"name": "data", "mountPath": _DATA},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (an empty volume of its own)
    ]
    if plan.tls_secret:
        mounts.append({"name": "certificates", "mountPath": _CERTIFICATES})
    return {
        "name": NAME,
        "image": plan.image,
        "command": ["minio"],
        "args": ["server", _DATA, "--address", f":{PORT}", "--certs-dir", _CERTIFICATES],
        "env": [
            pods.secret_env("MINIO_ROOT_USER", ROOT_SECRET, ROOT_USER),
            pods.secret_env("MINIO_ROOT_PASSWORD", ROOT_SECRET, ROOT_PASSWORD),
            {"name": "MINIO_REGION", "value": plan.settings.region},
            {"name": "MINIO_BROWSER", "value": "off"},
            {"name": "MINIO_UPDATE", "value": "off"},
        ],
        "ports": [{"name": "s3", "containerPort": PORT}],
        "startupProbe": pods.probe(_health(plan, "live"), period=1, failures=180),
        "livenessProbe": pods.probe(_health(plan, "live"), period=15, failures=4),
        "readinessProbe": pods.probe(_health(plan, "ready"), period=5, failures=3),
        "resources": pods.resources(plan.settings.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
    }


def _health(plan: MinioPlan, kind: str) -> dict[str, Any]:
    get = {"path": f"/minio/health/{kind}", "port": "s3", "scheme": plan.scheme.upper()}
    return {"httpGet": get}


def service(plan: MinioPlan) -> Any:
    """Return the Service."""
    return exposure.service(
        SERVICE,
        plan.namespace,
        plan.settings.access,
        labelled=pods.labels(NAME, COMPONENT),
        selected=pods.selector(NAME),
        port={"name": "s3", "port": PORT, "targetPort": "s3"},
    )


def network_policy(plan: MinioPlan) -> dict[str, Any]:
    """Return who may connect: the kit's own pods, and the outside where access says so."""
    peers: list[dict[str, Any]] = [
        {"podSelector": {"matchLabels": {pods.PART_OF: "milvus-kit"}}},
    ]
    access = plan.settings.access
    peers += [{"ipBlock": {"cidr": cidr}} for cidr in access.source_ranges]
    rule: dict[str, Any] = {"ports": [{"port": PORT, "protocol": "TCP"}], "from": peers}
    if access.type != "ClusterIP" and not access.source_ranges:
        del rule["from"]
    return {
        "metadata": pods.metadata(NAME, plan.namespace, pods.labels(NAME, COMPONENT)),
        "spec": {
            "podSelector": {"matchLabels": pods.selector(NAME)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [rule],
            "egress": [],
        },
    }
