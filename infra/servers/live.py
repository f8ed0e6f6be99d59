"""A workload as the API server tells it: what it lacks yet, and why its pods do not start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra.kubernetes import kubeconfig
from infra.kubernetes.server import Server, refusal
from infra.patience import patiently
from infra.servers.startup import Hindrance, hindrance, is_unschedulable, last_words
from validation.errors import CredentialsError

_PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Milvus": "/apis/milvus.io/v1beta1/namespaces/{}/milvuses",
}
_PODS = "/api/v1/namespaces/{}/pods"
_EVENTS = "/api/v1/namespaces/{}/events"
_REPLICA_SETS = "/apis/apps/v1/namespaces/{}/replicasets"
_ABSENT, _TOO_MANY, _ITS_OWN = 404, 429, 500
_PASSING_SECONDS = 60
_REVISION = "deployment.kubernetes.io/revision"
_LINE = 300
Document = dict[str, Any]


class FailedError(Exception):
    """A Job has failed, or a rollout has been given up by Kubernetes itself."""


def lacks(live: Document, *, since: datetime | None = None) -> str:
    """Return what a workload lacks of what was declared, as a clause; nothing where it is done.

    Args:
        live: The workload.
        since: A rollout that Kubernetes gave up before this may be on its way again.

    Raises:
        FailedError: It will never be done.
    """
    return _job(live) if live["kind"] == "Job" else _servers(live, since)


def condition(live: Document, name: str) -> Document:
    """Return a condition of an object's status, empty where it has none of that name."""
    found = (live.get("status") or {}).get("conditions") or []
    return next((one for one in found if one["type"] == name), {})


def _job(live: Document) -> str:
    failed = condition(live, "Failed")
    if failed.get("status") == "True":
        raise FailedError(f"the Job failed: {failed.get('message', '')}")
    return "" if condition(live, "Complete").get("status") == "True" else "the Job has not ended"


def _servers(live: Document, since: datetime | None) -> str:
    status, spec = live.get("status") or {}, live["spec"]
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "its controller has not seen the change"
    progress = condition(live, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded" and _is_new(progress, since):
        raise FailedError(str(progress.get("message", "")))
    wanted = spec.get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are those that are declared now"
    if ready < wanted:
        return f"{ready} of {wanted} pods are ready"
    old = status.get("replicas", 0) - updated
    return f"{old} pods of before have not gone" if old > 0 else ""


class Workloads:
    """The workloads of one namespace, and their pods.

    Args:
        props: ``namespace``, and what `infra.kubernetes.kubeconfig.api_client` takes.
        since: Pods that could not be made before this may be made by now.
    """

    def __init__(self, props: Mapping[str, Any], *, since: datetime | None = None) -> None:
        self._props, self._since = dict(props), since
        self._client = kubeconfig.api_client(self._props)
        self._server = Server(self._client)

    def get(self, kind: str, name: str) -> Document | None:
        """Return a workload; None where there is none of that name."""
        return self._asked(_PATHS[kind], name)

    def pods(self, labels: Mapping[str, str]) -> list[Document]:
        """Return the pods with these labels that are to stay."""
        found = self._listed(_PODS, labelSelector=_selector(labels))
        return [one for one in found if not _leaves(one)]

    def hindrances(self, live: Document) -> dict[str, Hindrance]:
        """Return what keeps a workload's pods from starting, by their names."""
        pods = self._pods_of(live)
        found = {one["metadata"]["name"]: self.hindrance(one) for one in pods}
        if not pods and (said := self._no_pods(live, self._since)):
            found[f"of {live['metadata']['name']}"] = Hindrance(said)
        return {name: one for name, one in found.items() if one is not None}

    def hindrance(self, pod: Document) -> Hindrance | None:
        """Return what keeps a pod from starting; its events are asked only where it has not.

        One that found no node is let be while any pod of the namespace leaves: a query node may
        drain for ten minutes, and keeps its room until then.
        """
        status = pod.get("status", {})
        waits = status.get("phase") == "Pending"
        full = any(map(is_unschedulable, status.get("conditions", [])))
        freed = full and any(map(_leaves, self._listed(_PODS)))
        return hindrance(pod, self._events(pod) if waits else (), room_is_freed=freed)

    def last_words(self, live: Document) -> str:
        """Return how the pod of a Job ended that failed last."""
        pods = sorted(self._pods_of(live), key=lambda one: one["metadata"]["creationTimestamp"])
        return next(filter(None, map(last_words, reversed(pods))), "")

    def unready(self, live: Document) -> list[str]:
        """Return what was said last of each pod that is not ready, or of why there is none."""
        pods = self._pods_of(live)
        lines = [] if pods else [*filter(None, [self._no_pods(live, None)])]
        for pod in pods:
            if condition(pod, "Ready").get("status") != "True":
                name = pod["metadata"]["name"]
                warned = [one for one in self._events(pod) if one.get("type") == "Warning"]
                last = str(warned[-1].get("message", "")) if warned else "nothing says why"
                lines.append(f"pod {name} is not ready: {last[:_LINE]}")
        return lines

    def _pods_of(self, live: Document) -> list[Document]:
        """Return a workload's pods as it is declared now; those of before may well be broken."""
        labels = live["spec"]["selector"]["matchLabels"]
        found = self.pods(labels)
        if live["kind"] == "StatefulSet":
            label, now = "controller-revision-hash", live["status"].get("updateRevision")
        elif live["kind"] == "Deployment":
            label, now = "pod-template-hash", self._template_hash(live, labels)
        else:
            return found
        return [one for one in found if one["metadata"].get("labels", {}).get(label) == now]

    def _template_hash(self, live: Document, labels: Mapping[str, str]) -> str | None:
        now = live["metadata"].get("annotations", {}).get(_REVISION)
        for one in self._listed(_REPLICA_SETS, labelSelector=_selector(labels)):
            if one["metadata"].get("annotations", {}).get(_REVISION) == now:
                return one["metadata"]["labels"].get("pod-template-hash")
        return None

    def _no_pods(self, live: Document, since: datetime | None) -> str:
        """Return why a workload has not even got pods, as it was said since then."""
        failure = condition(live, "ReplicaFailure")
        said = str(failure.get("message", "")) if _is_new(failure, since) else ""
        events = [] if said else self._events(live)
        failed = [
            one for one in events if one.get("reason") == "FailedCreate" and _is_new(one, since)
        ]
        said = said or str(failed[-1].get("message", "") if failed else "")
        cause = "a quota, a limit range, or the pod security of its namespace"
        return f"FailedCreate: {said[:_LINE]}\nlikely: {cause}" if said else ""

    def _events(self, one: Document) -> list[Document]:
        """Return what was said of an object, the newest last; nothing where that is forbidden.

        One of the same name that was there before is another.
        """
        try:
            found = self._listed(
                _EVENTS, fieldSelector=f"involvedObject.uid={one['metadata']['uid']}"
            )
        except CredentialsError:
            return []
        return sorted(found, key=_when)

    def _listed(self, path: str, **query: str) -> list[Document]:
        return (self._asked(path, **query) or {}).get("items") or []

    def _asked(self, path: str, name: str = "", **query: str) -> Any:
        """Return an answer; a server that is away for a moment is asked again."""
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (half a second)
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        def passes(error: Exception) -> bool:
            if isinstance(error, ApiException):
                status = int(error.status or 0)
                return status == _TOO_MANY or status >= _ITS_OWN
            return isinstance(error, (HTTPError, OSError))

        full = "/".join(filter(None, (path.format(self._props["namespace"]), name)))
        try:
            return patiently(
                lambda: self._server.get(full, **query),
                on=passes,
                seconds=_PASSING_SECONDS,
                first_wait=0.5,
            )
        except (ApiException, HTTPError, OSError) as error:
            if getattr(error, "status", None) == _ABSENT:
                return None
            need = "the user of the kubeconfig must be able to read workloads and pods"
            where = str(self._client.configuration.host)
            raise refusal(error, where, ended=kubeconfig.ended(self._props), need=need) from None


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _leaves(pod: Document) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _when(event: Document) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _is_new(said: Document, since: datetime | None) -> bool:
    """Tell whether a condition or an event is not known to be older than that."""
    when = said.get("lastUpdateTime") or said.get("lastTransitionTime") or _when(said)
    return since is None or not when or datetime.fromisoformat(when) >= since
