"""What Milvus's management port serves to whoever reaches it: asked by requests that only read.

Health and metrics are meant for everybody. All else is asked without authentication; nothing is
executed, and no key is guessed. The name in ``metrics_uri`` may stand for every pod of a cluster,
and each role serves other paths: all of them are asked.
"""

from __future__ import annotations

from typing import Any

import httpx

from validation.errors import UnreachableError
from validation.milvus.metrics import as_named, at_address
from validation.milvus.processes import addresses
from validation.security.act import Act
from validation.target import Milvus

SECONDS = 5.0
ASKED = {
    "api": (
        ("evaluates expressions", "GET", "/expr"),
        ("lists collections", "GET", "/api/v1/collections"),
        ("lists collections", "POST", "/v2/vectordb/collections/list"),
        ("lists collections", "GET", "/v1/vector/collections"),
    ),
    "management": (
        ("lists query nodes", "POST", "/management/querycoord/node/list"),
        ("shows the running configuration", "GET", "/api/v1/_cluster/configs"),
    ),
    "diagnostics": (
        ("shows the log's level", "GET", "/log/level"),
        ("shows profiles", "GET", "/debug/pprof/"),
    ),
}
"""What is behind a path, and how it is asked for, by kind; only what reads."""
_PROXY = "milvus_proxy_"
"""What the metrics of a proxy have, and of a standalone server, which is one too."""
_CLOSED = frozenset({401, 403, 404, 405})
_UNAUTHENTICATED = frozenset({1400, 1401, 1800})
"""Codes with which the REST API says, with a status of 200, that it lets nobody in unknown."""


def tried(milvus: Milvus) -> dict[str, list[Act]]:
    """Return what of the management port answers somebody unknown, by kind, at whichever address.

    An address where nobody listens is passed over: a name often stands for two of one server.

    Args:
        milvus: How it is reached; it has a ``metrics_uri``.

    Raises:
        UnreachableError: Nothing answers there, or no proxy of Milvus, which alone serves it all,
            or only half of what was asked, and nothing was open.
    """
    base = milvus.metrics_uri or ""
    read: list[str] = []
    found: list[dict[str, list[Act]]] = []
    absent = broken = ""
    for address in addresses(milvus):
        try:
            metrics, acts = _at_one(base, address)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            absent = type(error).__name__
            continue
        except httpx.HTTPError as error:
            broken = type(error).__name__
            continue
        read.append(metrics)
        found.append(acts)
    opened = any(act.wrong for one in found for acts in one.values() for act in acts)
    if not found or (broken and not opened):
        raise UnreachableError(
            f"the management port does not answer: {broken or absent}", where=base
        )
    if not opened and not any(_PROXY in metrics for metrics in read):
        raise UnreachableError(
            "what answers there is not the management port of a Milvus proxy", where=base
        )
    return {
        kind: [
            max(same, key=lambda act: act.wrong)
            for same in zip(*(one[kind] for one in found), strict=True)
        ]
        for kind in ASKED
    }


def _at_one(base: str, address: str) -> tuple[str, dict[str, list[Act]]]:
    with httpx.Client(
        base_url=at_address(base, address),
        timeout=SECONDS,
        trust_env=False,
        verify=False,  # noqa: S501  (nothing secret is sent)
    ) as client:
        named = as_named(base)
        metrics = client.get("/metrics", **named).text
        return metrics, {
            kind: [_asked(client, named, *one) for one in asked] for kind, asked in ASKED.items()
        }


def _asked(client: httpx.Client, named: dict[str, Any], what: str, method: str, path: str) -> Act:
    sent = {"json": {}} if method == "POST" else {}
    answer = client.request(method, path, **sent, **named)
    closed = answer.status_code in _CLOSED or _says_no(answer)
    return Act(f"{path} {what}", not closed, f"HTTP {answer.status_code}")


def _says_no(answer: httpx.Response) -> bool:
    try:
        said = answer.json()
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("code") in _UNAUTHENTICATED
