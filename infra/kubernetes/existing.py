"""A cluster that is there."""

from __future__ import annotations

from pathlib import Path

from infra.kubernetes.contract import KubeAccess
from infra.secrets.values import configured
from infra.settings.cluster import ExistingCluster
from validation.errors import ConfigurationError


def existing(settings: ExistingCluster) -> KubeAccess:
    """Return how the cluster is reached.

    Raises:
        ConfigurationError: The kubeconfig file that is named is not there.
    """
    file = settings.kubeconfig_file
    if file is not None and not file.expanduser().is_file():
        raise ConfigurationError(
            "the kubeconfig file is not there",
            where="kubernetes.kubeconfigFile",
            seen=str(file),
            remedy="correct the path, or leave it out to use KUBECONFIG or ~/.kube/config",
        )
    return KubeAccess(
        kubeconfig=configured(settings.kubeconfig) if settings.kubeconfig else None,
        kubeconfig_file=str(Path(file).expanduser()) if file else None,
        context=settings.context,
        origin={"kubernetes.provider": settings.provider},
    )
