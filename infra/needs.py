"""What a stack needs of its cluster: each volume's class, and room for each of its pods."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from infra.images import used
from infra.kubernetes.cluster import common
from infra.kubernetes.needs import Needs, Pods
from infra.milvus.access import services
from infra.milvus.capacity.planning import plan
from infra.milvus.roles import hardware
from infra.milvus.roles.topology import STANDALONE
from infra.servers import pods
from infra.settings import Settings
from infra.settings.cluster import KubeadmCluster
from infra.settings.model import Placement, Resources, Volume
from infra.settings.quantities import bytes_of, cores_of
from infra.settings.services import Kafka, Woodpecker
from infra.settings.storage import Minio
from infra.storage.minio import objects as minio_objects


def needs_of(settings: Settings, *, where: str) -> Needs:
    """Return what the cluster must have.

    Args:
        settings: Of the stack.
        where: The stack, for errors.

    Raises:
        ConfigurationError: A role that this version does not have, or a stack too small for its
            declared data set.
    """
    cluster = settings.kubernetes
    volumes = dict(_volumes(settings))
    named = {f"{key}.storageClass": one.storage_class for key, one in volumes.items()}
    plain = [key for key, one in volumes.items() if one.storage_class is None]
    if plain and cluster.storage_class:
        named["kubernetes.storageClass"] = cluster.storage_class
    # A kubeadm cluster gets a class for these from the kit, before anything is deployed on it.
    default = not cluster.storage_class and not isinstance(cluster, KubeadmCluster)
    return Needs(
        namespace=cluster.namespace,
        pods=(*_roles(settings, where), *_around(settings)),
        storage_classes={key: name for key, name in named.items() if name},
        default_class=tuple(plain) if default else (),
        node_ports=_node_ports(settings),
        images=tuple(used(settings).values()) if _never_pulls(settings) else (),
    )


def _volumes(settings: Settings) -> Iterator[tuple[str, Volume]]:
    """Yield every volume that is claimed, by its key."""
    milvus, log = settings.milvus, settings.log
    yield "etcd.volume", settings.etcd.volume
    if isinstance(settings.storage, Minio):
        yield "storage.volume", settings.storage.volume
    if isinstance(log, (Kafka, Woodpecker)) and log.mode in {"create", "service"}:
        yield "log.volume", log.volume
    if milvus.data_volume is not None and milvus.mode == STANDALONE:
        yield "milvus.dataVolume", milvus.data_volume
    if milvus.diskann.volume is not None and milvus.diskann.enabled:
        yield "milvus.diskann.volume", milvus.diskann.volume


def _roles(settings: Settings, where: str) -> Iterator[Pods]:
    milvus = settings.milvus
    placed = functools.partial(pods.placed, common(settings))
    for name, one in plan(settings, where=where).items():
        gpus = milvus.gpu.per_pod if hardware.uses_gpu(name, milvus) else 0
        key = f"milvus.roles.{name}"
        yield _pods(key, one.replicas, one.resources, placed(one.given.placement), gpus=gpus)


def _around(settings: Settings) -> Iterator[Pods]:
    """Yield what stands around Milvus for as long as it runs, and the suite."""
    etcd, log, suite = settings.etcd, settings.log, settings.validation
    placed = functools.partial(pods.placed, common(settings))
    yield _pods("etcd", etcd.members, etcd.resources, placed(etcd.placement))
    if isinstance(settings.storage, Minio):
        yield _pods("storage", 1, settings.storage.resources, placed(settings.storage.placement))
    if isinstance(log, Kafka) and log.mode == "create":
        yield _pods("log", 1, log.resources, placed(log.placement))
    if isinstance(log, Woodpecker) and log.mode == "service":
        yield _pods("log", log.replicas, log.resources, placed(log.placement))
    if suite.enabled:
        yield _pods("validation", 1, suite.resources, placed(suite.placement))


def _pods(key: str, count: int, wanted: Resources, where: Placement, *, gpus: int = 0) -> Pods:
    return Pods(
        key=key,
        count=count,
        cpu=cores_of(wanted.cpu or "0"),
        memory_bytes=bytes_of(wanted.memory or "0"),
        gpus=gpus,
        node_selector=dict(where.node_selector),
        tolerations=tuple(one.model_dump(exclude_none=True) for one in where.tolerations),
    )


def _node_ports(settings: Settings) -> dict[str, int]:
    ports = {services.NAME: settings.milvus.access.node_port}
    if isinstance(settings.storage, Minio):
        ports[minio_objects.SERVICE] = settings.storage.access.node_port
    namespace = settings.kubernetes.namespace
    return {f"{namespace}/{name}": port for name, port in ports.items() if port}


def _never_pulls(settings: Settings) -> bool:
    cluster = settings.kubernetes
    imported = isinstance(cluster, KubeadmCluster) and cluster.image_archives is not None
    return imported or settings.images.pull_policy == "Never"
