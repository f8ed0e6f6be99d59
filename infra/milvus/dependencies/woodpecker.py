"""Woodpecker as a service: its own pods, a quorum of three, in front of the object store.

Milvus 3.0.1 and later, cluster mode. Each write is kept by three servers; with three servers one
that is away would stop all inserts, so there are four or more.

The image's start script writes the server's configuration from the environment; what the kit means
beyond that is in user.yaml, which the server reads after it. The server reads its S3 key from a
file only, so an init container adds the key in memory, from the Secret; the key stands in no object
but the Secret. The servers have no client of etcd: Milvus's own keeps their metadata.

Sources: Woodpecker's start script, ``cmd/external`` and ``cmd/main.go`` (0.1.35), the chart 5.0.19,
and Milvus's ``woodpecker.client.quorum`` settings, which take the pools as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml

from infra.kubernetes.contract import KubeAccess
from infra.milvus.roles.configuration import (
    NO_CA_FILE,
    USER_FILE,
    LogStore,
    ObjectStore,
)
from infra.servers import pods, stateful
from infra.servers.component import Servers
from infra.servers.stateful import ServerPlan
from infra.settings.cluster import Jobs
from infra.settings.services import Woodpecker as WoodpeckerSettings
from infra.storage.contract import StorageContract
from validation.common import addresses
from validation.declared.digests import checksum

NAME = "woodpecker"
SERVICE_PORT = 18080
GOSSIP_PORT = 17946
METRICS_PORT = 9091
DATA = "/woodpecker/data"
CONFIG = "/woodpecker/configs"
TEMPLATE = "/woodpecker/template"
S3_CA_FOLDER = "/woodpecker/tls/s3"
GRACE_SECONDS = 300
QUORUM = 3
"""Servers that keep a write before it is acknowledged."""
READY_SECONDS = 30
"""A server's health page says 200 before the others know it: the next one waits for that long."""


@dataclass(frozen=True, kw_only=True)
class WoodpeckerPlan(ServerPlan):
    """What the service's objects are made of."""

    settings: WoodpeckerSettings
    storage: StorageContract
    store: ObjectStore
    jobs: Jobs


def deploy(
    plan: WoodpeckerPlan,
    *,
    fingerprints: dict[str, pulumi.Input[str]] | None = None,
    access: KubeAccess,
    after: Sequence[pulumi.Resource] = (),
    opts: pulumi.ResourceOptions | None = None,
) -> Servers:
    """Declare the servers.

    Args:
        plan: What their objects are made of.
        fingerprints: Annotations that change whenever a Secret does.
        access: How the cluster's API server is reached.
        after: What comes before them.
        opts: Resource options.
    """
    return Servers(
        "Woodpecker",
        NAME,
        service=service(plan),
        stateful_set=stateful_set(plan, fingerprints or {}),
        config_map=config_map(plan),
        budget=stateful.quorum_budget(NAME, plan.namespace),
        access=access,
        after=after,
        opts=opts,
    )


def members(namespace: str, replicas: int, port: int) -> list[str]:
    """Return the servers' addresses."""
    return [f"{NAME}-{index}.{NAME}.{namespace}.svc:{port}" for index in range(replicas)]


def log_store(namespace: str, replicas: int) -> LogStore:
    """Return what Milvus needs to know of the service."""
    pools = [{"name": "default", "seeds": members(namespace, replicas, SERVICE_PORT)}]
    quorum = {
        "quorumBufferPools": json.dumps(pools, separators=(",", ":")),
        "quorumSelectStrategy": {
            "affinityMode": "soft",
            "replicas": QUORUM,
            "strategy": "random",
        },
    }
    section = {"storage": {"type": "service"}, "client": {"quorum": quorum}}
    return LogStore(type="woodpecker", sections={"woodpecker": section})


def document(plan: WoodpeckerPlan) -> dict[str, Any]:
    """Return user.yaml without the S3 key."""
    return {
        "minio": {
            "address": addresses.netloc(plan.store.host, None),
            "port": plan.store.port,
            "useSSL": plan.store.secure,
            "bucketName": plan.store.bucket,
            "rootPath": plan.store.root_path,
            "region": plan.store.region,
            "useVirtualHost": plan.store.virtual_host,
            "cloudProvider": "aws",
            "createBucket": False,
            "ssl": dict(NO_CA_FILE),
        },
        "log": {"format": "json", "stdout": True},
    }


def config_map(plan: WoodpeckerPlan) -> Any:
    """Return the ConfigMap with everything but the key."""
    return {
        "metadata": pods.metadata(NAME, plan.namespace, pods.labels(NAME, NAME)),
        "data": {USER_FILE: yaml.safe_dump(document(plan), sort_keys=True)},
    }


def service(plan: WoodpeckerPlan) -> Any:
    """Return the headless Service."""
    ports = [
        {"name": "grpc", "port": SERVICE_PORT, "targetPort": "grpc"},
        {"name": "gossip-tcp", "port": GOSSIP_PORT, "targetPort": "gossip-tcp"},
        {
            "name": "gossip-udp",
            "port": GOSSIP_PORT,
            "targetPort": "gossip-udp",
            "protocol": "UDP",
        },
    ]
    return stateful.headless_service(NAME, plan.namespace, ports)


def stateful_set(plan: WoodpeckerPlan, fingerprints: dict[str, Any] | None = None) -> Any:
    """Return the servers."""
    return stateful.stateful_set(
        NAME,
        plan,
        volume=plan.settings.volume,
        pod={
            "initContainers": [_key_writer(plan)],
            "containers": [_server(plan)],
            "volumes": _volumes(plan),
            "grace_seconds": GRACE_SECONDS,
        },
        annotations={
            "milvus-kit/configuration": checksum(config_map(plan)["data"][USER_FILE]),
            **(fingerprints or {}),
        },
        replicas=plan.settings.replicas,
        ready_seconds=READY_SECONDS,
        placement=plan.settings.placement,
    )


KEY_SCRIPT = f"""set -eu
quoted() {{ printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }}
sed -e '/^minio:/q' {TEMPLATE}/{USER_FILE} > {CONFIG}/{USER_FILE}
printf '  accessKeyID: %s\n  secretAccessKey: %s\n' \
  "$(quoted "$S3_ACCESS_KEY")" "$(quoted "$S3_SECRET_KEY")" >> {CONFIG}/{USER_FILE}
sed -e '1,/^minio:/d' {TEMPLATE}/{USER_FILE} >> {CONFIG}/{USER_FILE}
"""


def _key_writer(plan: WoodpeckerPlan) -> dict[str, Any]:
    keys = plan.storage.credentials
    return {
        "name": "write-key",
        "image": plan.image,
        "command": ["/bin/sh", "-c", KEY_SCRIPT],
        "env": [
            pods.secret_env("S3_ACCESS_KEY", keys.access_key.name, keys.access_key.key),
            pods.secret_env("S3_SECRET_KEY", keys.secret_key.name, keys.secret_key.key),
        ],
        "resources": pods.resources(plan.jobs.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "template", "mountPath": TEMPLATE, "readOnly": True},
            {"name": "configuration", "mountPath": CONFIG},
        ],
    }


def _server(plan: WoodpeckerPlan) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [
        {"name": "data", "mountPath": DATA},
        # The start script writes its own file beside user.yaml.
        {"name": "configuration", "mountPath": CONFIG},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
    ]
    if plan.storage.ca:
        mounts.append({"name": "s3-ca", "mountPath": S3_CA_FOLDER, "readOnly": True})
    healthy = {"httpGet": {"path": "/healthz", "port": "metrics"}}
    return {
        "name": NAME,
        "image": plan.image,
        "env": _environment(plan),
        "ports": [
            {"name": "grpc", "containerPort": SERVICE_PORT},
            {"name": "gossip-tcp", "containerPort": GOSSIP_PORT},
            {"name": "gossip-udp", "containerPort": GOSSIP_PORT, "protocol": "UDP"},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "resources": pods.resources(plan.settings.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
        "startupProbe": pods.probe(healthy, period=5, failures=30),
        "livenessProbe": pods.probe(healthy, period=10, failures=3),
        "readinessProbe": pods.probe(healthy, period=5, failures=3),
    }


def _environment(plan: WoodpeckerPlan) -> list[dict[str, Any]]:
    """Return what the image's start script makes the server's arguments and configuration of."""
    own = f"$(NODE_NAME).{NAME}.{plan.namespace}.svc"
    count = plan.settings.replicas
    values = {
        "SERVICE_PORT": str(SERVICE_PORT),
        "GOSSIP_PORT": str(GOSSIP_PORT),
        "ADVERTISE_SERVICE_ADDR": f"{own}:{SERVICE_PORT}",
        "ADVERTISE_GOSSIP_ADDR": f"{own}:{GOSSIP_PORT}",
        "SEEDS": ",".join(members(plan.namespace, min(count, QUORUM), GOSSIP_PORT)),
        "SERVICE_SEEDS": ",".join(members(plan.namespace, count, SERVICE_PORT)),
        "DATA_DIR": DATA,
        "STORAGE_TYPE": "service",
        "WAIT_FOR_DEPS": "false",  # the store was there before these pods
    }
    if plan.storage.ca:
        values["SSL_CERT_FILE"] = f"{S3_CA_FOLDER}/ca.crt"
    return [
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        *({"name": name, "value": value} for name, value in values.items()),
    ]


def _volumes(plan: WoodpeckerPlan) -> list[dict[str, Any]]:
    volumes = [
        {"name": "template", "configMap": {"name": NAME}},
        # In memory: this file holds the key.
        {"name": "configuration", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        *pods.scratch(tmp="1Gi"),
    ]
    if plan.storage.ca:
        ca = plan.storage.ca
        volumes.append(pods.secret_volume("s3-ca", ca.name, {ca.key: "ca.crt"}))
    return volumes
