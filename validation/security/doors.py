"""Who is let in: nobody without a user's password, and nobody with the well-known one."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets

from validation.milvus.connection import endpoint_of
from validation.milvus.wire import Endpoint
from validation.security.act import Act, answer_to
from validation.target import Target

_SECONDS = 10


def tried(target: Target) -> list[Act]:
    """Return what came of asking for the collections as somebody who must not be let in.

    The well-known password is tried once: servers may lock a user out who fails often.

    Raises:
        grpc.RpcError: The server does not answer.
    """
    with contextlib.ExitStack() as cleanup:
        endpoint = endpoint_of(target, cleanup)
    known = (target.milvus.auth.user if target.milvus.auth else "") or "root"
    keys = {
        "nobody": "",
        "root with the password that Milvus comes with": "root:Milvus",
        "a user with a wrong password": f"{known}:{secrets.token_urlsafe(12)}",
        "a user that there is not": f"mk_{secrets.token_hex(6)}:{secrets.token_urlsafe(12)}",
    }
    return [_asked_as(name, dataclasses.replace(endpoint, token=key)) for name, key in keys.items()]


def _asked_as(name: str, endpoint: Endpoint) -> Act:
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc  # noqa: PLC0415  (slow to import)

    with endpoint.channel() as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)

        def ask() -> None:
            request = milvus_pb2.ShowCollectionsRequest(db_name=endpoint.database)
            stub.ShowCollections(request, metadata=endpoint.metadata(), timeout=_SECONDS)

        kept_out, said = answer_to(ask)
    return Act(name, not kept_out, said)
