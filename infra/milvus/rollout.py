"""Whether the pods are what was declared: every one has the image, and enough of them are ready.

milvus-operator can call a Milvus healthy whose pods never got the new image, so its word is not
taken: the pods are looked at, after each change of the custom resource.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.kubernetes.contract import ClusterContract
from infra.milvus import pods
from infra.provider import Provider
from validation.errors import UnreachableError

TIMEOUT_SECONDS = 3600
PERIOD_SECONDS = 5


@dataclass(frozen=True)
class Pod:
    """What is looked at in one pod."""

    role: str
    image: str
    ready: bool


def unfinished(found: Sequence[Pod], image: str, roles: Mapping[str, int]) -> list[str]:
    """Return a line for each role whose pods are not what was declared."""
    lines = []
    for role, replicas in roles.items():
        mine = [pod for pod in found if pod.role == role]
        old = sorted({pod.image for pod in mine if pod.image != image})
        ready = sum(pod.ready and pod.image == image for pod in mine)
        if old:
            lines.append(f"{role}: pods still run {', '.join(old)}")
        if ready < replicas:
            lines.append(f"{role}: {ready} of {replicas} pods are ready with {image}")
    return lines


def wait(
    look: Callable[[], Sequence[Pod]],
    image: str,
    roles: Mapping[str, int],
    *,
    timeout: float = TIMEOUT_SECONDS,
    period: float = PERIOD_SECONDS,
) -> None:
    """Return once the pods are what was declared.

    Raises:
        UnreachableError: They are not within the time, with what is missing.
    """
    end = time.monotonic() + timeout
    while lines := unfinished(look(), image, roles):
        if time.monotonic() >= end:
            raise UnreachableError(
                "the pods are not what was declared\n    " + "\n    ".join(lines),
                where="milvus-operator",
                remedy="look at the events of these pods and at the operator's log",
            )
        time.sleep(period)


class RolloutProvider(Provider):
    """Looks at the pods whenever the custom resource has changed."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait until the pods are there."""
        _wait(props)
        return CreateResult("rollout", props)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait until the pods have changed."""
        _wait(news)
        return UpdateResult(news)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Look again when anything that was declared has changed."""
        keys = ("namespace", "image", "roles", "declared")
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in keys))


class Rollout(Resource, name="OperatorRollout"):
    """The pods, as they were declared."""

    def __init__(
        self,
        cluster: ClusterContract,
        *,
        image: str,
        roles: Mapping[str, int],
        declared: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        access = cluster.access
        kubeconfig = pulumi.Output.secret(access.kubeconfig) if access.kubeconfig else ""
        inputs: dict[str, pulumi.Input[Any]] = {
            "namespace": cluster.namespace,
            "image": image,
            "roles": dict(roles),
            "declared": declared,
            "kubeconfig": kubeconfig,
            "kubeconfig_file": access.kubeconfig_file or "",
            "context": access.context or "",
        }
        super().__init__(
            RolloutProvider(),
            "milvus-rollout",
            inputs,
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=["kubeconfig"])
            ),
        )


def _wait(props: dict[str, Any]) -> None:
    roles = {name: int(count) for name, count in props["roles"].items()}
    wait(lambda: _pods(props), props["image"], roles)


def _pods(props: dict[str, Any]) -> list[Pod]:
    from kubernetes import client  # noqa: PLC0415  (slow to import; programs declare, this looks)

    from infra.kubernetes.kubeconfig import api_client  # noqa: PLC0415  (imports the same)

    core = client.CoreV1Api(api_client(props))
    selector = f"{pods.NAME}=milvus"
    # The client's models call every field optional; the API server fills these in.
    listed: Any = core.list_namespaced_pod(props["namespace"], label_selector=selector)
    return [
        Pod(
            role=(item.metadata.labels or {}).get(pods.COMPONENT, ""),
            image=item.spec.containers[0].image,
            ready=any(
                condition.type == "Ready" and condition.status == "True"
                for condition in item.status.conditions or []
            ),
        )
        for item in listed.items
        if item.metadata.deletion_timestamp is None
    ]
