"""What each part of a deployment is made of: settings and contracts, put together once.

Nothing is declared here; `infra.milvus.deployment` declares what these plans say.
"""

from __future__ import annotations

from infra.images import milvus_image, resolve, woodpecker_image
from infra.kubernetes.contract import ClusterContract
from infra.milvus.access.credentials import Secrets
from infra.milvus.access.identity import Identity
from infra.milvus.capacity.planning import Capacity
from infra.milvus.dependencies import etcd, kafka, log, woodpecker
from infra.milvus.dependencies.snapshot import kept_seconds
from infra.milvus.roles import workloads
from infra.milvus.roles.configuration import Inputs, ObjectStore
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
        common=cluster.common,
    )


def kafka_plan(settings: Settings, cluster: ClusterContract, mine: Kafka) -> kafka.KafkaPlan:
    """Return what the small Kafka is made of."""
    return kafka.KafkaPlan(
        namespace=cluster.namespace,
        image=resolve("kafka", settings.images),
        settings=mine,
        storage_class=cluster.storage_class,
        retain=settings.storage.retain_on_delete,
        common=cluster.common,
    )


def woodpecker_plan(
    settings: Settings, cluster: ClusterContract, storage: StorageContract, mine: Woodpecker
) -> woodpecker.WoodpeckerPlan:
    """Return what the Woodpecker service is made of."""
    return woodpecker.WoodpeckerPlan(
        namespace=cluster.namespace,
        image=woodpecker_image(settings),
        settings=mine,
        storage=storage,
        store=object_store(storage),
        jobs=settings.kubernetes.jobs,
        storage_class=cluster.storage_class,
        retain=settings.storage.retain_on_delete,
        required_spread=settings.production,
        common=cluster.common,
    )


def work_plan(
    settings: Settings, cluster: ClusterContract, inputs: Inputs, secrets: Secrets
) -> workloads.WorkloadPlan:
    """Return what the roles are made of."""
    return workloads.WorkloadPlan(
        settings=settings,
        namespace=cluster.namespace,
        image=milvus_image(settings),
        inputs=inputs,
        secrets=secrets,
        storage_class=cluster.storage_class,
        common=cluster.common,
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
    )


def inputs(
    settings: Settings,
    capacities: dict[str, Capacity],
    storage: StorageContract,
    etcd_plan: etcd.EtcdPlan,
    access: log.LogAccess,
) -> Inputs:
    """Return all that user.yaml is made of."""
    snapshots = settings.etcd.snapshots
    return Inputs(
        milvus=settings.milvus,
        store=object_store(storage),
        etcd=etcd_plan.store(),
        log=access.store,
        production=settings.production,
        # A coordinator that is replaced waits for the old one to leave; without a standby it would
        # give up, and the rollout with it.
        standby=frozenset(name for name, item in capacities.items() if item.role.coordinator),
        # Kubernetes counts the pause before a stop as a part of it.
        grace_seconds={
            name: item.grace_seconds - workloads.drain_seconds(name, settings)
            for name, item in capacities.items()
        },
        dropped_seconds=kept_seconds(snapshots) if snapshots else None,
    )
