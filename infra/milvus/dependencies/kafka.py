"""A small Kafka in the cluster: one broker that is its own controller (KRaft), with one volume.

It is for development and for trying clusters of Milvus 2.3 to 2.5; production adopts a Kafka.
The image is expected to be laid out as ``apache/kafka`` is: its scripts in ``/opt/kafka/bin``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.kubernetes.contract import KubeAccess
from infra.servers import pods, stateful
from infra.servers.component import Servers
from infra.servers.stateful import ServerPlan
from infra.settings.quantities import bytes_of
from infra.settings.services import Kafka as KafkaSettings
from validation.declared.digests import checksum

NAME = "kafka"
PORT = 9092
CONTROLLER_PORT = 9093
DATA = "/var/lib/kafka"
CONFIG = "/etc/kafka-kit"
GRACE_SECONDS = 60
MAXIMUM_MESSAGE_BYTES = 10 * 2**20
HEAP_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class KafkaPlan(ServerPlan):
    """What Kafka's objects are made of."""

    settings: KafkaSettings

    @property
    def cluster_id(self) -> str:
        """Return the id that the volume is formatted with: always the same for one namespace."""
        digest = hashlib.sha256(f"milvus-kit/{self.namespace}".encode()).digest()[:16]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def deploy(
    plan: KafkaPlan,
    *,
    access: KubeAccess,
    after: Sequence[pulumi.Resource] = (),
    opts: pulumi.ResourceOptions | None = None,
) -> Servers:
    """Declare the broker."""
    return Servers(
        "Kafka",
        NAME,
        service=service(plan),
        stateful_set=stateful_set(plan),
        config_map=config_map(plan),
        access=access,
        after=after,
        opts=opts,
    )


def address(namespace: str) -> str:
    """Return where clients in the cluster connect."""
    return f"{NAME}.{namespace}.svc:{PORT}"


def properties(plan: KafkaPlan) -> str:
    """Return server.properties."""
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@localhost:{CONTROLLER_PORT}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://:{PORT},CONTROLLER://localhost:{CONTROLLER_PORT}",
        "advertised.listeners": f"PLAINTEXT://{address(plan.namespace)}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": f"{DATA}/data",
        "auto.create.topics.enable": "true",
        "num.partitions": "1",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Milvus packs rows into messages of up to ten mebibytes.
        "message.max.bytes": str(MAXIMUM_MESSAGE_BYTES),
        "replica.fetch.max.bytes": str(MAXIMUM_MESSAGE_BYTES),
        "log.retention.hours": "168",
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def config_map(plan: KafkaPlan) -> Any:
    """Return the ConfigMap with server.properties."""
    return {
        "metadata": pods.metadata(NAME, plan.namespace, pods.labels(NAME, NAME)),
        "data": {"server.properties": properties(plan)},
    }


def service(plan: KafkaPlan) -> Any:
    """Return the headless Service."""
    ports = [{"name": "kafka", "port": PORT, "targetPort": "kafka"}]
    return stateful.headless_service(NAME, plan.namespace, ports)


def stateful_set(plan: KafkaPlan) -> Any:
    """Return the broker."""
    configuration = {"name": "configuration", "configMap": {"name": NAME}}
    return stateful.stateful_set(
        NAME,
        plan,
        volume=plan.settings.volume,
        pod={
            "containers": [_container(plan)],
            "volumes": [configuration, *pods.scratch(tmp="1Gi")],
            "grace_seconds": GRACE_SECONDS,
        },
        annotations={"milvus-kit/configuration": checksum(properties(plan))},
        placement=plan.settings.placement,
    )


def _container(plan: KafkaPlan) -> dict[str, Any]:
    file = f"{CONFIG}/server.properties"
    start = (
        f"/opt/kafka/bin/kafka-storage.sh format --ignore-formatted"
        f" --cluster-id {plan.cluster_id} --config {file}"
        f" && exec /opt/kafka/bin/kafka-server-start.sh {file}"
    )
    listens = {"tcpSocket": {"port": "kafka"}}
    return {
        "name": NAME,
        "image": plan.image,
        "command": ["/bin/sh", "-c", start],
        "env": [
            {"name": "KAFKA_HEAP_OPTS", "value": heap(plan.settings)},
            {"name": "LOG_DIR", "value": "/tmp/kafka-logs"},  # noqa: S108  (a volume of the pod)
        ],
        "ports": [{"name": "kafka", "containerPort": PORT}],
        "resources": pods.resources(plan.settings.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA},
            {"name": "configuration", "mountPath": CONFIG, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
        ],
        "startupProbe": pods.probe(listens, timeout=3, period=1, failures=180),
        "livenessProbe": pods.probe(listens, timeout=3, period=15, failures=4),
        "readinessProbe": pods.probe(listens, timeout=3, period=5, failures=3),
    }


def heap(settings: KafkaSettings) -> str:
    """Return the heap options: half of the memory limit, the rest is for page cache and threads."""
    memory = settings.resources.memory
    mebibytes = int(bytes_of(memory) * HEAP_SHARE) // 2**20 if memory else 512
    return f"-Xms{min(mebibytes, 256)}m -Xmx{mebibytes}m"
