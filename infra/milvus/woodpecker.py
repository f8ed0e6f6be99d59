"""Woodpecker as a service: its own pods, a quorum of three or five, in front of the object store.

Milvus 2.6 and later, cluster mode. The server reads its S3 key from a configuration file only, so
an init container writes that file into memory from the Secret; the key stands in no object but the
Secret.

Sources: Woodpecker's ``cmd/README.md``, its start script and its operator (ports, arguments,
probes), and Milvus's ``woodpecker.client.quorum`` settings, which take the pools as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from infra.milvus import pods, stateful
from infra.milvus.configuration import (
    ETCD_TLS_FOLDER,
    METADATA_ROOT,
    LogStore,
    MetadataStore,
    ObjectStore,
    checksum,
)
from infra.milvus.stateful import ServerPlan
from infra.settings.services import Woodpecker as WoodpeckerSettings
from infra.storage.contract import StorageContract

NAME = "woodpecker"
SERVICE_PORT = 18080
GOSSIP_PORT = 17946
METRICS_PORT = 9091
DATA = "/woodpecker/data"
CONFIG = "/woodpecker/configs"
TEMPLATE = "/woodpecker/template"
S3_CA_FOLDER = "/woodpecker/tls/s3"
GRACE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class WoodpeckerPlan(ServerPlan):
    """What the service's objects are made of."""

    settings: WoodpeckerSettings
    storage: StorageContract
    store: ObjectStore
    etcd: MetadataStore
    etcd_secret: str | None = None


class WoodpeckerService(pulumi.ComponentResource):
    """A ConfigMap, a headless Service, a StatefulSet and a PodDisruptionBudget."""

    def __init__(
        self,
        plan: WoodpeckerPlan,
        *,
        fingerprints: dict[str, pulumi.Input[str]] | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("milvus-kit:milvus:Woodpecker", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        self.configuration = k8s.core.v1.ConfigMap(NAME, **config_map(plan), opts=child)
        self.service = k8s.core.v1.Service(NAME, **service(plan), opts=child)
        self.servers = k8s.apps.v1.StatefulSet(
            NAME,
            **stateful_set(plan, fingerprints or {}),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.configuration, *after]),
        )
        budget = stateful.quorum_budget(NAME, plan.namespace)
        k8s.policy.v1.PodDisruptionBudget(NAME, **budget, opts=child)
        self.register_outputs({})


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
            "replicas": replicas,
            "strategy": "random",
        },
    }
    section = {"storage": {"type": "service"}, "client": {"quorum": quorum}}
    return LogStore(type="woodpecker", sections={"woodpecker": section})


def document(plan: WoodpeckerPlan) -> dict[str, Any]:
    """Return woodpecker.yaml without the S3 key."""
    etcd: dict[str, Any] = {"endpoints": list(plan.etcd.endpoints), "rootPath": METADATA_ROOT}
    if plan.etcd.tls:
        etcd["ssl"] = {
            "enabled": True,
            "tlsCert": f"{ETCD_TLS_FOLDER}/tls.crt",
            "tlsKey": f"{ETCD_TLS_FOLDER}/tls.key",
            "tlsCACert": f"{ETCD_TLS_FOLDER}/ca.crt",
            "tlsMinVersion": "1.2",
        }
    return {
        "woodpecker": {
            "meta": {"type": "etcd", "prefix": "woodpecker"},
            "client": {
                "quorum": {
                    "quorumBufferPools": [
                        {
                            "name": "default",
                            "seeds": members(plan.namespace, plan.settings.replicas, SERVICE_PORT),
                        }
                    ],
                    "quorumSelectStrategy": {
                        "affinityMode": "soft",
                        "replicas": plan.settings.replicas,
                        "strategy": "random",
                    },
                }
            },
            "storage": {"type": "service", "rootPath": DATA},
        },
        "etcd": etcd,
        "minio": {
            "address": plan.store.host,
            "port": plan.store.port,
            "useSSL": plan.store.secure,
            "bucketName": plan.store.bucket,
            "rootPath": plan.store.root_path,
            "region": plan.store.region,
            "useVirtualHost": plan.store.virtual_host,
            "cloudProvider": "aws",
            "createBucket": False,
            **({"ssl": {"tlsCACert": f"{S3_CA_FOLDER}/ca.crt"}} if plan.store.private_ca else {}),
        },
        "log": {"level": "info", "format": "json", "stdout": True},
    }


def config_map(plan: WoodpeckerPlan) -> Any:
    """Return the ConfigMap with everything but the key."""
    return {
        "metadata": pods.metadata(NAME, plan.namespace, pods.labels(NAME, NAME)),
        "data": {"woodpecker.yaml": yaml.safe_dump(document(plan), sort_keys=True)},
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
            "milvus-kit/configuration": checksum(config_map(plan)["data"]["woodpecker.yaml"]),
            **(fingerprints or {}),
        },
        replicas=plan.settings.replicas,
    )


KEY_SCRIPT = f"""set -eu
quoted() {{ printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }}
sed -e '/^minio:/q' {TEMPLATE}/woodpecker.yaml > {CONFIG}/woodpecker.yaml
printf '  accessKeyID: %s\n  secretAccessKey: %s\n' \
  "$(quoted "$S3_ACCESS_KEY")" "$(quoted "$S3_SECRET_KEY")" >> {CONFIG}/woodpecker.yaml
sed -e '1,/^minio:/d' {TEMPLATE}/woodpecker.yaml >> {CONFIG}/woodpecker.yaml
"""


def _key_writer(plan: WoodpeckerPlan) -> dict[str, Any]:
    keys = plan.storage.credentials
    return {
        "name": "write-key",
        "image": plan.image,
        "imagePullPolicy": plan.pull_policy,
        "command": ["/bin/sh", "-c", KEY_SCRIPT],
        "env": [
            pods.secret_env("S3_ACCESS_KEY", keys.access_key.name, keys.access_key.key),
            pods.secret_env("S3_SECRET_KEY", keys.secret_key.name, keys.secret_key.key),
        ],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}},
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "template", "mountPath": TEMPLATE, "readOnly": True},
            {"name": "configuration", "mountPath": CONFIG},
        ],
    }


def _server(plan: WoodpeckerPlan) -> dict[str, Any]:
    own = f"$(POD_NAME).{NAME}.{plan.namespace}.svc"
    seeds = ",".join(members(plan.namespace, min(plan.settings.replicas, 3), GOSSIP_PORT))
    env: list[dict[str, Any]] = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "data", "mountPath": DATA},
        {"name": "configuration", "mountPath": CONFIG, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
    ]
    if plan.etcd_secret:
        mounts.append({"name": "etcd-tls", "mountPath": ETCD_TLS_FOLDER, "readOnly": True})
    if plan.storage.ca:
        mounts.append({"name": "s3-ca", "mountPath": S3_CA_FOLDER, "readOnly": True})
        env.append({"name": "SSL_CERT_FILE", "value": f"{S3_CA_FOLDER}/ca.crt"})
    healthy = {"httpGet": {"path": "/healthz", "port": "metrics"}}
    return {
        "name": NAME,
        "image": plan.image,
        "imagePullPolicy": plan.pull_policy,
        "command": ["/woodpecker/bin/woodpecker", "server"],
        "args": [
            f"--service-port={SERVICE_PORT}",
            f"--gossip-port={GOSSIP_PORT}",
            "--node-name=$(POD_NAME)",
            f"--data-dir={DATA}",
            f"--config={CONFIG}/woodpecker.yaml",
            f"--advertise-gossip-addr={own}:{GOSSIP_PORT}",
            f"--advertise-service-addr={own}:{SERVICE_PORT}",
            f"--seeds={seeds}",
        ],
        "env": env,
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


def _volumes(plan: WoodpeckerPlan) -> list[dict[str, Any]]:
    volumes = [
        {"name": "template", "configMap": {"name": NAME}},
        # In memory: this file holds the key.
        {"name": "configuration", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        *pods.scratch("tmp"),
    ]
    if plan.etcd_secret:
        keys = {key: key for key in ("tls.crt", "tls.key", "ca.crt")}
        volumes.append(pods.secret_volume("etcd-tls", plan.etcd_secret, keys))
    if plan.storage.ca:
        ca = plan.storage.ca
        volumes.append(pods.secret_volume("s3-ca", ca.name, {ca.key: "ca.crt"}))
    return volumes
