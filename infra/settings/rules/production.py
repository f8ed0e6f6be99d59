"""Rules of production: it refuses what is not safe, and what one failure takes away."""

from __future__ import annotations

from collections.abc import Iterator

from infra.settings.cluster import Cluster, KindCluster
from infra.settings.milvus import Milvus
from infra.settings.problem import Problem
from infra.settings.rules.registry import rule
from infra.settings.services import Etcd, Kafka, Log, Pulsar
from infra.settings.storage import Minio, Storage

_LEAST_REPLICAS = 2


@rule
def _kind_is_for_dev(environment: str, kubernetes: Cluster) -> Iterator[Problem]:
    if environment == "prod" and isinstance(kubernetes, KindCluster):
        yield Problem(
            "kubernetes.provider",
            "kind runs on one machine and is made for trying things",
            seen="'kind'",
            remedy="use existing or kubeadm",
        )


@rule
def _prod_is_secure(environment: str, milvus: Milvus, etcd: Etcd) -> Iterator[Problem]:
    if environment != "prod":
        return
    wanted = {
        "milvus.auth.enabled": milvus.auth.enabled,
        "milvus.tls.mode": milvus.tls.mode != "off",
    }
    if milvus.installer == "manifests":  # milvus-operator cannot; see rules.operator
        wanted |= {"etcd.auth": etcd.auth, "etcd.tls": etcd.tls}
    for key, on in wanted.items():
        if not on:
            yield Problem(key, "prod refuses to run without it", remedy="remove the key")


@rule
def _prod_store_is_safe(environment: str, storage: Storage) -> Iterator[Problem]:
    if environment != "prod":
        return
    if isinstance(storage, Minio):
        yield Problem(
            "storage.type",
            "this MinIO is one server with one volume",
            seen="'minio'",
            remedy="use x10000 or s3",
        )
    elif not storage.secure and not storage.allow_insecure:
        yield Problem(
            "storage.endpoint",
            "data and keys would travel in the clear",
            seen=repr(storage.endpoint),
            remedy="use https://, or set allowInsecure: true",
        )


@rule
def _prod_is_available(environment: str, milvus: Milvus, etcd: Etcd, log: Log) -> Iterator[Problem]:
    if environment != "prod":
        return
    if milvus.mode != "cluster":
        yield Problem(
            "milvus.mode", "a standalone is one pod", seen=repr(milvus.mode), remedy="use cluster"
        )
    for name, role in milvus.roles.items():
        scale = role.autoscaling
        replicas = scale.min_replicas if scale else role.replicas
        if milvus.mode == "cluster" and replicas is not None and 0 < replicas < _LEAST_REPLICAS:
            yield Problem(
                f"milvus.roles.{name}.{'autoscaling.minReplicas' if scale else 'replicas'}",
                "one pod is one failure",
                seen=str(replicas),
                remedy="use 2 or more, or leave it out",
            )
    if etcd.members == 1:
        yield Problem("etcd.members", "one member is one failure", seen="1", remedy="use 3")
    if isinstance(log, Kafka) and log.mode == "create":
        yield Problem(
            "log.mode",
            "the Kafka that this kit makes is one broker",
            seen="'create'",
            remedy="use mode: adopt, woodpecker or pulsar",
        )
    if isinstance(log, Kafka) and log.mode == "adopt" and not log.tls:
        yield Problem("log.tls", "the log would travel in the clear", remedy="set tls: true")
    if isinstance(log, Pulsar) and not log.tls:
        yield Problem("log.tls", "the log would travel in the clear", remedy="set tls: true")
