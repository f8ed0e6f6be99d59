"""What each part of a deployment is made of: settings and contracts, put together once.

Nothing is declared here; `infra.milvus.deployment` declares what these plans say.
"""

from __future__ import annotations

from infra.images import resolve
from infra.kubernetes.contract import ClusterContract
from infra.milvus import etcd, kafka, log, woodpecker, workloads
from infra.milvus.capacity import Capacity
from infra.milvus.configuration import Inputs, ObjectStore
from infra.milvus.credentials import Secrets
from infra.milvus.identity import Identity
from infra.settings import Settings
from infra.settings.services import Kafka, Woodpecker
from infra.storage.contract import SecretKeyRef, StorageContract


def etcd_plan(settings: Settings, cluster: ClusterContract) -> etcd.EtcdPlan:
    """Return what etcd is made of."""
    return etcd.EtcdPlan(
        namespace=cluster.namespace,
        image=resolve("etcd", settings.images),
        settings=settings.etcd,
        tls_secret="etcd-tls" if settings.etcd.tls else None,
        storage_class=cluster.storage_class,
        retain=settings.storage.retain_on_delete,
        required_spread=settings.etcd.spread == "required",
        pull_secrets=cluster.pull_secrets,
        pull_policy=settings.images.pull_policy,
    )


def kafka_plan(settings: Settings, cluster: ClusterContract, mine: Kafka) -> kafka.KafkaPlan:
    """Return what the small Kafka is made of."""
    return kafka.KafkaPlan(
        namespace=cluster.namespace,
        image=resolve("kafka", settings.images),
        settings=mine,
        storage_class=cluster.storage_class,
        retain=settings.storage.retain_on_delete,
        pull_secrets=cluster.pull_secrets,
        pull_policy=settings.images.pull_policy,
    )


def woodpecker_plan(
    settings: Settings,
    cluster: ClusterContract,
    storage: StorageContract,
    *,
    mine: Woodpecker,
    metadata: etcd.EtcdPlan,
    identity: Identity,
) -> woodpecker.WoodpeckerPlan:
    """Return what the Woodpecker service is made of."""
    return woodpecker.WoodpeckerPlan(
        namespace=cluster.namespace,
        image=resolve("woodpecker", settings.images),
        settings=mine,
        storage=storage,
        store=object_store(storage),
        etcd=metadata.store(),
        etcd_secret=identity.etcd_client_tls,
        storage_class=cluster.storage_class,
        retain=settings.storage.retain_on_delete,
        required_spread=settings.production,
        pull_secrets=cluster.pull_secrets,
        pull_policy=settings.images.pull_policy,
    )


def work_plan(
    settings: Settings, cluster: ClusterContract, inputs: Inputs, secrets: Secrets
) -> workloads.WorkloadPlan:
    """Return what the roles are made of."""
    milvus = settings.milvus
    gpu = None
    if milvus.gpu.enabled:
        gpu = milvus.image or resolve("milvus-gpu", settings.images, version=milvus.version)
    return workloads.WorkloadPlan(
        settings=settings,
        namespace=cluster.namespace,
        image=resolve("milvus", settings.images, version=milvus.version, override=milvus.image),
        gpu_image=gpu,
        inputs=inputs,
        secrets=secrets,
        storage_class=cluster.storage_class,
        pull_secrets=cluster.pull_secrets,
    )


def log_secrets(identity: Identity) -> dict[str, SecretKeyRef]:
    """Return the log's Secrets by purpose."""
    pairs = {"password": identity.log_password, "ca": identity.log_ca}
    return {purpose: ref for purpose, ref in pairs.items() if ref is not None}


def secrets(storage: StorageContract, access: log.LogAccess, identity: Identity) -> Secrets:
    """Return the Secrets that Milvus's pods refer to."""
    return Secrets(
        storage=storage,
        log=access,
        etcd_tls=identity.etcd_client_tls,
        server_tls=identity.server_tls,
        root_password=identity.root_password,
        fingerprints={**identity.fingerprints, "s3": storage.fingerprint},
    )


def object_store(storage: StorageContract) -> ObjectStore:
    """Return the store as Milvus's configuration names it."""
    return ObjectStore(
        host=storage.host,
        port=storage.port,
        secure=storage.secure,
        bucket=storage.bucket,
        root_path=storage.root_path,
        region=storage.region,
        virtual_host=storage.addressing == "virtual",
        private_ca=storage.ca is not None,
    )


def inputs(
    settings: Settings,
    capacities: dict[str, Capacity],
    storage: StorageContract,
    etcd_plan: etcd.EtcdPlan,
    access: log.LogAccess,
) -> Inputs:
    """Return all that milvus.yaml is made of."""
    return Inputs(
        milvus=settings.milvus,
        store=object_store(storage),
        etcd=etcd_plan.store(),
        log=access.store,
        # A coordinator that is replaced waits for the old one to leave; without a standby it would
        # give up, and the rollout with it.
        standby=frozenset(name for name, item in capacities.items() if item.role.coordinator),
        # Kubernetes counts the pause before a stop as a part of it.
        grace_seconds={
            name: item.grace_seconds - workloads.drain_seconds(name, settings)
            for name, item in capacities.items()
        },
    )
