"""Who reaches whom: connections tried from inside a real pod's network, by nothing in the pod.

A connection is opened and closed again; no byte is sent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra.servers import pods
from tests.e2e import command
from validation.errors import MilvusKitError

OPEN = "open"
PORT = 8080
"""Where stand-ins listen."""
_CONNECT = """import concurrent.futures, json, socket, sys
def tried(end):
    try:
        socket.create_connection(end, 5).close()
    except OSError as error:
        return error.strerror or str(error)
    return "open"
ends = [tuple(end) for end in json.load(sys.stdin)]
with concurrent.futures.ThreadPoolExecutor(len(ends)) as threads:
    print(json.dumps(list(threads.map(tried, ends))))
"""
_LISTEN = f"""import socket
server = socket.create_server(("", {PORT}))
while True:
    server.accept()[0].close()
"""


def tried(uid: str, ends: Iterable[tuple[str, int]]) -> list[str]:
    """Connect from a pod to addresses, all at once, for five seconds at most.

    Who is refused is not always told so at once: the kernel sends few of these messages a second.

    Args:
        uid: Of the pod, which runs on this machine.
        ends: Addresses and ports.

    Returns:
        For each end `OPEN`, or what the system says of the failure.

    Raises:
        MilvusKitError: No process of that pod is here.
    """
    network = f"--net=/proc/{_process(uid)}/ns/net"
    text = command.run(
        ["nsenter", network, sys.executable, "-c", _CONNECT],
        where=f"pod {uid}",
        remedy="see whether the pod still runs",
        given=json.dumps(list(ends)),
    )
    return json.loads(text)


def _process(uid: str) -> str:
    """Return the id of the process that holds a pod's network as long as the pod is there."""
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            holds = (group.parent / "comm").read_text(encoding="utf-8").strip() == "pause"
            if holds and f"pod{uid}" in group.read_text(encoding="utf-8"):
                return group.parent.name
        except OSError:
            continue  # it has just ended
    raise MilvusKitError("the pod does not run on this machine", where=f"pod {uid}")


def stand_in(name: str, namespace: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return a pod that only listens, labelled as those whose place it takes."""
    container = {
        "name": "listener",
        "image": "registry.k8s.io/kube-proxy:v1.36.3",  # it has a Python
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", _LISTEN],
        "securityContext": pods.container_security(),
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": pods.pod_security(pods.USUAL),
            "containers": [container],
        },
    }
