"""The API server, as plain documents: apply, get, list, delete."""

from __future__ import annotations

import json
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

_SECONDS = 60
_MANAGER = "pulumi-kubernetes"


class ClusterError(Exception):
    """What the API server said, and nothing of what it was sent."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Cluster:
    """One API server.

    Args:
        kubeconfig: Its text, or the path of a file; None for the user's own.
        context: One of its contexts; the current one if None.
    """

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        if kubeconfig is None:
            self._client = config.new_client_from_config(context=context)
        else:
            is_text = "\n" in kubeconfig or kubeconfig.lstrip().startswith("{")
            text = kubeconfig if is_text else Path(kubeconfig).expanduser().read_text("utf-8")
            self._client: ApiClient = config.new_client_from_config_dict(
                yaml.safe_load(text), context=context, persist_config=False
            )
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}
        self._lock = threading.Lock()

    def apply(self, one: dict[str, Any]) -> dict[str, Any]:
        """Create or change an object by server-side apply, unknown fields refused."""
        query = {"fieldManager": _MANAGER, "fieldValidation": "Strict", "force": "true"}
        return self._call("PATCH", self._path(one), query, one, "application/apply-patch+yaml")

    def get(self, one: dict[str, Any]) -> dict[str, Any] | None:
        """Return the live object; None if there is none of that name."""
        try:
            return self._call("GET", self._path(one))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]:
        """Return the objects of a kind in a namespace, chosen by labels and fields."""
        owner = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        query = {"labelSelector": labels, "fieldSelector": fields}
        return self._call("GET", self._path(owner), query).get("items", [])

    def delete(self, one: dict[str, Any]) -> bool:
        """Ask for an object's deletion, dependants first; False if there is none."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        try:
            self._call("DELETE", self._path(one), body=options)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _path(self, one: dict[str, Any]) -> str:
        api_version, metadata = one["apiVersion"], one["metadata"]
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        plural, namespaced = self._kind(base, one["kind"], api_version)
        namespace = f"/namespaces/{metadata.get('namespace') or 'default'}" if namespaced else ""
        name = f"/{metadata['name']}" if metadata.get("name") else ""
        return f"{base}{namespace}/{plural}{name}"

    def _kind(self, base: str, kind: str, api_version: str) -> tuple[str, bool]:
        with self._lock:
            if kind not in self._kinds.get(base, {}):  # asked again: its CRD may be new
                self._kinds[base] = {
                    entry["kind"]: (entry["name"], entry["namespaced"])
                    for entry in self._call("GET", base)["resources"]
                    if "/" not in entry["name"]
                }
            try:
                return self._kinds[base][kind]
            except KeyError:
                raise ClusterError(
                    404, f"the cluster does not serve {kind} of {api_version}"
                ) from None

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        settings = self._client.configuration
        headers = {"Accept": "application/json", "Content-Type": content}
        known: Any = settings.auth_settings()  # a bearer token, where the user has one
        headers |= {one["key"]: one["value"] for one in known.values()}
        url = f"{settings.host}{path}?{urllib.parse.urlencode(query or {})}"
        sent = json.dumps(body) if "yaml" in content else body
        try:
            response = self._client.call_api(method, url, headers, sent, _request_timeout=_SECONDS)
            raw = response.read()
            status = response.status
        except ApiException as error:
            raw, status = (error.body or b""), int(error.status or 0)
        except (HTTPError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ClusterError(
                0, f"the API server {settings.host} does not answer: {reason}"
            ) from None
        document = json.loads(raw) if raw else {}
        if status >= 400:
            raise ClusterError(status, document.get("message", f"HTTP {status}"))
        return document
