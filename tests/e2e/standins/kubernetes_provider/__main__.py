"""Started by the engine as ``pulumi-resource-kubernetes ENGINE_ADDRESS``; prints its port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.e2e.standins.kubernetes_provider.provider import KubernetesProvider
from tests.e2e.standins.lifetime import until_ended

_MESSAGE_BYTES = 400 * 1024 * 1024
_THREADS = 64
"""Each object that is waited for holds one."""


def main() -> None:
    """Serve until the engine ends us."""
    server = grpc.server(
        ThreadPoolExecutor(_THREADS), options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    )
    provider = KubernetesProvider(version("pulumi-kubernetes"))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201  (the engine reads it)
    until_ended()
    provider.cancelled.set()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
