"""What a stack asks of a cluster, as plain values that travel through Pulumi's state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Pods:
    """Pods that are alike.

    Args:
        key: The settings' key that describes them, such as ``milvus.roles.querynode``.
        count: How many there are at least.
        cpu: Cores that each requests.
        memory_bytes: Memory that each requests.
        gpus: GPUs that each requests.
        node_selector: Labels that a node must have.
        tolerations: Of a node's taints, as Kubernetes writes them.
    """

    key: str
    count: int
    cpu: float = 0.0
    memory_bytes: int = 0
    gpus: int = 0
    node_selector: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a stack needs of a cluster.

    Args:
        namespace: In which it is deployed; what runs there already is its own.
        pods: All that run for long.
        storage_classes: That its volumes have, by the settings' keys that name them.
        default_class: Keys of the volumes that take the cluster's default storage class.
        node_ports: Ports of the nodes by the Service, ``namespace/name``, that is to have each.
        images: That must be on the nodes already, since they are never pulled.
    """

    namespace: str = ""
    pods: tuple[Pods, ...] = ()
    storage_classes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_class: tuple[str, ...] = ()
    node_ports: Mapping[str, int] = dataclasses.field(default_factory=dict)
    images: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Needs:
        """Return the needs that `dataclasses.asdict` wrote; the engine makes floats of integers.

        What an earlier release of the kit wrote, and this one does not know, is left out.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        given: dict[str, Any] = {name: document[name] for name in known & document.keys()}
        given["pods"] = tuple(Pods(**one) for one in given.get("pods") or ())
        return cls(**given)
