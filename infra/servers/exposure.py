"""The Services that clients outside the cluster may reach: Milvus's own and the object store's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.servers import pods
from infra.settings.model import Access


def service(
    name: str,
    namespace: str,
    access: Access,
    *,
    labelled: Mapping[str, str],
    selected: Mapping[str, str],
    port: Mapping[str, Any],
) -> Any:
    """Return a Service of one port, as open as the settings say.

    Args:
        name: Of the Service.
        namespace: Where it is.
        access: Its type, node port, annotations and the networks that may connect.
        labelled: Its labels.
        selected: The labels of its pods.
        port: As a Service names it, without the node port.
    """
    node_port = {"nodePort": access.node_port} if access.node_port else {}
    spec: dict[str, Any] = {
        "type": access.type,
        "selector": dict(selected),
        "ports": [{**port, **node_port}],
    }
    if access.source_ranges and access.type != "ClusterIP":
        # Otherwise nodes put their own address in the place of the client's, which NetworkPolicies
        # then compare with these ranges.
        spec["externalTrafficPolicy"] = "Local"
    if access.source_ranges and access.type == "LoadBalancer":
        spec["loadBalancerSourceRanges"] = list(access.source_ranges)
    annotations = {"annotations": dict(access.annotations)} if access.annotations else {}
    return {"metadata": pods.metadata(name, namespace, labelled, **annotations), "spec": spec}
