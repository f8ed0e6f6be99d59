"""Live objects against what was declared of them: pure functions over the API server's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from validation.declared import digests
from validation.security.act import Act
from validation.target import Workload

CONTAINER = "milvus"
"""Of Milvus itself, in each of its pods."""


def compared(
    declared: Workload,
    live: Mapping[str, Any] | None,
    config_map: Mapping[str, Any] | None,
    pods: Iterable[Mapping[str, Any]],
) -> list[Act]:
    """Return how each declared fact of a workload compares.

    Args:
        declared: The workload.
        live: The object; None if there is none.
        config_map: The ConfigMap of its name; None if there is none.
        pods: The pods that its selector finds, without those that are about to end.
    """
    name = declared.name
    if live is None:
        return [Act(f"{name}: {declared.kind}", wrong=True, said="there is none")]
    template = live["spec"]["template"]
    found = _of_template(declared, name, template)
    if declared.replicas is not None:
        found.append(_same(f"{name}: replicas", declared.replicas, live["spec"].get("replicas", 1)))
    if declared.configuration is not None:
        data = (config_map or {}).get("data") or {}
        there = digests.files(data) if data else "no file"
        found.append(_same(f"{name}: files of its ConfigMap", declared.configuration, there))
    running = list(pods)
    if declared.replicas is not None:
        ready = sum(_is_ready(one) for one in running)
        found.append(_same(f"{name}: pods that are ready", declared.replicas, ready))
    for one in running:
        found += _of_pod(declared, f"pod {one['metadata']['name']}", one)
        found += _digest(declared, one)
    return found


def _of_template(declared: Workload, what: str, template: Mapping[str, Any]) -> list[Act]:
    """Compare what pods are made of: nothing may be in it that was not declared."""
    own, found = _own(declared, what, template)
    if own is None:
        return found
    names = [one["name"] for one in template["spec"]["containers"]]
    before = [one["name"] for one in template["spec"].get("initContainers") or []]
    wanted, there = _amounts(declared.resources), _amounts(own.get("resources") or {})
    found += [
        _same(f"{what}: containers", [CONTAINER], names),
        _same(f"{what}: init containers", [], before),
        _same(f"{what}: resources", wanted, there),
    ]
    if declared.environment is not None:
        variables = digests.environment(own)
        found.append(_same(f"{what}: environment", declared.environment, variables))
    return found


def _of_pod(declared: Workload, what: str, pod: Mapping[str, Any]) -> list[Act]:
    """Compare a pod; a mesh or a limit range of the cluster's may have added to it."""
    own, found = _own(declared, what, pod)
    if own is None:
        return found
    wanted, there = _amounts(declared.resources), _amounts(own.get("resources") or {})
    seen = {
        part: {name: there.get(part, {}).get(name) for name in named}
        for part, named in wanted.items()
    }
    return [*found, _same(f"{what}: resources", wanted, seen)]


def _own(
    declared: Workload, what: str, pod: Mapping[str, Any]
) -> tuple[Mapping[str, Any] | None, list[Act]]:
    """Return Milvus's container, and how what is the same for pods and templates compares."""
    own = next((one for one in pod["spec"]["containers"] if one["name"] == CONTAINER), None)
    if own is None:
        return None, [Act(f"{what}: container {CONTAINER}", wrong=True, said="there is none")]
    found = [
        _same(f"{what}: image", declared.image, own["image"]),
        _same(f"{what}: arguments", list(declared.arguments), own.get("args") or []),
    ]
    if declared.command is not None:
        found.append(_same(f"{what}: command", list(declared.command), own.get("command") or []))
    if declared.configuration is not None:
        started = (pod["metadata"].get("annotations") or {}).get(digests.CONFIGURATION, "none")
        found.append(_same(f"{what}: configuration", declared.configuration, started))
    return own, found


def _digest(declared: Workload, pod: Mapping[str, Any]) -> list[Act]:
    """Compare the digest of the image that runs with a declared one."""
    _, marked, wanted = declared.image.partition("@")
    if not marked:
        return []
    states = (pod.get("status") or {}).get("containerStatuses") or []
    running = next((one["imageID"] for one in states if one["name"] == CONTAINER), "")
    if not running:
        return []  # it does not run yet, which the number of ready pods says
    what = f"pod {pod['metadata']['name']}: digest of its image"
    return [_same(what, wanted, running.rpartition("@")[2])]


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _amounts(resources: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Return resources as numbers: 1 and 1000m are the same amount."""
    from kubernetes.utils.quantity import parse_quantity  # noqa: PLC0415  (an extra)

    return {
        part: {name: parse_quantity(value) for name, value in sorted(resources[part].items())}
        for part in ("limits", "requests")
        if resources.get(part)
    }


def _same(what: str, declared: object, found: object) -> Act:
    said = "" if declared == found else f"declared {_shown(declared)}, found {_shown(found)}"
    return Act(what, declared != found, said)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) + "}"
    return str(value)
