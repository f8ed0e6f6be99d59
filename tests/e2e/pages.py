"""Pods that serve a page with their node's name: who reaches whom is seen by what is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

SPACE = "two-nodes"
PORT = 8000
FETCH = """import sys, time, urllib.request
until = time.monotonic() + 20  # kube-proxy learns of a ready pod a little after we do
while True:
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
        break
    except OSError:
        if time.monotonic() > until:
            raise
        time.sleep(0.2)
"""
"""A program for one of the pods that prints the page at its argument."""
_CLAIM = "page"


def manifest(nodes: Iterable[str], *, on_volume: str) -> str:
    """Return the manifest of a pod on each node, and of its Service, both named like the node.

    Args:
        nodes: Names of the nodes.
        on_volume: The one whose page is on a volume of the default storage class.
    """
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": _CLAIM, "namespace": SPACE},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        },
    ]
    for name in nodes:
        source = {"persistentVolumeClaim": {"claimName": _CLAIM}}
        objects += [_pod(name, source if name == on_volume else {"emptyDir": {}}), _service(name)]
    return yaml.safe_dump_all(objects)


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": SPACE, "labels": {"app": name}}


def _pod(name: str, volume: dict[str, Any]) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": "registry.k8s.io/kube-proxy:v1.36.3",
        "imagePullPolicy": "Never",
        "command": [
            "sh",
            "-c",
            f"echo {name} > index.html; exec python3 -m http.server {PORT}",
        ],
        "workingDir": "/page",
        "volumeMounts": [{"name": "page", "mountPath": "/page"}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(name),
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": name},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "page", **volume}],
        },
    }


def _service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name),
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
    }
