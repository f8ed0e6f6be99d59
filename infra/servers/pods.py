"""Pods as this kit makes them: labelled, restricted, without a token and without service links.

Everything returns plain Kubernetes objects (camelCase, as the API has them), so that a rendered
object can be read, tested and validated without Pulumi.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.settings.model import Placement, Resources, Volume

USER = 1000
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
PART_OF = "app.kubernetes.io/part-of"
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
ANYWHERE = Placement()


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all pods of a deployment have in common.

    Args:
        pull_secrets: Names of the Secrets for the images' registries.
        pull_policy: When images are pulled.
        placement: Of pods that are given none of their own.
        assigned_user: Whether the cluster gives the pods their user, as OpenShift does.
    """

    pull_secrets: tuple[str, ...] = ()
    pull_policy: str = "IfNotPresent"
    placement: Placement = ANYWHERE
    assigned_user: bool = False


USUAL = Common()


def selector(name: str, component: str | None = None) -> dict[str, str]:
    """Return the labels that select pods: of one component, or of all of a name."""
    return {NAME: name} | ({COMPONENT: component} if component else {})


def labels(name: str, component: str) -> dict[str, str]:
    """Return the labels of an object and its pods."""
    return selector(name, component) | {PART_OF: "milvus-kit"}


def metadata(name: str, namespace: str, labelled: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Return an object's metadata. Names are fixed, so that renaming code renames nothing."""
    return {"name": name, "namespace": namespace, "labels": dict(labelled), **more}


def pod_security(common: Common, groups: Iterable[int] = ()) -> dict[str, Any]:
    """Return a pod's security context under the restricted Pod Security Standard.

    Args:
        common: Whether the user is the cluster's to choose.
        groups: To which it belongs too, for images whose files are for their owner's group alone.
    """
    supplementary = {"supplementalGroups": list(groups)} if groups else {}
    user = {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    return {
        "runAsNonRoot": True,
        **({} if common.assigned_user else user),
        # Without this, a volume with millions of files is walked at every start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
        **supplementary,
    }


def container_security() -> dict[str, Any]:
    """Return a container's security context: no capability, nothing written to the image."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(wanted: Resources, *, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a container's requests and limits.

    Memory and local storage are requested and limited alike, because a server that plans by its
    limit must have it. Extended resources such as GPUs go into both, as Kubernetes demands.
    """
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if wanted.cpu:
        requests["cpu"] = wanted.cpu
    if wanted.cpu_limit:
        limits["cpu"] = wanted.cpu_limit
    if wanted.memory:
        requests["memory"] = limits["memory"] = wanted.memory
    if wanted.ephemeral_storage:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = wanted.ephemeral_storage
    for name, count in (extra or {}).items():
        requests[name] = limits[name] = count
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def spread(select: Mapping[str, str], replicas: int, *, required: bool = False) -> dict[str, Any]:
    """Return what keeps the replicas of one component apart: by host, and by zone.

    It is a preference, so that a cluster with fewer hosts than replicas still gets all of them,
    unless it is required: two of three members of a quorum on one host are no quorum at all.
    """
    if replicas < 2:  # noqa: PLR2004
        return {}
    term = {"labelSelector": {"matchLabels": dict(select)}, "topologyKey": HOST}
    weighted = {"weight": 100, "podAffinityTerm": term}
    rule = (
        {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        if required
        else {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}
    )
    return {
        "affinity": {"podAntiAffinity": rule},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": ZONE,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(select)},
            }
        ],
    }


def placed(common: Common, own: Placement | None) -> Placement:
    """Return where pods may run: where they say themselves, else where all may."""
    return own if own is not None and own.model_fields_set else common.placement


def placement(where: Placement) -> dict[str, Any]:
    """Return node selector and tolerations."""
    found: dict[str, Any] = {}
    if where.node_selector:
        found["nodeSelector"] = dict(where.node_selector)
    if where.tolerations:
        found["tolerations"] = [item.model_dump(exclude_none=True) for item in where.tolerations]
    return found


def pod_spec(
    common: Common,
    *,
    containers: list[dict[str, Any]],
    volumes: list[dict[str, Any]],
    grace_seconds: int,
    own: Placement | None = None,
    groups: Iterable[int] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return a pod's specification, without a token of the API and without service links.

    Service links would set MINIO_PORT and the like wherever a Service is called minio, which
    Milvus reads as its own configuration and dies of.

    The last lines of a container that failed become part of its state, where `pulumi up` and
    `kubectl describe pod` show them.
    """
    every = {
        "imagePullPolicy": common.pull_policy,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if "initContainers" in more:
        more["initContainers"] = [every | one for one in more["initContainers"]]
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(common, groups),
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [every | one for one in containers],
        "volumes": volumes,
        **placement(placed(common, own)),
        **more,
    }
    secrets = [{"name": name} for name in common.pull_secrets]
    if secrets:
        spec["imagePullSecrets"] = secrets
    return spec


def probe(asks: Mapping[str, Any], *, period: int, failures: int, timeout: int = 5) -> Any:
    """Return a probe.

    Args:
        asks: What it asks: ``httpGet`` or ``tcpSocket``.
        period: Seconds between two.
        failures: How many in a row are one too many.
        timeout: Seconds that an answer may take.
    """
    return {
        **asks,
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def scratch(**sizes: str) -> list[dict[str, Any]]:
    """Return empty volumes that live as long as their pod, each with the most it may hold."""
    return [{"name": name, "emptyDir": {"sizeLimit": size}} for name, size in sizes.items()]


def secret_volume(name: str, secret: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return a volume of some keys of a Secret, each as a file, readable by the pod's group."""
    items = [{"key": key, "path": path} for key, path in keys.items()]
    return {"name": name, "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}


def secret_env(variable: str, secret: str, key: str) -> dict[str, Any]:
    """Return an environment variable that refers to one key of a Secret."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def claim(name: str, volume: Volume, storage_class: str | None) -> dict[str, Any]:
    """Return a volume claim template."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
    }
    chosen = volume.storage_class or storage_class
    if chosen:
        spec["storageClassName"] = chosen
    return {"metadata": {"name": name}, "spec": spec}
