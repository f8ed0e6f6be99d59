"""Rules of what stands around: access, Secrets and files that must be there, images."""

from __future__ import annotations

from collections.abc import Iterator

from infra.settings.cluster import Cluster, KubeadmCluster
from infra.settings.milvus import Milvus
from infra.settings.model import Access, existing_secrets_in, version_of
from infra.settings.problem import Problem
from infra.settings.rules.registry import rule
from infra.settings.services import Etcd, Images, Log, ValidationJob
from infra.settings.storage import Minio, Storage
from validation.common.resources import in_stacks
from validation.errors import ConfigurationError

OLDEST_KUBEADM = (1, 31, 0)
"""Its configuration has the form v1beta4, and its kube-proxy the mode nftables, from then on."""


@rule
def _kubeadm_reads_its_configuration(kubernetes: Cluster) -> Iterator[Problem]:
    if not isinstance(kubernetes, KubeadmCluster):
        return
    if version_of(kubernetes.kubernetes_version) < OLDEST_KUBEADM:
        yield Problem(
            "kubernetes.kubernetesVersion",
            "kubeadm does not read the configuration that it is given here",
            seen=kubernetes.kubernetes_version,
            remedy="set 1.31.0 or later, and install that version on the hosts",
        )


@rule
def _access_is_complete(milvus: Milvus, storage: Storage) -> Iterator[Problem]:
    yield from _access(milvus.access, "milvus.access")
    outside = milvus.access.type != "ClusterIP"
    if outside and milvus.clients_from and not milvus.access.source_ranges:
        yield Problem(
            "milvus.access.sourceRanges",
            f"a {milvus.access.type} is for clients outside, and clientsFrom alone lets none in",
            remedy="name their networks, or leave clientsFrom out",
        )
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


@rule
def _existing_secrets_have_a_namespace(
    kubernetes: Cluster, storage: Storage, milvus: Milvus, log: Log
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


@rule
def _pull_secrets_have_a_namespace(kubernetes: Cluster, images: Images) -> Iterator[Problem]:
    if kubernetes.create_namespace and images.pull_secrets:
        yield Problem(
            "images.pullSecrets",
            f"these Secrets are to be there first, and the namespace {kubernetes.namespace} is"
            " only made by the deployment",
            remedy="give the login itself in images.pullLogin; or make the namespace and the"
            " Secrets, and set kubernetes.createNamespace: false",
        )


@rule
def _images_are_pinned(
    images: Images, milvus: Milvus, validation: ValidationJob
) -> Iterator[Problem]:
    if not images.require_digest:
        return
    given = {f"images.overrides.{name}": ref for name, ref in images.overrides.items()}
    if milvus.image:
        given["milvus.image"] = milvus.image
    if validation.image:
        given["validation.image"] = validation.image
    for key, reference in given.items():
        if "@sha256:" not in reference:
            yield Problem(
                key,
                "this image has no digest",
                seen=repr(reference),
                remedy="add @sha256:..., or set images.requireDigest: false",
            )


@rule
def _rules_can_be_read(validation: ValidationJob) -> Iterator[Problem]:
    if validation.rules is None:
        return
    from validation.verdicts import rules as rules_files  # noqa: PLC0415  (loads numpy)

    try:
        rules_files.load(in_stacks(validation.rules))
    except ConfigurationError as error:
        yield Problem(
            "validation.verdicts.rules",
            error.what,
            seen=repr(error.where),
            remedy="give a path that starts in stacks/, such as default.slo.yaml, or mend the file",
        )


@rule
def _etcd_authenticates_by_certificate(etcd: Etcd) -> Iterator[Problem]:
    if etcd.auth and not etcd.tls:
        yield Problem(
            "etcd.auth",
            "etcd authenticates its clients by certificate, and TLS is off",
            seen="True",
            remedy="set etcd.tls: true, or etcd.auth: false",
        )
