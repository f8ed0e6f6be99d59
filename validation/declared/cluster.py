"""The live objects of a deployment, as its API server tells them."""

from __future__ import annotations

import http
import json
from typing import Any

from validation.declared.drift import compared
from validation.errors import MeasurementError
from validation.security.act import Act
from validation.target import Kubernetes, Workload

_SECONDS = 20


def differences(declared: Kubernetes) -> list[Act]:
    """Return how each declared fact of a deployment's objects compares with the live ones.

    Raises:
        MeasurementError: The objects cannot be read.
        ConfigurationError: The kubeconfig cannot be used.
    """
    client = _client(declared)
    found = []
    for one in declared.workloads:
        found += _of(client, declared.namespace, one)
    return found


def _of(client: Any, namespace: str, one: Workload) -> list[Act]:
    at = f"/namespaces/{namespace}"
    live = _asked(client, f"/apis/apps/v1{at}/{one.kind.lower()}s/{one.name}")
    files = _asked(client, f"/api/v1{at}/configmaps/{one.name}")
    pods: list[Any] = []
    if live is not None:
        labels = live["spec"]["selector"]["matchLabels"]
        wanted = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        listed = _asked(client, f"/api/v1{at}/pods", labelSelector=wanted) or {}
        pods = [
            pod
            for pod in listed.get("items") or []
            if "deletionTimestamp" not in pod["metadata"]
            and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
        ]
    return compared(one, live, files, pods)


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
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (half a second)
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    request = client.param_serialize(
        "GET",
        path,
        query_params=[*query.items()],
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    try:
        answer = client.call_api(*request, _request_timeout=_SECONDS)
        body = answer.read()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status != http.HTTPStatus.OK:
            raise MeasurementError(f"{path} may not be read: HTTP {answer.status}")
        return json.loads(body)
    except (ApiException, HTTPError, OSError, ValueError) as error:
        raise MeasurementError(f"the API server does not answer: {type(error).__name__}") from None
