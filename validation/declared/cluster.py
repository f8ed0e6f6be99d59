"""The live objects of a deployment, as its API server tells them."""

from __future__ import annotations

import http
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from validation.declared.drift import compared
from validation.errors import MeasurementError
from validation.security.act import Act
from validation.target import Kubernetes, Workload

_SECONDS = 20
_PIECE = 1 << 16
_ABSENT = frozenset({http.HTTPStatus.NOT_FOUND})
_NO_LOG = _ABSENT | {http.HTTPStatus.BAD_REQUEST}
"""How a log is answered of a container that has not begun, or of none before it."""


class Objects:
    """What the API server tells of a deployment's objects.

    Raises:
        ConfigurationError: The kubeconfig cannot be used.
    """

    def __init__(self, declared: Kubernetes) -> None:
        self._client = _client(declared)
        self._at = f"/namespaces/{declared.namespace}"

    def workload(self, one: Workload) -> Any:
        """Return a workload's object; None if there is none."""
        return _asked(self._client, f"/apis/apps/v1{self._at}/{one.kind.lower()}s/{one.name}")

    def config_map(self, one: Workload) -> Any:
        """Return a workload's ConfigMap; None if there is none."""
        return _asked(self._client, f"/api/v1{self._at}/configmaps/{one.name}")

    def all(self, kind: str, **query: str) -> list[Any]:
        """Return all objects of a core kind, such as ``pods``, in the namespace."""
        listed = _asked(self._client, f"/api/v1{self._at}/{kind}", **query) or {}
        return listed.get("items") or []

    def log(self, pod: str, container: str, *, previous: bool) -> Iterator[bytes]:
        """Yield what a container has written, or the one before it; nothing if there is none.

        Raises:
            MeasurementError: It may not be read, or not to its end.
        """
        query = {"container": container, "previous": str(previous).lower()}
        path = f"/api/v1{self._at}/pods/{pod}/log"
        with _opened(self._client, path, query, absent=_NO_LOG) as answer:
            if answer is not None:
                yield from answer.response.stream(_PIECE)

    def pods(self, live: Any) -> list[Any]:
        """Return the pods of a workload's object, without those that have ended or are about to."""
        if live is None:
            return []
        labels = live["spec"]["selector"]["matchLabels"]
        wanted = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return [
            pod
            for pod in self.all("pods", labelSelector=wanted)
            if "deletionTimestamp" not in pod["metadata"]
            and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
        ]


def differences(declared: Kubernetes) -> list[Act]:
    """Return how each declared fact of a deployment's objects compares with the live ones.

    Raises:
        MeasurementError: The objects cannot be read.
        ConfigurationError: The kubeconfig cannot be used.
    """
    objects = Objects(declared)
    found = []
    for one in declared.workloads:
        live = objects.workload(one)
        found += compared(one, live, objects.config_map(one), objects.pods(live))
    return found


def _client(declared: Kubernetes) -> Any:
    try:
        from infra.kubernetes.kubeconfig import api_client  # noqa: PLC0415  (an extra)

    except ImportError:
        raise MeasurementError("the cluster cannot be read: install milvus-kit[infra]") from None
    ref = declared.kubeconfig
    given: dict[str, str] = {}
    if ref is not None and ref.file is not None:  # paths in it are relative to it
        given = {"kubeconfig_file": str(ref.file)}
    elif ref is not None:
        given = {"kubeconfig": ref.reveal("kubernetes.kubeconfig")}
    return api_client({**given, "context": declared.context})


def _asked(client: Any, path: str, **query: str) -> Any:
    """Return the answer to a GET; None if there is no such object.

    Raises:
        MeasurementError: It is refused, or nothing answers.
    """
    with _opened(client, path, query) as answer:
        return None if answer is None else json.loads(answer.read())


@contextmanager
def _opened(
    client: Any, path: str, query: Mapping[str, str], *, absent: frozenset[int] = _ABSENT
) -> Iterator[Any]:
    """Yield the answer to a GET before it is read; None if there is no such object."""
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (half a second)
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    request = client.param_serialize(
        "GET",
        path,
        query_params=[*query.items()],
        header_params={"Accept": "application/json, */*"},
        auth_settings=["BearerToken"],
    )
    try:
        answer = client.call_api(*request, _request_timeout=_SECONDS)
        try:
            if answer.status in absent:
                yield None
            elif answer.status != http.HTTPStatus.OK:
                raise MeasurementError(f"{path} may not be read: HTTP {answer.status}")
            else:
                yield answer
        finally:
            answer.response.release_conn()
    except (ApiException, HTTPError, OSError, ValueError) as error:
        raise MeasurementError(f"the API server does not answer: {type(error).__name__}") from None
