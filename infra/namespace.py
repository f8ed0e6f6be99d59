"""The namespace in which everything is deployed, with the pod security it enforces."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from infra.kubernetes import kinds
from infra.settings.cluster import Cluster


def namespace(
    cluster: Cluster, provider: k8s.Provider, opts: pulumi.ResourceOptions | None = None
) -> kinds.Namespace | None:
    """Return the namespace, or None if it is there and is not ours.

    Args:
        cluster: The settings.
        provider: The cluster's provider.
        opts: Resource options; they protect the namespace where it holds data to keep.
    """
    if not cluster.create_namespace:
        return None
    level = cluster.pod_security
    return kinds.Namespace(
        "namespace",
        metadata={
            "name": cluster.namespace,
            "labels": {
                "app.kubernetes.io/part-of": "milvus-kit",
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/warn": "restricted",
                "pod-security.kubernetes.io/audit": "restricted",
            },
        },
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=provider)),
    )
