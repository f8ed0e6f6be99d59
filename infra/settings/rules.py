"""What no single section can know: rules across the settings.

Each rule is a function that takes the sections it needs by name and yields problems. A rule runs
when all of its sections are right by themselves, so one mistake never hides another.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from infra.settings import conformance
from infra.settings.cluster import ExistingCluster, KindCluster, KubeadmCluster
from infra.settings.milvus import Milvus, Role
from infra.settings.model import Access, existing_secrets_in, version_of
from infra.settings.problem import Problem, secretive
from infra.settings.services import Etcd, Images, Kafka, Log, Pulsar, RocksMq, Woodpecker
from infra.settings.storage import S3, X10000, Minio, Storage

Rule = Callable[..., Iterator[Problem]]
_RULES: list[Rule] = []

OLDEST = (2, 3, 0)
NEWEST_MAJOR = 3
WOODPECKER_SINCE = (2, 6, 0)
GPU_SINCE = (2, 4, 0)

OWNED = ("minio", "etcd", "mq", "woodpecker", "kafka", "pulsar", "rocksmq", "tls", "localStorage")
"""Top-level keys of milvus.yaml that the kit writes itself."""


def problems(sections: dict[str, Any], *, recorded: bool = True) -> list[Problem]:
    """Return what the rules find wrong with the sections that are right by themselves.

    Args:
        sections: By name.
        recorded: Whether the store's recorded profile counts; not for who is to record it.
    """
    found: list[Problem] = []
    for rule in _RULES + ([_profile_agrees] if recorded else []):
        needed = list(inspect.signature(rule).parameters)
        if all(name in sections for name in needed):
            found += rule(**{name: sections[name] for name in needed})
    return found


def _rule(function: Rule) -> Rule:
    _RULES.append(function)
    return function


@_rule
def _version_is_supported(milvus: Milvus) -> Iterator[Problem]:
    version = version_of(milvus.version)
    if version < OLDEST or version[0] > NEWEST_MAJOR:
        yield Problem(
            "milvus.version",
            "this kit knows Milvus 2.3 to 3.x",
            seen=repr(milvus.version),
            remedy="use a version in that range",
        )


@_rule
def _log_fits_milvus(milvus: Milvus, log: Log) -> Iterator[Problem]:
    version = version_of(milvus.version)
    if isinstance(log, Woodpecker) and version < WOODPECKER_SINCE:
        yield Problem(
            "log.type",
            f"Milvus {milvus.version} has no Woodpecker; it came with 2.6",
            seen=repr(log.type),
            remedy="use kafka, pulsar, or rocksmq for a standalone",
        )
    if isinstance(log, RocksMq) and milvus.mode != "standalone":
        yield Problem(
            "log.type",
            "RocksMQ lives inside a standalone; a cluster's roles cannot share it",
            seen=repr(log.type),
            remedy="use woodpecker (2.6 and later), kafka or pulsar",
        )
    if isinstance(log, RocksMq) and milvus.data_volume is None:
        yield Problem(
            "milvus.dataVolume",
            "RocksMQ keeps the log on this volume, and there is none",
            remedy="add dataVolume: {size: 20Gi}",
        )


@_rule
def _log_fits_store(log: Log, storage: Storage) -> Iterator[Problem]:
    if not isinstance(log, Woodpecker) or log.mode != "embedded" or isinstance(storage, Minio):
        return
    if storage.versioning != "off":
        yield Problem(
            "log.mode",
            "embedded Woodpecker needs conditional writes, which stores refuse on a bucket with"
            " versions",
            seen=repr(log.mode),
            remedy="use mode: service, kafka or pulsar, or a bucket without versioning",
        )


def _profile_agrees(log: Log, storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, Minio):
        return
    embedded = isinstance(log, Woodpecker) and log.mode == "embedded"
    if storage.conformance_profile is not None:
        yield from conformance.problems(storage, embedded=embedded)
    elif embedded:
        yield Problem(
            "log.mode",
            "embedded Woodpecker writes to this store and needs strict conditional writes, which"
            " no recorded profile shows it to have",
            seen="'embedded'",
            remedy="record one with `milvus-kit preflight` and name it in"
            " storage.conformanceProfile, or use mode: service, kafka or pulsar",
        )


@_rule
def _roles_fit_mode(milvus: Milvus) -> Iterator[Problem]:
    for name in milvus.roles:
        if (name == "standalone") != (milvus.mode == "standalone"):
            yield Problem(
                f"milvus.roles.{name}",
                f"mode {milvus.mode} has no such role",
                remedy="remove it, or change milvus.mode",
            )


@_rule
def _replicas_can_be(milvus: Milvus) -> Iterator[Problem]:
    for name, role in milvus.roles.items():
        key = f"milvus.roles.{name}"
        if name == "standalone" and (role.autoscaling or (role.replicas or 1) > 1):
            yield Problem(
                f"{key}.replicas", "a standalone is one pod", remedy="use mode: cluster to scale"
            )
        if role.autoscaling and role.replicas is not None:
            yield Problem(
                f"{key}.replicas",
                "autoscaling decides the number of replicas",
                seen=repr(role.replicas),
                remedy="remove replicas, or autoscaling",
            )
        if role.replicas == 0:
            yield Problem(
                f"{key}.replicas",
                "a role of the topology cannot be left out",
                seen="0",
                remedy="use at least 1",
            )


@_rule
def _environment_holds_no_secret(milvus: Milvus) -> Iterator[Problem]:
    for name, role in milvus.roles.items():
        yield from _secret_names(role, f"milvus.roles.{name}.env")
    yield from _secret_keys(milvus.configuration, "milvus.configuration")


def _secret_names(role: Role, key: str) -> Iterator[Problem]:
    for variable in role.env:
        if secretive(variable) or variable.startswith(("MINIO_", "ETCD_")):
            yield Problem(
                f"{key}.{variable}",
                "environment variables here are plain text in the cluster, and this one is the"
                " kit's to set",
                remedy="remove it; credentials come from Secrets, see storage.credentials",
            )


def _secret_keys(tree: dict[str, Any], key: str) -> Iterator[Problem]:
    for name, value in tree.items():
        path = f"{key}.{name}"
        if isinstance(value, dict):
            yield from _secret_keys(value, path)
        elif secretive(str(name)) and isinstance(value, str):
            yield Problem(
                path,
                "milvus.yaml is a ConfigMap that anyone with access to the namespace can read",
                remedy="remove it; credentials come from Secrets",
            )


@_rule
def _configuration_is_not_owned(milvus: Milvus) -> Iterator[Problem]:
    for name in milvus.configuration:
        if name in OWNED:
            yield Problem(
                f"milvus.configuration.{name}",
                "the kit writes this part of milvus.yaml from other sections",
                remedy="remove it, and use storage, etcd, log or milvus.tls",
            )
    security = milvus.configuration.get("common", {})
    if isinstance(security, dict) and "security" in security:
        yield Problem(
            "milvus.configuration.common.security",
            "the kit writes this part of milvus.yaml from other sections",
            remedy="remove it, and use milvus.auth and milvus.tls",
        )


@_rule
def _gpu_can_be(milvus: Milvus) -> Iterator[Problem]:
    if milvus.gpu.enabled and version_of(milvus.version) < GPU_SINCE:
        yield Problem(
            "milvus.gpu.enabled",
            f"CAGRA came with 2.4; this is {milvus.version}",
            remedy="use a later version",
        )
    data = milvus.dataset
    if data and data.index.startswith("GPU_") and not milvus.gpu.enabled:
        yield Problem(
            "milvus.dataset.index",
            "this index is built and searched on GPUs",
            seen=repr(str(data.index)),
            remedy="set milvus.gpu.enabled, or choose another index",
        )
    if data and data.index == "DISKANN" and not milvus.diskann.enabled:
        yield Problem(
            "milvus.dataset.index",
            "DiskANN needs local NVMe volumes",
            seen=repr(str(data.index)),
            remedy="set milvus.diskann with a volume, or choose another index",
        )


@_rule
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
    if isinstance(log, Woodpecker) and log.mode == "service":
        yield Problem(
            "log.mode",
            "milvus-operator has no Woodpecker service",
            seen=repr(log.mode),
            remedy="use installer: manifests, or another log",
        )


@_rule
def _x10000_is_complete(storage: Storage) -> Iterator[Problem]:
    if not isinstance(storage, X10000):
        return
    provision = storage.mode == "provision"
    if provision != (storage.greenlake is not None):
        yield Problem(
            "storage.greenlake",
            "mode provision needs it" if provision else "mode adopt makes nothing through it",
            remedy="add systemId, region, clientId and clientSecret"
            if provision
            else "remove it, or use mode: provision",
        )
    if provision and storage.credentials is not None:
        yield Problem(
            "storage.credentials",
            "mode provision makes the key itself",
            remedy="remove it, or use mode: adopt",
        )


@_rule
def _adopted_store_has_a_key(storage: Storage) -> Iterator[Problem]:
    adopted = isinstance(storage, S3) or (isinstance(storage, X10000) and storage.mode == "adopt")
    if adopted and not isinstance(storage, Minio) and storage.credentials is None:
        yield Problem(
            "storage.credentials",
            "a store that is adopted needs Milvus's key for it",
            remedy="name an existingSecret, or two secret configuration keys under config",
        )


@_rule
def _bucket_keeps_no_deleted_data(storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, Minio):
        return
    if storage.object_lock:
        yield Problem(
            "storage.objectLock",
            "Milvus's garbage collection could never delete anything from this bucket",
            seen="True",
            remedy="use a bucket without object lock; lock the bucket of backups instead",
        )
    if storage.versioning == "enabled":
        yield Problem(
            "storage.versioning",
            "every object that Milvus deletes or compacts would be kept as an old version",
            seen="'enabled'",
            remedy="use a bucket without versioning; keep versions in the bucket of backups",
        )


@_rule
def _ca_goes_with_tls(storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, Minio) or storage.secure or storage.ca is None:
        return
    yield Problem(
        "storage.ca", "http:// has no certificate to check", remedy="use https://, or remove ca"
    )


@_rule
def _access_is_complete(milvus: Milvus, storage: Storage) -> Iterator[Problem]:
    yield from _access(milvus.access, "milvus.access")
    if isinstance(storage, Minio):
        yield from _access(storage.access, "storage.access")
        ports = [a.node_port for a in (milvus.access, storage.access) if a.node_port]
        if len(ports) != len(set(ports)):
            yield Problem(
                "storage.access.nodePort", "milvus.access has the same port", seen=str(ports[0])
            )


def _access(access: Access, key: str) -> Iterator[Problem]:
    if access.type == "NodePort" and (access.host is None or access.node_port is None):
        yield Problem(
            key, "a NodePort needs host and nodePort", remedy="say where clients will connect"
        )
    if access.type != "NodePort" and access.node_port is not None:
        yield Problem(
            f"{key}.nodePort", "this goes with type: NodePort", seen=str(access.node_port)
        )
    if access.type == "LoadBalancer" and access.host is None:
        yield Problem(
            f"{key}.host",
            "the certificate and the target need the name that clients use",
            remedy="give the name that DNS will have for the load balancer",
        )


@_rule
def _volume_class_is_named(milvus: Milvus, kubernetes: Any) -> Iterator[Problem]:
    if not isinstance(kubernetes, (ExistingCluster, KindCluster, KubeadmCluster)):
        return
    if milvus.diskann.volume and not (
        milvus.diskann.volume.storage_class or kubernetes.storage_class
    ):
        yield Problem(
            "milvus.diskann.volume.storageClass",
            "the default storage class is rarely local NVMe",
            remedy="name the class of the local NVMe volumes",
        )


@_rule
def _existing_secrets_have_a_namespace(
    kubernetes: Any, storage: Storage, milvus: Milvus, log: Log
) -> Iterator[Problem]:
    if not kubernetes.create_namespace:
        return
    for section, part in (("storage", storage), ("milvus", milvus), ("log", log)):
        for key in existing_secrets_in(part, section):
            yield Problem(
                key,
                f"this Secret is to be there first, and the namespace {kubernetes.namespace} is"
                " only made by the deployment",
                remedy="make the namespace and the Secret, and set kubernetes.createNamespace:"
                " false",
            )


@_rule
def _kind_is_for_dev(environment: str, kubernetes: Any) -> Iterator[Problem]:
    if environment == "prod" and isinstance(kubernetes, KindCluster):
        yield Problem(
            "kubernetes.provider",
            "kind runs on one machine and is made for trying things",
            seen="'kind'",
            remedy="use existing or kubeadm",
        )


@_rule
def _prod_is_secure(environment: str, milvus: Milvus, etcd: Etcd) -> Iterator[Problem]:
    if environment != "prod":
        return
    wanted = {
        "milvus.auth.enabled": milvus.auth.enabled,
        "milvus.tls.mode": milvus.tls.mode != "off",
    }
    if milvus.installer == "manifests":  # milvus-operator cannot; see _operator_can
        wanted |= {"etcd.auth": etcd.auth, "etcd.tls": etcd.tls}
    for key, on in wanted.items():
        if not on:
            yield Problem(key, "prod refuses to run without it", remedy="remove the key")


@_rule
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


@_rule
def _prod_is_available(environment: str, milvus: Milvus, etcd: Etcd, log: Log) -> Iterator[Problem]:
    if environment != "prod":
        return
    if milvus.mode != "cluster":
        yield Problem(
            "milvus.mode", "a standalone is one pod", seen=repr(milvus.mode), remedy="use cluster"
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


@_rule
def _images_are_pinned(images: Images, milvus: Milvus) -> Iterator[Problem]:
    if not images.require_digest:
        return
    given = {f"images.overrides.{name}": ref for name, ref in images.overrides.items()}
    if milvus.image:
        given["milvus.image"] = milvus.image
    for key, reference in given.items():
        if "@sha256:" not in reference:
            yield Problem(
                key,
                "this image has no digest",
                seen=repr(reference),
                remedy="add @sha256:..., or set images.requireDigest: false",
            )
