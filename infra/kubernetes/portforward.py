"""A connection to a port of a pod, through the API server.

What Pulumi can deploy to, it can reach this way: no Service has to be opened to the outside, and
no extra image has to run a setup job. The user of the kubeconfig needs ``create`` on
``pods/portforward`` in the namespace.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.kubernetes.kubeconfig import api_client
from validation.errors import CredentialsError, UnreachableError

_REFUSED = re.compile(r"Handshake status (401|403) ([A-Z]\w+)")
"""What the client says of an answer to its request for a connection."""


@contextmanager
def forwarded(props: dict[str, Any], pod: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket connected to a port of a pod.

    Args:
        props: ``namespace``, and what `api_client` takes.
        pod: Name of the pod.
        port: Its port.

    Raises:
        CredentialsError: The API server does not let the user of the kubeconfig do this.
        UnreachableError: It does not answer, or there is no such pod.
    """
    from kubernetes import client, stream  # noqa: PLC0415  (as above)

    core = client.CoreV1Api(api_client(props))
    where = f"pod {props['namespace']}/{pod} port {port}"
    try:
        forward = stream.portforward(
            core.connect_get_namespaced_pod_portforward,
            pod,
            props["namespace"],
            ports=str(port),
        )
        # TLS needs a real socket; the client library's own is a wrapper around one.
        connected = forward.socket(port).dup()
    except Exception as error:  # noqa: BLE001  (the client raises whatever its parts raise)
        if refused := _REFUSED.search(str(error)):
            raise CredentialsError(
                f"the API server answers {refused[1]} {refused[2]}",
                where=where,
                remedy="the user of the kubeconfig must be known, and may create pods/portforward",
            ) from None
        raise UnreachableError(
            f"the API server does not forward to it: {type(error).__name__}",
            where=where,
            remedy="check that the pod runs, and that you may create pods/portforward",
        ) from None
    connected.setblocking(True)
    connected.settimeout(30)
    try:
        yield connected
    finally:
        connected.close()
        forward.close()
