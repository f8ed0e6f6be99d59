"""One policy on proxies for every client of the kit.

Milvus, its metrics and S3 stores are asked directly, whatever the environment says of proxies:
their latency is measured, and the pods that use them have no proxy either. What is on the internet,
HPE GreenLake's management API, is asked through the proxy that the environment names, unless it is
on this host.
"""

from __future__ import annotations

import os

GRPC_OPTIONS = {"grpc.enable_http_proxy": 0}
"""gRPC would obey grpc_proxy, https_proxy and http_proxy, for loopback too."""
_NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


def variables() -> list[str]:
    """Return which variables of this environment name a proxy, as they are spelled there."""
    return [name for name in os.environ if name.lower() in _NAMES and os.environ[name]]


def passed_over(remedy: str) -> str:
    """Return a remedy for who is asked directly, with the variables that say otherwise."""
    found = variables()
    if not found:
        return remedy
    verb = "is" if len(found) == 1 else "are"
    return (
        f"{remedy}; {', '.join(found)} {verb} set and not used: Milvus and S3 are asked directly,"
        " so give an address that needs no proxy"
    )


def obeyed(remedy: str) -> str:
    """Return a remedy for who is asked through a proxy, with the variables that name it."""
    found = variables()
    return f"{remedy}; the proxy that {', '.join(found)} names is used" if found else remedy
