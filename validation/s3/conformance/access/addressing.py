"""Addressing, region and clock: how a request has to look before the store looks at it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from validation.s3.conformance.model import Evidence, Need, NotDeclaredError, check, require
from validation.s3.workspace import Workspace

_OTHER_REGION = "eu-kit-9"
_SKEW = timedelta(minutes=20)
"""S3 allows 15 minutes."""


def _read_by(space: Workspace, style: Literal["path", "virtual"]) -> Evidence:
    """Read an object by a style: the declared one has to work, the other is good to know of."""
    declared = space.storage.addressing == style
    stored = f"by {style}".encode()
    answer = space.send("GET", space.put(stored), addressing=style)
    worked = answer.ok and answer.body == stored
    if not worked and not declared:
        raise NotDeclaredError(f"{style} style is not used, and would not work: {answer}")
    require(worked, f"the declared {style} style does not work: {answer}")
    return {"declared": declared}


@check(
    "addressing.path",
    by="Milvus's default (minio.useVirtualHost: false)",
    breaks="useVirtualHost must be true, and DNS must know every bucket",
    need=Need.DECLARED,
)
def path_style(space: Workspace) -> Evidence:
    """The bucket can be named in the path."""
    return _read_by(space, "path")


@check(
    "addressing.virtual-host",
    by="clients set to virtual-host style (minio.useVirtualHost: true)",
    breaks="path style must stay set",
    need=Need.DECLARED,
)
def virtual_host(space: Workspace) -> Evidence:
    """The bucket can be named in the host name (asked by Host header, without DNS)."""
    return _read_by(space, "virtual")


@check(
    "addressing.region",
    by="minio.region",
    breaks="a wrong region shows as a redirect, a server error or a hang, and is hard to find",
    need=Need.OPERATION,
)
def region(space: Workspace) -> Evidence:
    """A request signed for another region is accepted, or refused with a clear 4xx."""
    key = space.put(b"in our region")
    reply = space.send("GET", key, region=_OTHER_REGION)
    require(reply.ok or 400 <= reply.status < 500, f"answered {reply}")  # noqa: PLR2004
    require(reply.ok or bool(reply.code), f"refused without an error code: {reply.status}")
    return {"strict": not reply.ok, "answer": str(reply)}


@check(
    "addressing.clock-skew",
    by="operators; protection against replayed requests",
    breaks="captured requests can be replayed for ever",
    need=Need.OPERATION,
)
def clock_skew(space: Workspace) -> Evidence:
    """A request that is 20 minutes old is refused."""
    key = space.put(b"now")
    fresh = space.send("GET", key)
    require(fresh.ok, f"a request of this moment was answered {fresh}")
    reply = space.send("GET", key, skew=-_SKEW)
    require(not reply.ok, "a request that is 20 minutes old was accepted")
    return {"answer": str(reply), "said_so": reply.code == "RequestTimeTooSkewed"}
