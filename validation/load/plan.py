"""Search requests as bytes, ready to be sent, and what a complete reply to them is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from validation.milvus.connection import Connection
from validation.milvus.schema import VECTOR
from validation.milvus.wire import Endpoint, status_code

_SEARCH = "/milvus.proto.milvus.MilvusService/Search"
# Bounded staleness is Milvus's default for searches. Strong would make every search wait for the
# next time tick, so that one would measure the tick and not the search.
CONSISTENCY = "Bounded"
DEADLINE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """Requests to repeat, in order, as often as needed. It can be sent to a worker process.

    Args:
        endpoint: The server, and how it is spoken to.
        requests: Serialised ``SearchRequest`` messages, one query each.
        hits: How many hits a complete reply to each has.
        deadline: Of each request, in seconds.
    """

    endpoint: Endpoint
    requests: tuple[bytes, ...] = dataclasses.field(repr=False)
    hits: tuple[int, ...] = dataclasses.field(repr=False)
    deadline: float = DEADLINE_SECONDS


def search_plan(
    connection: Connection,
    name: str,
    vectors: np.ndarray,
    *,
    k: int = 10,
    params: Mapping[str, Any] | None = None,
) -> Plan:
    """Prepare a search for each vector.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection.
        vectors: Float32, shape (q, d).
        k: How many neighbours.
        params: Search parameters of the index.
    """
    from pymilvus.client.prepare import Prepare  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen import common_pb2  # noqa: PLC0415

    requests = []
    for vector in np.asarray(vectors, dtype=np.float32):
        request = Prepare.search_requests_with_expr(
            name,
            VECTOR,
            {"params": dict(params or {})},
            k,
            data=vector[None, :],
            expr=None,
            use_default_consistency=False,
            consistency_level=common_pb2.ConsistencyLevel.Value(CONSISTENCY),
            guarantee_timestamp=2,  # Milvus's own mark for "bounded"
        )
        request.db_name = connection.endpoint.database
        requests.append(request.SerializeToString())
    return Plan(connection.endpoint, tuple(requests), (k,) * len(requests))


class Sender:
    """An open channel that takes prepared requests and checks the replies to them.

    Args:
        plan: What is sent.
    """

    def __init__(self, plan: Plan) -> None:
        from pymilvus.grpc_gen.milvus_pb2 import SearchResults  # noqa: PLC0415  (slow to import)

        self.plan = plan
        self._channel = plan.endpoint.channel()
        self.metadata = plan.endpoint.metadata()
        # Without serialisers the bytes go out and come in as they are.
        self.method = self._channel.unary_unary(_SEARCH, response_deserializer=None)
        self._parse = SearchResults.FromString

    def send(self, number: int) -> str:
        """Send one request, wait for its reply and return why it failed; empty if it did not."""
        try:
            reply = self.method(
                self.plan.requests[number % len(self.plan.requests)],
                timeout=self.plan.deadline,
                metadata=self.metadata,
            )
        except grpc.RpcError as error:
            return failure_of(error)
        return self.check(number, reply)

    def check(self, number: int, reply: bytes) -> str:
        """Return what is wrong with a reply; empty if it is complete."""
        message = self._parse(reply)
        code = status_code(message.status)
        if code:
            return f"Milvus code {code}: {message.status.reason[:80]}"
        found = message.results.topks[0] if message.results.topks else 0
        wanted = self.plan.hits[number % len(self.plan.hits)]
        return "" if found >= wanted else f"incomplete: {found} of {wanted} hits"

    def close(self) -> None:
        """Close the channel; requests under way fail."""
        self._channel.close()


def failure_of(error: grpc.RpcError) -> str:
    """Return a failed call in a few words that are the same for all failures of a kind."""
    return f"gRPC {error.code().name}" if isinstance(error, grpc.Call) else type(error).__name__
