"""The stack output ``target``: everything that validation needs to know of a deployment."""

from __future__ import annotations

from typing import Any

import pulumi
from pydantic import SecretStr

from infra.kubernetes.contract import ClusterContract
from infra.milvus.contract import MilvusContract
from infra.settings import Settings
from infra.settings.model import version_of
from infra.settings.services import Kafka
from infra.storage.contract import StorageContract
from validation import target as contract

_MASKS_KAFKAS_PASSWORD = (2, 4, 6)
"""Older versions log it (milvus-io/milvus, issues 28967 and 33727); seen with 2.3.5."""


def target(
    stack: str,
    settings: Settings,
    cluster: ClusterContract,
    storage: StorageContract,
    milvus: MilvusContract,
    *,
    configuration: str | None,
) -> pulumi.Output[dict[str, Any]]:
    """Return the target's document, as a Pulumi secret, once the deployment can be used.

    Args:
        stack: The stack's name; it also picks the rules, ``stacks/NAME.slo.yaml``.
        settings: The stack's settings.
        cluster: Where it runs.
        storage: The store.
        milvus: The deployment.
        configuration: Digest of what the validation Job depends on, where there is one.
    """
    values = pulumi.Output.all(
        access_key=storage.access_key,
        secret_key=storage.secret_key,
        storage_ca=storage.ca_pem,
        milvus_ca=milvus.ca_pem,
        root_password=milvus.root_password,
        kubeconfig=cluster.access.kubeconfig,
    )

    def document(found: dict[str, Any]) -> dict[str, Any]:
        made = contract.Target(
            schema=contract.SCHEMA,
            name=stack,
            description=f"Milvus {milvus.version} {milvus.deployment} on {storage.provider}",
            milvus=_milvus(milvus, found),
            storage=_storage(storage, found),
            kubernetes=_kubernetes(cluster, found),
            # A production deployment is never restarted to see what happens.
            restart=None if settings.production else contract.Restart(kind="kubernetes"),
            notes=_notes(settings, storage),
            configuration=configuration,
        )
        return made.document(reveal=True)

    return pulumi.Output.secret(values.apply(document))


def _milvus(milvus: MilvusContract, found: dict[str, Any]) -> contract.Milvus:
    auth = None
    if milvus.root_user is not None:
        auth = contract.Auth(user=milvus.root_user, password=_secret(found["root_password"]))
    return contract.Milvus.model_validate(
        {
            "uri": milvus.uri,
            "deployment": milvus.deployment,
            "version": milvus.version,
            "tls": _tls(milvus.tls_mode, found["milvus_ca"]),
            "auth": auth,
            "metrics_uri": milvus.metrics_uri,
            "wal": milvus.wal,
            "roles": milvus.roles,
        }
    )


def _storage(storage: StorageContract, found: dict[str, Any]) -> contract.Storage:
    return contract.Storage(
        provider=storage.provider,
        endpoint=storage.public_endpoint,
        bucket=storage.bucket,
        root_path=storage.root_path,
        region=storage.region,
        addressing=storage.addressing,
        tls=_tls("server" if storage.secure else "off", found["storage_ca"]),
        access_key=_secret(found["access_key"]),
        secret_key=_secret(found["secret_key"]),
        versioning=storage.versioning,
        object_lock=storage.object_lock,
        encryption=storage.encryption,
    )


def _kubernetes(cluster: ClusterContract, found: dict[str, Any]) -> contract.Kubernetes:
    kubeconfig = found["kubeconfig"]
    return contract.Kubernetes.model_validate(
        {
            "namespace": cluster.namespace,
            "kubeconfig_file": cluster.access.kubeconfig_file,
            "kubeconfig": _secret(kubeconfig) if kubeconfig else None,
            "context": cluster.access.context,
        }
    )


def _tls(mode: str, ca_pem: str | None) -> contract.Tls:
    return contract.Tls.model_validate({"mode": mode, "ca_pem": ca_pem})


def _secret(value: str) -> contract.SecretRef:
    return contract.SecretRef(value=SecretStr(value))


def _notes(settings: Settings, storage: StorageContract) -> tuple[str, ...]:
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
