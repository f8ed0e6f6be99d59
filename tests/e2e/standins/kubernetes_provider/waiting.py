"""When an object is ready, and what to say while it is not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.standins.kubernetes_provider.cluster import Cluster

_FIRST_SECONDS, _POLL_SECONDS = 0.05, 0.2
"""Between two looks: short at first, since most objects are ready or gone at once."""
_ANNOTATION = "pulumi.com/"


class NotReadyError(Exception):
    """An object failed, or was not ready in time."""


def until_ready(
    cluster: Cluster, live: dict[str, Any], seconds: float, cancelled: threading.Event
) -> dict[str, Any]:
    """Wait for an object and return it as it is then.

    Raises:
        NotReadyError: With the object's state, its pods' reasons and its warnings.
    """
    annotations = live["metadata"].get("annotations") or {}
    if annotations.get(f"{_ANNOTATION}skipAwait") == "true":
        return live
    missing = _rule(live, annotations)
    if missing is None:
        return live
    seconds = float(annotations.get(f"{_ANNOTATION}timeoutSeconds", seconds))
    deadline, pauses = time.monotonic() + seconds, _pauses()
    while reason := missing(cluster, live):
        if time.monotonic() > deadline or cancelled.wait(next(pauses)):
            told = [f"not ready after {seconds:.0f} s: {reason}", *_explained(cluster, live)]
            raise NotReadyError("\n  ".join(told))
        live = cluster.get(live) or live
    return live


def until_gone(
    cluster: Cluster, one: dict[str, Any], seconds: float, cancelled: threading.Event
) -> None:
    """Wait until an object is no more.

    Raises:
        NotReadyError: It is still there; with its finalizers.
    """
    uid, deadline = one["metadata"].get("uid"), time.monotonic() + seconds
    pauses = _pauses()
    while live := cluster.get(one):
        if uid and live["metadata"]["uid"] != uid:
            return
        if time.monotonic() > deadline or cancelled.wait(next(pauses)):
            kept_by = live["metadata"].get("finalizers") or "nothing that is named"
            raise NotReadyError(f"still there after {seconds:.0f} s, held by {kept_by}")


def _pauses() -> Iterator[float]:
    pause = _FIRST_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, _POLL_SECONDS)


_Rule = Callable[[Cluster, dict[str, Any]], str]


def _rule(live: dict[str, Any], annotations: dict[str, str]) -> _Rule | None:
    asked = annotations.get(f"{_ANNOTATION}waitFor")
    if asked:
        wanted = json.loads(asked) if asked.startswith("[") else [asked]
        return lambda _, one: next((w for w in wanted if not _holds(one, w)), "")
    return _RULES.get(live["kind"])


def _holds(live: dict[str, Any], wanted: str) -> bool:
    how, _, what = wanted.partition("=")
    if how == "condition":
        name, _, value = what.partition("=")
        return _condition(live, name).get("status") == (value or "True")
    path, _, value = what.partition("=")
    found: Any = live
    for key in path.strip("{}").lstrip(".").split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found is not None and (not value or str(found) == value)


def _condition(live: dict[str, Any], name: str) -> dict[str, Any]:
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"].lower() == name.lower()), {})


def _workload(_: Cluster, live: dict[str, Any]) -> str:
    status, spec = live.get("status") or {}, live["spec"]
    progressing = _condition(live, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return progressing.get("message", "")
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "its controller has not seen the change"
    wanted = status.get("desiredNumberScheduled", spec.get("replicas", 1))
    updated = status.get("updatedReplicas", status.get("updatedNumberScheduled", 0))
    ready = status.get("availableReplicas", status.get("numberAvailable", 0))
    if updated < wanted or ready < wanted:
        return f"{updated} of {wanted} pods updated, {ready} available"
    if live["kind"] == "Deployment" and status.get("replicas", 0) > wanted:
        return f"{status['replicas'] - wanted} old pods still end"
    return ""


def _job(_: Cluster, live: dict[str, Any]) -> str:
    failed = _condition(live, "Failed")
    if failed.get("status") == "True":
        return f"the job failed: {failed.get('message', '')}"
    return "" if _condition(live, "Complete").get("status") == "True" else "the job still runs"


def _claim(cluster: Cluster, live: dict[str, Any]) -> str:
    if (live.get("status") or {}).get("phase") == "Bound":
        return ""
    name = live["spec"].get("storageClassName")
    metadata = {"name": name}
    wanted = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata}
    found = cluster.get(wanted) if name else None
    late = found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"
    return "" if late else "the claim is not bound"


def _service(cluster: Cluster, live: dict[str, Any]) -> str:
    spec, metadata = live["spec"], live["metadata"]
    if spec.get("type") == "ExternalName" or not spec.get("selector"):
        return ""
    if spec.get("type") == "LoadBalancer":
        entries = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress")
        if not entries:
            return "the load balancer has no address"
    if spec.get("clusterIP") == "None":
        return ""
    chosen = f"kubernetes.io/service-name={metadata['name']}"
    slices = cluster.list("discovery.k8s.io/v1", "EndpointSlice", metadata["namespace"], chosen)
    endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or []]
    ready = [one for one in endpoints if (one.get("conditions") or {}).get("ready")]
    return "" if ready else "no ready pod is behind the service"


def _pod(_: Cluster, live: dict[str, Any]) -> str:
    phase = (live.get("status") or {}).get("phase")
    ready = _condition(live, "Ready").get("status") == "True" or phase == "Succeeded"
    return "" if ready else f"the pod is {phase}"


def _definition(_: Cluster, live: dict[str, Any]) -> str:
    return "" if _condition(live, "Established").get("status") == "True" else "not established"


_RULES: dict[str, _Rule] = {
    "Deployment": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _workload,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
    "Pod": _pod,
    "CustomResourceDefinition": _definition,
}


def _explained(cluster: Cluster, live: dict[str, Any]) -> list[str]:
    """Return which pods hold the object up, and why."""
    namespace = live["metadata"].get("namespace")
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not namespace or not labels:
        return []
    chosen = ",".join(f"{key}={value}" for key, value in labels.items())
    told = []
    for pod in cluster.list("v1", "Pod", namespace, chosen):
        name = pod["metadata"]["name"]
        status = pod.get("status") or {}
        told += [f"pod {name}: {one}" for one in _pod_reasons(status)]
        events = cluster.list("v1", "Event", namespace, fields=f"involvedObject.name={name}")
        warnings = [one["message"] for one in events if one.get("type") == "Warning"]
        told += [f"pod {name}: {message[:300]}" for message in warnings[-2:]]
    return told


def _pod_reasons(status: dict[str, Any]) -> list[str]:
    reasons = [
        f"{one['reason']}: {one.get('message', '')}"
        for one in status.get("conditions") or []
        if one["status"] == "False" and one.get("reason")
    ]
    containers = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    for one in containers:
        state = {**(one.get("lastState") or {}), **(one.get("state") or {})}
        for how in ("waiting", "terminated"):
            if how in state and state[how].get("reason") not in _QUIET:
                detail = state[how].get("message") or f"exit code {state[how].get('exitCode')}"
                reasons.append(f"container {one['name']} {state[how]['reason']}: {detail}")
    return list(dict.fromkeys(reasons))


_QUIET = {None, "Completed", "ContainerCreating", "PodInitializing"}
