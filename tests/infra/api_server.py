"""API servers: one that lets nobody in, and one that tells what it is given to tell."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml


class KnowsNobody(BaseHTTPRequestHandler):
    """Answers every reader as a real server answers a user that it does not know."""

    status = 401

    def do_GET(self) -> None:
        self.answer(self.status, {"kind": "Status", "code": self.status})

    def answer(self, status: int, document: dict[str, Any] | bytes) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        pass


class Cluster:
    """What a cluster is, as its API server tells it; a test changes it.

    ``forbidden`` are resources that this user may not list.
    """

    def __init__(self) -> None:
        self.uid = "11111111-aaaa"
        self.nodes = [node("one")]
        self.pods: list[dict[str, Any]] = []
        self.classes = {"slow": True, "fast": False}
        self.forbidden: set[str] = set()
        self.url = ""

    def tell(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the document of an answer."""
        resource = path.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        if resource in self.forbidden:
            return 403, {"kind": "Status", "code": 403}
        mark = "storageclass.kubernetes.io/is-default-class"
        classes = [
            {"metadata": {"name": name, "annotations": {mark: str(default).lower()}}}
            for name, default in self.classes.items()
        ]
        items = {
            "nodes": self.nodes,
            "pods": self.pods,
            "services": [],
            "storageclasses": [{**one, "provisioner": "test"} for one in classes],
        }
        if resource == "version":
            keys = "buildDate compiler gitCommit gitTreeState goVersion major minor platform"
            return 200, {**dict.fromkeys(keys.split(), "-"), "gitVersion": "v1.36.3"}
        if resource == "kube-system":
            return 200, {"metadata": {"name": resource, "uid": self.uid}}
        return (200, {"items": items[resource]}) if resource in items else (404, {"code": 404})

    @property
    def kubeconfig(self) -> str:
        """Return what leads to it."""
        return kubeconfig(self.url)


def kubeconfig(server: str) -> str:
    """Return a kubeconfig with a token."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "planted-token"}}],
    }
    return yaml.safe_dump(document)


def node(name: str, cpu: str = "4", memory: str = "8Gi", **more: Any) -> dict[str, Any]:
    """Return a node that is ready."""
    return {
        "metadata": {"name": name, "labels": more.pop("labels", {})},
        "spec": {"taints": more.pop("taints", [])},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, **more},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(
    where: str | None, namespace: str, *requests: dict[str, str], **more: Any
) -> dict[str, Any]:
    """Return a pod with a container for each of the requests."""
    containers = [{"name": "c", "resources": {"requests": one}} for one in requests]
    return {
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"nodeName": where, "containers": containers, **more},
    }


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Serve a cluster's API, without TLS."""

    class Tells(KnowsNobody):
        def do_GET(self) -> None:
            known = self.headers["authorization"] == "Bearer planted-token"
            self.answer(*(cluster.tell(self.path) if known else (401, {"code": 401})))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tells)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
