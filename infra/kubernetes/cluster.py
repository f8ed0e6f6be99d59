"""The cluster a stack is deployed on, whatever kind it is: the same contract."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from infra.images import resolve
from infra.kubernetes.check import ClusterCheck
from infra.kubernetes.contract import ClusterContract, KubeAccess
from infra.kubernetes.existing import existing
from infra.kubernetes.kind import kind
from infra.kubernetes.kubeadm import kubeadm
from infra.kubernetes.local_volumes import NAME as LOCAL_VOLUMES
from infra.kubernetes.local_volumes import LocalVolumes
from infra.kubernetes.needs import Needs
from infra.namespace import namespace
from infra.settings import Settings
from infra.settings.cluster import ExistingCluster, KindCluster


def cluster(
    settings: Settings, *, needs: Needs, opts: pulumi.ResourceOptions | None = None
) -> ClusterContract:
    """Return the cluster, made if the settings say so, checked before anything is put on it.

    Args:
        settings: Of the stack.
        needs: What the stack asks of the cluster.
        opts: Options of the namespace, which protect it where it holds data to keep.
    """
    access, made = _access(settings)
    provider = k8s.Provider(
        "kubernetes",
        kubeconfig=access.kubeconfig if access.kubeconfig is not None else access.kubeconfig_file,
        context=access.context,
        cluster_identifier=f"{pulumi.get_project()}-{pulumi.get_stack()}",
        opts=pulumi.ResourceOptions(depends_on=made),
    )
    storage_class = settings.kubernetes.storage_class
    volumes = _local_volumes(settings, provider)
    check = ClusterCheck(access, needs, pulumi.ResourceOptions(depends_on=[*made, *volumes]))
    after = pulumi.ResourceOptions(depends_on=check)
    space = namespace(settings.kubernetes, provider, pulumi.ResourceOptions.merge(opts, after))
    return ClusterContract(
        provider=provider,
        namespace=settings.kubernetes.namespace,
        storage_class=storage_class or (LOCAL_VOLUMES if volumes else None),
        pull_secrets=tuple(settings.images.pull_secrets),
        access=access,
        ready=tuple(one for one in (check, space) if one is not None),
    )


def _access(settings: Settings) -> tuple[KubeAccess, list[pulumi.Resource]]:
    if isinstance(settings.kubernetes, ExistingCluster):
        return existing(settings.kubernetes), []
    if isinstance(settings.kubernetes, KindCluster):
        return kind(settings.kubernetes)
    return kubeadm(pulumi.get_stack(), settings.kubernetes)


def _local_volumes(settings: Settings, provider: k8s.Provider) -> list[pulumi.Resource]:
    """Return the default storage class of a kubeadm cluster that names no other."""
    wanted = settings.kubernetes
    if isinstance(wanted, (ExistingCluster, KindCluster)) or wanted.storage_class is not None:
        return []
    component = LocalVolumes(
        "local-volumes",
        folder=str(wanted.local_volumes),
        image=resolve("local-path-provisioner", settings.images),
        helper_image=resolve("busybox", settings.images),
        provider=provider,
    )
    return [component.storage_class]
