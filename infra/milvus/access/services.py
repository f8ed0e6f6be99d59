"""How Milvus is reached: one Service for clients, one for metrics that never leaves the cluster."""

from __future__ import annotations

from typing import Any

from infra.milvus.roles.topology import METRICS_PORT, PROXY_PORT, STANDALONE
from infra.milvus.roles.workloads import NAME
from infra.servers import exposure, pods
from infra.settings.milvus import Milvus
from validation.common import addresses

METRICS = f"{NAME}-metrics"


def entrance(milvus: Milvus) -> dict[str, str]:
    """Return the labels of the pods that clients connect to."""
    return pods.selector(NAME, STANDALONE if milvus.mode == STANDALONE else "proxy")


def client_service(milvus: Milvus, namespace: str) -> Any:
    """Return the Service that clients use: gRPC alone, so that a load balancer opens no metrics."""
    return exposure.service(
        NAME,
        namespace,
        milvus.access,
        labelled=pods.labels(NAME, "service"),
        selected=entrance(milvus),
        port={"name": NAME, "port": PROXY_PORT, "targetPort": "milvus"},
    )


def metrics_service(milvus: Milvus, namespace: str) -> Any:
    """Return the Service with the metrics of every pod of Milvus.

    In a cluster its name stands for all of their addresses at once: each query node counts only
    what it does itself, so whoever asks has to reach every one of them, not one at a time.
    """
    port = {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}
    spec = {"type": "ClusterIP", "selector": pods.selector(NAME), "ports": [port]}
    if milvus.mode != STANDALONE:
        spec["clusterIP"] = "None"
    return {
        "metadata": pods.metadata(METRICS, namespace, pods.labels(NAME, "metrics")),
        "spec": spec,
    }


def certificate_hosts(milvus: Milvus, namespace: str) -> list[str]:
    """Return every name that the server's certificate must hold."""
    service = f"{NAME}.{namespace}.svc"
    names = [service, f"{service}.cluster.local", NAME, "localhost", "127.0.0.1"]
    outside = milvus.access.host
    return names + ([outside] if outside and outside not in names else [])


def uri(milvus: Milvus, namespace: str, *, inside: bool = False) -> str:
    """Return how clients reach Milvus: by the declared name, or by the Service inside."""
    scheme = "http" if milvus.tls.mode == "off" else "https"
    access = milvus.access
    if access.host is None or inside:
        return f"{scheme}://{NAME}.{namespace}.svc:{PROXY_PORT}"
    return f"{scheme}://{addresses.netloc(access.host, access.node_port or PROXY_PORT)}"


def metrics_uri(milvus: Milvus, namespace: str) -> str | None:
    """Return the base of ``/metrics``; None where the target is used from outside the cluster."""
    return None if milvus.access.host else cluster_metrics_uri(namespace)


def cluster_metrics_uri(namespace: str) -> str:
    """Return the base of ``/metrics`` as pods reach it."""
    return f"http://{METRICS}.{namespace}.svc:{METRICS_PORT}"
