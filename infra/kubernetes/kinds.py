"""Kubernetes objects as Pulumi resources, made of documents as the API has them.

To the engine they are those of pulumi-kubernetes: the same types, names and inputs. Its classes
bring a model of each field of each kind, and take longer to import than everything else that a
program does before its first object.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import pulumi


class Object(pulumi.CustomResource):
    """One object.

    Args:
        name: Of the Pulumi resource.
        opts: Its options; one with an ``id`` is only read.
        document: The object, without its ``apiVersion`` and ``kind``.
    """

    api: ClassVar[str]
    hidden: ClassVar[tuple[str, ...]] = ()
    """What is a secret, given or answered."""
    metadata: pulumi.Output[Any]

    def __init__(
        self, name: str, *, opts: pulumi.ResourceOptions | None = None, **document: Any
    ) -> None:
        kind = type(self).__name__
        group = self.api if "/" in self.api else f"core/{self.api}"
        secret = pulumi.ResourceOptions(additional_secret_outputs=list(self.hidden))
        merged = pulumi.ResourceOptions.merge(opts, secret)
        named = {} if merged.id is not None else {"apiVersion": self.api, "kind": kind}
        hidden = {
            key: pulumi.Output.secret(document[key])
            for key in self.hidden
            if document.get(key) is not None
        }
        given = {"metadata": None, **named, **document, **hidden}
        super().__init__(f"kubernetes:{group}:{kind}", name, given, merged)


class Namespace(Object):
    """A namespace."""

    api = "v1"


class ConfigMap(Object):
    """Files and values for pods."""

    api = "v1"


class Secret(Object):
    """Files and values for pods that are secrets."""

    api = "v1"
    hidden = ("data", "stringData")
    data: pulumi.Output[Any]

    @classmethod
    def get(cls, name: str, id_: str, opts: pulumi.ResourceOptions) -> Self:
        """Return one that is there: ``namespace/name``."""
        there = pulumi.ResourceOptions(id=id_)
        return cls(name, opts=pulumi.ResourceOptions.merge(opts, there), data=None)


class Service(Object):
    """A way in."""

    api = "v1"


class ServiceAccount(Object):
    """Who pods are."""

    api = "v1"


class Deployment(Object):
    """Pods that are all alike."""

    api = "apps/v1"


class StatefulSet(Object):
    """Pods with a name and a volume each."""

    api = "apps/v1"


class Job(Object):
    """Pods that end."""

    api = "batch/v1"


class CronJob(Object):
    """Jobs by the clock."""

    api = "batch/v1"


class HorizontalPodAutoscaler(Object):
    """How many pods there are."""

    api = "autoscaling/v2"


class PodDisruptionBudget(Object):
    """How many pods may be away."""

    api = "policy/v1"


class NetworkPolicy(Object):
    """Who may talk with whom."""

    api = "networking.k8s.io/v1"


class StorageClass(Object):
    """Where volumes come from."""

    api = "storage.k8s.io/v1"


class ClusterRole(Object):
    """What somebody may do."""

    api = "rbac.authorization.k8s.io/v1"


class ClusterRoleBinding(Object):
    """Who may do it."""

    api = "rbac.authorization.k8s.io/v1"
