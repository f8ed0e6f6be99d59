"""The Milvus contract: what the target and the validation Job need to know of a deployment."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.storage.contract import SecretKeyRef
from validation.target import Role, Wal, Workload


@dataclass(frozen=True, kw_only=True)
class MilvusContract:
    """What the target and the Job that validates need to know of a deployment.

    Args:
        whole: Everything that is declared of it.
        uri: How clients reach it: by the declared name, or inside the cluster.
        cluster_uri: How pods reach it.
        deployment: ``standalone`` or ``cluster``.
        version: Declared version.
        wal: Declared log.
        roles: Declared roles, their replicas and images.
        workloads: The objects that the roles are declared as; none where an operator makes them.
        tls_mode: ``off``, ``server`` or ``mutual``.
        ca_pem: The private CA of its certificate.
        server_tls: Secret with the CA, for pods.
        client_tls: Secret with a client's certificate, for pods, under mutual TLS.
        root_user: Who administers it, where users have to authenticate.
        root_password: That user's password, a Pulumi secret.
        root_password_ref: Where pods find it.
        metrics_uri: Base URL of ``/metrics``, as the target's reader reaches it.
        cluster_metrics_uri: The same as pods reach it.
        ready: What has to be there before it can be used.
    """

    whole: pulumi.Resource
    uri: str
    cluster_uri: str
    deployment: str
    version: str
    wal: Wal
    roles: tuple[Role, ...]
    workloads: tuple[Workload, ...]
    tls_mode: str
    ca_pem: pulumi.Output[str] | None
    server_tls: str | None
    client_tls: str | None
    root_user: str | None
    root_password: pulumi.Output[str] | None
    root_password_ref: SecretKeyRef | None
    metrics_uri: str | None
    cluster_metrics_uri: str
    ready: tuple[pulumi.Resource, ...]
