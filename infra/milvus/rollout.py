"""Whether the pods are what was declared: every one has the image, and enough of them are ready.

milvus-operator can call a Milvus healthy whose pods never got the new image, so its word is not
taken: the pods are looked at beside it, after each change of the custom resource. Where one of them
cannot start at all, that ends the wait within a minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.kubernetes.contract import ClusterContract
from infra.milvus.roles.workloads import NAME
from infra.provider import Provider
from infra.servers import live, pods
from infra.servers.started import reached, wait
from infra.servers.startup import Hindrance

STILL_SECONDS = 3600
"""The operator moves query nodes one by one, each for as long as its segments take."""


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
        inputs: dict[str, pulumi.Input[Any]] = {
            "namespace": cluster.namespace,
            "image": image,
            "roles": dict(roles),
            "declared": declared,
            "name": NAME,
            **reached(cluster.access),
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
    workloads = live.Workloads(props)
    found: list[dict[str, Any]] = []

    def lacks() -> str:
        found[:] = workloads.pods({pods.NAME: "milvus"})
        lines = unfinished([as_seen(one) for one in found], props["image"], roles)
        return "; ".join([*lines, *_unsaid(workloads.get("Milvus", props["name"]))])

    def hindrances() -> dict[str, Hindrance]:
        new = [one for one in found if as_seen(one).image == props["image"]]
        stuck = {one["metadata"]["name"]: workloads.hindrance(one) for one in new}
        return {name: one for name, one in stuck.items() if one is not None}

    where = f"Milvus {props['namespace']}/{props['name']}, through milvus-operator"
    wait(lacks, hindrances, where=where, still=STILL_SECONDS)


def _unsaid(milvus: dict[str, Any] | None) -> list[str]:
    """Return what the operator itself does not call done."""
    if milvus is None:
        return ["it is not there"]
    ready = live.condition(milvus, "MilvusReady")
    said = f"{ready.get('reason', '')}: {ready.get('message', '')}".strip(": ")
    return [] if ready.get("status") == "True" else [f"MilvusReady is not true: {said}"]


def as_seen(pod: dict[str, Any]) -> Pod:
    """Return what is looked at in a pod as the API gives it."""
    return Pod(
        role=pod["metadata"].get("labels", {}).get(pods.COMPONENT, ""),
        image=pod["spec"]["containers"][0]["image"],
        ready=live.condition(pod, "Ready").get("status") == "True",
    )
