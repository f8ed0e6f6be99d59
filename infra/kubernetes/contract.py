"""The cluster contract: what everything deployed on a cluster needs to know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.servers import pods


@dataclass(frozen=True, kw_only=True)
class ClusterContract:
    """A cluster, and the namespace in which everything is deployed.

    Args:
        provider: The Kubernetes provider; pass it in the options of every resource.
        namespace: Name of the namespace.
        storage_class: For volumes that name none; None: the cluster's default.
        common: What all pods have in common.
        access: How a program outside reaches the API server: kubeconfig text or path, context.
        ready: Resources that must exist before anything is created in the namespace.
    """

    provider: k8s.Provider
    namespace: str
    storage_class: str | None
    common: pods.Common
    access: KubeAccess
    ready: tuple[pulumi.Resource, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KubeAccess:
    """How a program outside reaches the API server. No kubeconfig means the user's own.

    ``origin`` says which cluster it is, as far as the settings decide it, by key.
    """

    kubeconfig: pulumi.Output[str] | None = None
    kubeconfig_file: str | None = None
    context: str | None = None
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict)
