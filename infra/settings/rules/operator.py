"""Rules of ``milvus.installer: operator``: what milvus-operator cannot do."""

from __future__ import annotations

from collections.abc import Iterator

from infra.settings.cluster import Cluster
from infra.settings.milvus import Milvus
from infra.settings.problem import Problem
from infra.settings.rules.registry import rule
from infra.settings.services import Etcd, Log, RocksMq, Woodpecker
from infra.settings.storage import Minio, Storage

SECRET_KEYS = ("accesskey", "secretkey")
"""The only keys of the store's Secret that milvus-operator reads."""
CA_KEY = "ca.crt"
_MANIFESTS = "use installer: manifests"


@rule
def _operator_can(milvus: Milvus, log: Log, etcd: Etcd) -> Iterator[Problem]:
    if milvus.installer != "operator":
        return
    for key, on in (("etcd.tls", etcd.tls), ("etcd.auth", etcd.auth)):
        if on:
            yield Problem(
                key,
                "milvus-operator probes etcd without TLS and without a certificate",
                seen="True",
                remedy="set it to false: NetworkPolicies keep others away; or use installer:"
                " manifests",
            )
    if isinstance(log, RocksMq):
        yield Problem(
            "log.type",
            "milvus-operator gives its pods no group for their volumes, and the log's would be"
            " root's alone",
            seen=repr(log.type),
            remedy=f"{_MANIFESTS}, or another log",
        )
    if isinstance(log, Woodpecker) and log.mode == "service":
        yield Problem(
            "log.mode",
            "milvus-operator has no Woodpecker service",
            seen=repr(log.mode),
            remedy="use installer: manifests, or another log",
        )


@rule
def _operator_makes_what_is_asked(milvus: Milvus, kubernetes: Cluster) -> Iterator[Problem]:
    if milvus.installer != "operator":
        return
    for key, asked in (
        ("kubernetes.podUser", kubernetes.pod_user != "fixed"),
        ("milvus.gpu.enabled", milvus.gpu.enabled),
        ("milvus.diskann.enabled", milvus.diskann.enabled),
        ("milvus.command", milvus.command != ("milvus",)),
    ):
        if asked:
            yield Problem(
                key, "the kit does not hand this on to milvus-operator", remedy=_MANIFESTS
            )
    for name, role in milvus.roles.items():
        for key, asked in (
            # Its Deployments change their names from one rollout to the next.
            ("autoscaling", role.autoscaling is not None),
            ("terminationGraceSeconds", role.termination_grace_seconds is not None),
            ("localStorage", role.local_storage is not None),
        ):
            if asked:
                yield Problem(
                    f"milvus.roles.{name}.{key}",
                    "milvus-operator has no place for this",
                    remedy=f"remove it, or {_MANIFESTS}",
                )


@rule
def _operator_reads_the_secrets(milvus: Milvus, storage: Storage) -> Iterator[Problem]:
    if milvus.installer != "operator" or isinstance(storage, Minio):
        return
    there = storage.credentials.existing_secret if storage.credentials else None
    if there and (there.access_key, there.secret_key) != SECRET_KEYS:
        yield Problem(
            "storage.credentials.existingSecret",
            "milvus-operator reads the S3 key from the keys accesskey and secretkey alone",
            remedy=f"rename the keys of the Secret, or {_MANIFESTS}",
        )
    ca = storage.ca.existing_secret if storage.ca else None
    if ca and ca.key != CA_KEY:
        yield Problem(
            "storage.ca.existingSecret.key",
            "milvus-operator reads the CA from the key ca.crt alone",
            seen=repr(ca.key),
            remedy=f"rename the key of the Secret, or {_MANIFESTS}",
        )
