"""Milvus's pods: one Deployment a role, or one StatefulSet for a standalone with a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.milvus.access import credentials
from infra.milvus.access.credentials import Secrets
from infra.milvus.capacity.planning import Capacity
from infra.milvus.roles import hardware, image
from infra.milvus.roles.configuration import (
    CONFIG_FOLDER,
    DATA_FOLDER,
    USER_FILE,
    Inputs,
    environment,
    for_role,
)
from infra.milvus.roles.topology import HEALTH_PATH, STANDALONE, role_ports
from infra.servers import pods, stateful
from infra.settings import Settings
from infra.settings.quantities import bytes_of
from validation.declared import digests
from validation.declared.digests import CONFIGURATION
from validation.target import Workload

NAME = "milvus"
WORK_FOLDER = "/milvus"
PROGRESS_SECONDS = 1800
PROXY_DRAIN_SECONDS = 15


@dataclass(frozen=True, kw_only=True)
class WorkloadPlan:
    """What the objects of all roles are made of."""

    settings: Settings
    namespace: str
    image: str
    inputs: Inputs
    secrets: Secrets
    storage_class: str | None = None
    common: pods.Common = pods.USUAL


def object_name(role: str) -> str:
    """Return the name of a role's objects."""
    return f"{NAME}-{role}"


def is_stateful(role: str, settings: Settings) -> bool:
    """Tell whether a role keeps data on a volume of its own."""
    return role == STANDALONE and settings.milvus.data_volume is not None


def config_map(capacity: Capacity, plan: WorkloadPlan) -> Any:
    """Return the ConfigMap with one role's user.yaml."""
    role = capacity.role
    return {
        "metadata": pods.metadata(
            object_name(role.name), plan.namespace, pods.labels(NAME, role.name)
        ),
        "data": {USER_FILE: for_role(role, plan.inputs)},
    }


def workload(capacity: Capacity, plan: WorkloadPlan) -> Any:
    """Return a role's Deployment, or the standalone's StatefulSet."""
    role = capacity.role.name
    select = pods.selector(NAME, role)
    spec: dict[str, Any] = {
        "selector": {"matchLabels": select},
        "template": pod_template(capacity, plan),
        "minReadySeconds": plan.settings.milvus.ready_seconds,
    }
    if capacity.autoscaling is None:  # otherwise the autoscaler owns the number
        spec["replicas"] = capacity.replicas
    if is_stateful(role, plan.settings):
        spec |= _volume(plan)
    else:
        spec |= {"strategy": strategy(role), "progressDeadlineSeconds": PROGRESS_SECONDS}
    return {
        "metadata": pods.metadata(object_name(role), plan.namespace, pods.labels(NAME, role)),
        "spec": spec,
    }


def declared(capacity: Capacity, plan: WorkloadPlan) -> Workload:
    """Return what the target says of a role's object, to be held against what runs."""
    made = workload(capacity, plan)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    return Workload(
        kind="StatefulSet" if is_stateful(capacity.role.name, plan.settings) else "Deployment",
        name=made["metadata"]["name"],
        replicas=made["spec"].get("replicas"),
        image=container["image"],
        resources=container["resources"],
        command=tuple(container["command"]),
        arguments=tuple(container["args"]),
        configuration=made["spec"]["template"]["metadata"]["annotations"][CONFIGURATION],
        environment=digests.environment(container),
        nvme=DATA_FOLDER if hardware.on_nvme(capacity.role.name, plan.settings.milvus) else None,
    )


def strategy(role: str) -> dict[str, Any]:
    """Return how a role's pods are replaced.

    Never fewer than before: a new pod is ready before an old one leaves, and a query node hands
    its segments over while it stops. Two standalone servers would write over each other, so there
    the old one leaves first.
    """
    if role == STANDALONE:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def pod_template(capacity: Capacity, plan: WorkloadPlan) -> dict[str, Any]:
    """Return the pods of one role."""
    role = capacity.role.name
    milvus = plan.settings.milvus
    secrets = credentials.for_role(role, milvus.version, plan.secrets)
    data = config_map(capacity, plan)["data"]
    volumes = [
        {"name": "configuration", "configMap": {"name": object_name(role)}},
        *pods.scratch(logs="1Gi", run="64Mi", tmp="1Gi"),
        *secrets.volumes,
    ]
    if not is_stateful(role, plan.settings):
        volumes.append(hardware.data_volume(capacity, milvus, plan.storage_class))
    return {
        "metadata": {
            "labels": pods.labels(NAME, role),
            "annotations": {
                CONFIGURATION: digests.files(data),
                **secrets.annotations,
            },
        },
        "spec": pods.pod_spec(
            plan.common,
            containers=[_container(capacity, plan, secrets)],
            volumes=volumes,
            grace_seconds=capacity.grace_seconds,
            own=capacity.given.placement,
            groups=image.GROUPS,
            **pods.spread(pods.selector(NAME, role), capacity.most),
            **hardware.runtime_class(role, milvus),
        ),
    }


def _container(
    capacity: Capacity, plan: WorkloadPlan, secrets: credentials.RoleSecrets
) -> dict[str, Any]:
    role = capacity.role
    milvus = plan.settings.milvus
    gpu = hardware.gpu_resources(role.name, milvus)
    return {
        "name": NAME,
        "image": plan.image,
        "workingDir": WORK_FOLDER,
        "command": list(milvus.command),
        "args": list(role.command),
        "env": [*_environment(capacity, plan), *secrets.env],
        "ports": [{"name": name, "containerPort": port} for name, port in role_ports(role).items()],
        "resources": pods.resources(capacity.resources, extra=gpu),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            # Beside what the image ships there: a folder over it would hide that.
            {
                "name": "configuration",
                "mountPath": f"{CONFIG_FOLDER}/{USER_FILE}",
                "subPath": USER_FILE,
                "readOnly": True,
            },
            {"name": "data", "mountPath": DATA_FOLDER},
            {"name": "logs", "mountPath": f"{WORK_FOLDER}/logs"},
            {"name": "run", "mountPath": "/run/milvus"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
            *secrets.mounts,
        ],
        **probes(),
        **_before_stop(role.name, plan),
    }


def _environment(capacity: Capacity, plan: WorkloadPlan) -> list[dict[str, Any]]:
    milvus = plan.settings.milvus
    values = {
        "MILVUSCONF": CONFIG_FOLDER,
        "MALLOC_CONF": "background_thread:true",
        # In GiB. Else Milvus takes all of the node's disk for its own, and is evicted.
        "LOCAL_STORAGE_SIZE": str(max(1, bytes_of(hardware.room(capacity, milvus)) // 2**30)),
        **environment(capacity.role, plan.inputs),
        **capacity.given.env,
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def probes() -> dict[str, Any]:
    """Return the probes of every role.

    Alive is who listens; ready is who says so. A dependency that is away makes a pod unready, and
    restarting it would not bring the dependency back.
    """
    listens = {"tcpSocket": {"port": "metrics"}}
    healthy = {"httpGet": {"path": HEALTH_PATH, "port": "metrics"}}
    return {
        "startupProbe": pods.probe(listens, period=1, failures=300),
        "livenessProbe": pods.probe(listens, period=15, failures=4),
        "readinessProbe": pods.probe(healthy, period=5, failures=3),
    }


def drain_seconds(role: str, settings: Settings) -> int:
    """Return the pause in which clients stop choosing a proxy that is about to leave."""
    return PROXY_DRAIN_SECONDS if role in {"proxy", STANDALONE} and settings.production else 0


def _before_stop(role: str, plan: WorkloadPlan) -> dict[str, Any]:
    seconds = drain_seconds(role, plan.settings)
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}} if seconds else {}


def _volume(plan: WorkloadPlan) -> dict[str, Any]:
    volume = plan.settings.milvus.data_volume
    if volume is None:
        return {}
    retain = plan.settings.storage.retain_on_delete
    return stateful.own_volume(NAME, volume, storage_class=plan.storage_class, retain=retain)
