"""The cluster a stack is deployed on, whatever kind it is: the same contract."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from infra.images import resolve
from infra.kubernetes import kinds
from infra.kubernetes.check import ClusterCheck
from infra.kubernetes.contract import ClusterContract, KubeAccess
from infra.kubernetes.existing import existing
from infra.kubernetes.kind import kind
from infra.kubernetes.kubeadm import kubeadm
from infra.kubernetes.local_volumes import NAME as LOCAL_VOLUMES
from infra.kubernetes.local_volumes import LocalVolumes
from infra.kubernetes.needs import Needs
from infra.namespace import namespace
from infra.secrets import values
from infra.servers import pods
from infra.settings import Settings
from infra.settings.cluster import ExistingCluster, KindCluster

PULL_LOGIN = "milvus-kit-registry"


def cluster(
    settings: Settings,
    *,
    needs: Needs,
    after: Sequence[pulumi.Resource] = (),
    opts: pulumi.ResourceOptions | None = None,
) -> ClusterContract:
    """Return the cluster, made if the settings say so, checked before anything is put on it.

    Args:
        settings: Of the stack.
        needs: What the stack asks of the cluster.
        after: What there must be before anything of it.
        opts: Options of the namespace, which protect it where it holds data to keep.
    """
    access, made = _access(settings, after)
    provider = k8s.Provider(
        "kubernetes",
        kubeconfig=access.kubeconfig if access.kubeconfig is not None else access.kubeconfig_file,
        context=access.context,
        cluster_identifier=f"{pulumi.get_project()}-{pulumi.get_stack()}",
        opts=pulumi.ResourceOptions(depends_on=[*after, *made]),
    )
    storage_class = settings.kubernetes.storage_class
    volumes = _local_volumes(settings, provider, access)
    before = [*after, *made, *volumes]
    check = ClusterCheck(access, needs, pulumi.ResourceOptions(depends_on=before))
    checked = pulumi.ResourceOptions(depends_on=check)
    space = namespace(settings.kubernetes, provider, pulumi.ResourceOptions.merge(opts, checked))
    there = tuple(one for one in (check, space) if one is not None)
    return ClusterContract(
        provider=provider,
        namespace=settings.kubernetes.namespace,
        storage_class=storage_class or (LOCAL_VOLUMES if volumes else None),
        common=common(settings),
        access=access,
        ready=(*there, *_pull_login(settings, provider, there, opts)),
    )


def common(settings: Settings) -> pods.Common:
    """Return what all pods of a stack have in common."""
    images = settings.images
    login = (PULL_LOGIN,) if images.pull_login else ()
    return pods.Common(
        pull_secrets=(*images.pull_secrets, *login),
        pull_policy=images.pull_policy,
        placement=settings.kubernetes.placement,
        assigned_user=settings.kubernetes.pod_user == "assigned",
    )


def _pull_login(
    settings: Settings,
    provider: k8s.Provider,
    after: Sequence[pulumi.Resource],
    opts: pulumi.ResourceOptions | None,
) -> list[pulumi.Resource]:
    """Return the Secret by which images are pulled, where the settings hold the login."""
    login = settings.images.pull_login
    if login is None:
        return []
    secret = kinds.Secret(
        PULL_LOGIN,
        type="kubernetes.io/dockerconfigjson",
        metadata={"name": PULL_LOGIN, "namespace": settings.kubernetes.namespace},
        stringData={".dockerconfigjson": values.configured(login)},
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                provider=provider,
                depends_on=list(after),
                protect=False,  # it holds no data, and a login is not left behind
                retain_on_delete=False,
            ),
        ),
    )
    return [secret]


def _access(
    settings: Settings, after: Sequence[pulumi.Resource]
) -> tuple[KubeAccess, list[pulumi.Resource]]:
    if isinstance(settings.kubernetes, ExistingCluster):
        return existing(settings.kubernetes), []
    if isinstance(settings.kubernetes, KindCluster):
        return kind(settings.kubernetes, after)
    return kubeadm(pulumi.get_stack(), settings.kubernetes, after)


def _local_volumes(
    settings: Settings, provider: k8s.Provider, access: KubeAccess
) -> list[pulumi.Resource]:
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
        access=access,
    )
    return [component.storage_class]
