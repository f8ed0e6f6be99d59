"""What Pulumi declares of servers with volumes of their own: Service, StatefulSet, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from infra.kubernetes import kinds
from infra.kubernetes.contract import KubeAccess
from infra.servers.started import start


class Servers(pulumi.ComponentResource):
    """A headless Service and a StatefulSet, with a ConfigMap before and a budget beside them.

    Args:
        kind: The component's type, after ``milvus-kit:milvus:``.
        name: Of all objects.
        service: The Service.
        stateful_set: The StatefulSet.
        config_map: The ConfigMap, if the servers have one.
        budget: The PodDisruptionBudget, if they are a quorum.
        access: How the cluster's API server is reached.
        after: What comes before all of it.
        opts: Resource options.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        service: Any,
        stateful_set: Any,
        config_map: Any = None,
        budget: Any = None,
        access: KubeAccess,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(f"milvus-kit:milvus:{kind}", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        before = list(after)
        if config_map is not None:
            before.append(kinds.ConfigMap(name, **config_map, opts=child))
        kinds.Service(name, **service, opts=child)
        later = pulumi.ResourceOptions(parent=self, depends_on=before)
        start(kinds.StatefulSet, name, stateful_set, access, later)
        if budget is not None:
            kinds.PodDisruptionBudget(name, **budget, opts=child)
        self.register_outputs({})
