"""Disruption budgets and autoscalers."""

from __future__ import annotations

from typing import Any

from infra.milvus.capacity.planning import Capacity
from infra.milvus.roles.workloads import NAME, object_name
from infra.servers import pods


def needs_budget(capacity: Capacity) -> bool:
    """Tell whether a role can lose a pod and still serve."""
    return capacity.most > 1


def disruption_budget(capacity: Capacity, namespace: str) -> Any:
    """Return a role's budget: a drained node takes away one of its pods at a time."""
    role = capacity.role.name
    return {
        "metadata": pods.metadata(object_name(role), namespace, pods.labels(NAME, role)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": pods.selector(NAME, role)},
            # A pod that never became ready must not stop a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def autoscaler(capacity: Capacity, namespace: str) -> Any:
    """Return a role's HorizontalPodAutoscaler. Storage is untouched: data is in the bucket.

    Scaling down is slow on purpose: each node that leaves moves its segments to the others.
    """
    role, scale = capacity.role.name, capacity.autoscaling
    if scale is None:
        raise ValueError(f"{role} is not autoscaled")
    target = {"type": "Utilization", "averageUtilization": scale.cpu_percent}
    return {
        "metadata": pods.metadata(object_name(role), namespace, pods.labels(NAME, role)),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": object_name(role),
            },
            "minReplicas": scale.min_replicas,
            "maxReplicas": scale.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": 600,
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
                }
            },
        },
    }
