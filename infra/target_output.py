"""The stack output ``target``: everything that validation needs to know of a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pydantic import SecretStr

from infra.kubernetes.contract import ClusterContract
from infra.milvus.contract import MilvusContract
from infra.secrets.values import configured
from infra.settings import Settings
from infra.settings.cluster import Host, KubeadmCluster
from infra.settings.model import version_of
from infra.settings.services import Kafka
from infra.storage.contract import StorageContract
from validation import target as contract

_MASKS_KAFKAS_PASSWORD = (2, 4, 6)
"""Older versions log it (milvus-io/milvus, issues 28967 and 33727); seen with 2.3.5."""


def target(
    stack: str,
    settings: Settings,
    storage: StorageContract,
    milvus: MilvusContract,
    *,
    cluster: ClusterContract,
    configuration: str | None,
) -> pulumi.Output[dict[str, Any]]:
    """Return the target's document, as a Pulumi secret, once the deployment can be used.

    Args:
        stack: The stack's name.
        settings: The stack's settings.
        storage: The store.
        milvus: The deployment.
        cluster: Where it runs.
        configuration: Digest of what the validation Job depends on, where there is one.
    """
    values = pulumi.Output.all(
        access_key=storage.access_key,
        secret_key=storage.secret_key,
        storage_ca=storage.ca_pem,
        milvus_ca=milvus.ca_pem,
        root_password=milvus.root_password,
        kubeconfig=cluster.access.kubeconfig,
        node_keys={
            one.name: configured(one.ssh.private_key) for one in _nodes(settings) if one.ssh
        },
    )

    def document(found: dict[str, Any]) -> dict[str, Any]:
        made = declared(
            stack,
            settings,
            storage,
            milvus,
            Reached(
                description=f"Milvus {milvus.version} {milvus.deployment} on {storage.provider}",
                uri=milvus.uri,
                metrics_uri=milvus.metrics_uri,
                endpoint=storage.public_endpoint,
                milvus_tls={"ca_pem": found["milvus_ca"]},
                storage_tls={"ca_pem": found["storage_ca"]},
                root_password=_secret(found["root_password"]),
                access_key=_secret(found["access_key"]),
                secret_key=_secret(found["secret_key"]),
                notes=_notes_outside(settings),
            ),
        )
        # The Job inside brings its rules along; from outside they are looked for.
        here = {
            "configuration": configuration,
            "rules": settings.validation.rules,
            "kubernetes": _kubernetes(cluster, milvus, found["kubeconfig"]),
            "hosts": tuple(_host(one, found["node_keys"]) for one in _nodes(settings)),
        }
        return made.model_copy(update=here).document(reveal=True)

    return pulumi.Output.secret(values.apply(document))


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a deployment is reached from one place: all in which the targets for two places differ.

    ``milvus_tls`` and ``storage_tls`` say where the certificates are there; ``notes`` are what
    holds only there.
    """

    description: str
    uri: str
    metrics_uri: str | None
    endpoint: str
    milvus_tls: Mapping[str, str | None]
    storage_tls: Mapping[str, str | None]
    root_password: contract.SecretRef | None
    access_key: contract.SecretRef | None
    secret_key: contract.SecretRef | None
    notes: tuple[str, ...] = ()


def declared(
    stack: str,
    settings: Settings,
    storage: StorageContract,
    milvus: MilvusContract,
    reached: Reached,
) -> contract.Target:
    """Return the target of a deployment for one place from which it is reached.

    Args:
        stack: The stack's name.
        settings: The stack's settings.
        storage: The store.
        milvus: The deployment.
        reached: Its addresses, certificates and secrets, as they are at that place.
    """
    auth = {"user": milvus.root_user, "password": reached.root_password}
    return contract.Target.model_validate(
        {
            "schema": contract.SCHEMA,
            "name": stack,
            "description": reached.description,
            "milvus": {
                "uri": reached.uri,
                "deployment": milvus.deployment,
                "version": milvus.version,
                "tls": {"mode": milvus.tls_mode, **reached.milvus_tls},
                "auth": auth if milvus.root_user is not None else None,
                "metrics_uri": reached.metrics_uri,
                "wal": milvus.wal,
                "roles": milvus.roles,
            },
            "storage": {
                "provider": storage.provider,
                "endpoint": reached.endpoint,
                "bucket": storage.bucket,
                "root_path": storage.root_path,
                "region": storage.region,
                "addressing": storage.addressing,
                "tls": {"mode": "server" if storage.secure else "off", **reached.storage_tls},
                "access_key": reached.access_key,
                "secret_key": reached.secret_key,
                "versioning": storage.versioning,
                "object_lock": storage.object_lock,
                "encryption": storage.encryption,
            },
            "notes": (*_notes(settings, storage), *reached.notes),
        }
    )


def _kubernetes(
    cluster: ClusterContract, milvus: MilvusContract, kubeconfig: str | None
) -> contract.Kubernetes:
    """Return how whoever stands outside looks at the objects; the Job inside has no right to."""
    file = cluster.access.kubeconfig_file
    return contract.Kubernetes(
        namespace=cluster.namespace,
        kubeconfig=contract.SecretRef(file=Path(file)) if file else _secret(kubeconfig),
        context=cluster.access.context,
        workloads=milvus.workloads,
    )


def _nodes(settings: Settings) -> tuple[Host, ...]:
    """Return the hosts that the kit made nodes of."""
    made = settings.kubernetes
    return made.hosts if isinstance(made, KubeadmCluster) else ()


def _host(one: Host, keys: Mapping[str, str]) -> contract.Host:
    """Return how whoever stands where the programs run looks at a node."""
    if one.ssh is None:
        return contract.Host(name=one.name, node=one.role)
    return contract.Host(
        name=one.name,
        address=one.address,
        user=one.ssh.user,
        port=one.ssh.port,
        private_key=_secret(keys[one.name]),
        host_key=one.ssh.host_key,
        node=one.role,
    )


def _secret(value: str | None) -> contract.SecretRef | None:
    return contract.SecretRef(value=SecretStr(value)) if value else None


def _notes(settings: Settings, storage: StorageContract) -> tuple[str, ...]:
    """Return what a reader must know of the deployment, wherever it is seen from."""
    notes = []
    if storage.provider == "x10000":
        notes.append(
            "S3 over RDMA, which the X10000 offers, is not used: Milvus speaks S3 over TCP."
        )
    if settings.production and settings.etcd.spread != "required":
        notes.append(
            "etcd's members may share a host, whose failure would then take the metadata away."
        )
    log = settings.log
    tells = version_of(settings.milvus.version) < _MASKS_KAFKAS_PASSWORD
    if isinstance(log, Kafka) and log.sasl is not None and tells:
        notes.append(
            "This version of Milvus writes Kafka's password to its log when it starts, at any"
            " level: keep its log to those who may know it."
        )
    return tuple(notes)


def _notes_outside(settings: Settings) -> tuple[str, ...]:
    """Return what stands in the way of whoever comes from outside the cluster."""
    notes = []
    if settings.milvus.access.host is None:
        notes.append(
            "Milvus has no address outside the cluster: validate from inside it or forward a port."
        )
    if settings.milvus.tls.mode == "mutual":
        notes.append(
            "Milvus asks its clients for a certificate: validate from inside the cluster, or add"
            " milvus.tls.client_certificate_file and client_key_file to this target."
        )
    return tuple(notes)
