"""Servers that keep their data on a volume of their own: etcd, Kafka, Woodpecker, MinIO.

Each of them says what its container is; what holds one of them up is the same for all and stands
here: the headless Service, the StatefulSet with its volume, and the budget of a quorum. Everything
returns plain Kubernetes objects, as `infra.servers.pods` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.servers import pods
from infra.settings.model import Placement, Volume

DATA = "data"


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """What the objects of every such server are made of.

    Args:
        namespace: Where they are.
        image: Of its container.
        storage_class: Of its volume, where its settings name none.
        retain: Whether the volumes stay when the stack goes.
        required_spread: Whether two of its pods may never share a host.
        common: What its pods have in common with all others.
    """

    namespace: str
    image: str
    storage_class: str | None = None
    retain: bool = False
    required_spread: bool = False
    common: pods.Common = pods.USUAL


def headless_service(name: str, namespace: str, ports: list[dict[str, Any]]) -> Any:
    """Return the headless Service: servers find each other, and themselves, before they are ready.

    Args:
        name: Of the server.
        namespace: Where it is.
        ports: As a Service names them.
    """
    return {
        "metadata": pods.metadata(name, namespace, pods.labels(name, name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": pods.selector(name),
            "ports": ports,
        },
    }


def stateful_set(
    name: str,
    plan: ServerPlan,
    *,
    volume: Volume,
    pod: Mapping[str, Any],
    annotations: Mapping[str, Any],
    replicas: int = 1,
    ready_seconds: int = 0,
    placement: Placement = pods.ANYWHERE,
    service: str | None = None,
    component: str | None = None,
) -> Any:
    """Return the servers.

    Args:
        name: Of the server.
        plan: What its objects are made of.
        volume: Of each pod, mounted as ``data``.
        pod: What `pods.pod_spec` takes: containers, volumes, grace_seconds.
        annotations: Of the pods; another value makes them anew.
        replicas: How many.
        ready_seconds: How long a new one stays ready before the next one is replaced.
        placement: Which nodes may run them.
        service: Of the Service that names the pods, if not the server's own name.
        component: Its label, if not the server's own name.
    """
    labelled = pods.labels(name, component or name)
    select = pods.selector(name)
    return {
        "metadata": pods.metadata(name, plan.namespace, labelled),
        "spec": {
            "replicas": replicas,
            "minReadySeconds": ready_seconds,
            "selector": {"matchLabels": select},
            **own_volume(
                service or name, volume, storage_class=plan.storage_class, retain=plan.retain
            ),
            "template": {
                "metadata": {"labels": labelled, "annotations": dict(annotations)},
                "spec": pods.pod_spec(
                    plan.common,
                    **pod,
                    own=placement,
                    **pods.spread(select, replicas, required=plan.required_spread),
                ),
            },
        },
    }


def own_volume(
    service: str, volume: Volume, *, storage_class: str | None, retain: bool
) -> dict[str, Any]:
    """Return what a StatefulSet has and a Deployment has not.

    All pods start at once: a quorum cannot form one by one, and in order, a pod that never got
    ready would keep its own repair from being rolled out.
    """
    return {
        "serviceName": service,
        "podManagementPolicy": "Parallel",
        "volumeClaimTemplates": [pods.claim(DATA, volume, storage_class)],
        "persistentVolumeClaimRetentionPolicy": {
            "whenDeleted": "Retain" if retain else "Delete",
            "whenScaled": "Retain",
        },
    }


def quorum_budget(name: str, namespace: str) -> Any:
    """Return the budget of a quorum: one may be away at a time, or the others cannot decide."""
    return {
        "metadata": pods.metadata(name, namespace, pods.labels(name, name)),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": pods.selector(name)}},
    }
