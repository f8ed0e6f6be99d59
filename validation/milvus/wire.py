"""Raw gRPC calls to Milvus: for bytes by the million, where pymilvus would copy value by value.

Inserting, reading back and searching under load go this way; administration goes through
pymilvus. Both use the same endpoint, identity and TLS.
"""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import grpc

from validation.common import proxies
from validation.milvus import failures

TIMEOUT_SECONDS = 30.0
_UNLIMITED = -1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
"""Seconds before what was too fast is sent again; pymilvus waits as long at most."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """How to open a channel. It can be pickled and sent to a worker process.

    Args:
        name: How the server is called in messages.
        address: ``host:port``.
        database: Name of the database.
        token: ``user:password``, or empty.
        secure: Whether to speak TLS.
        root_certificates: CA in PEM; the usual public ones if None.
        certificate: Our own certificate in PEM, for mutual TLS.
        key: Its key in PEM.
        server_name: Name in the server's certificate, if it is not the host.
    """

    name: str
    address: str
    database: str = "default"
    token: str = dataclasses.field(default="", repr=False)
    secure: bool = False
    root_certificates: bytes | None = dataclasses.field(default=None, repr=False)
    certificate: bytes | None = dataclasses.field(default=None, repr=False)
    key: bytes | None = dataclasses.field(default=None, repr=False)
    server_name: str = ""

    def channel(self) -> grpc.Channel:
        """Open a channel; the connection itself is made by the first call."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", _UNLIMITED),
            ("grpc.max_receive_message_length", _UNLIMITED),
            ("grpc.use_local_subchannel_pool", 1),
            *proxies.GRPC_OPTIONS.items(),
        ]
        if not self.secure:
            return grpc.insecure_channel(self.address, options)
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        credentials = grpc.ssl_channel_credentials(
            self.root_certificates, self.key, self.certificate
        )
        return grpc.secure_channel(self.address, credentials, options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers of every call: the database and who we are."""
        headers = [("dbname", self.database)]
        if self.token:
            headers.append(("authorization", base64.b64encode(self.token.encode()).decode()))
        return tuple(headers)


@dataclasses.dataclass
class Limited:
    """How often and for how long a server made us wait, by a limit of its own, and what it said."""

    answers: int = 0
    seconds: float = 0.0
    said: str = ""

    def add(self, seconds: float, said: str) -> None:
        """Count one answer of the kind."""
        self.answers += 1
        self.seconds += seconds
        self.said = said.strip().partition("\n")[0][:200]


class Wire:
    """An open channel and Milvus's raw methods on it.

    Args:
        endpoint: The server, and how it is spoken to.

    Attributes:
        limited: By method, how the server limited us: see `Limited`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub  # noqa: PLC0415  (slow)

        self.endpoint = endpoint
        self.limited: dict[str, Limited] = {}
        self._channel = endpoint.channel()
        self._stub = MilvusServiceStub(self._channel)
        self._metadata = endpoint.metadata()

    def call(
        self, method: str, request: Any, *, doing: str, timeout: float = TIMEOUT_SECONDS
    ) -> Any:
        """Call a method and return its response if its status is success.

        Where the server says that it limits the rate, the same request is sent again a little
        later, as pymilvus does.

        Args:
            method: Name of the gRPC method, such as ``Insert``.
            request: Its protobuf message.
            doing: What is done, for errors.
            timeout: In seconds; no call waits without one, and no longer for the rate.

        Raises:
            UnreachableError: There was no answer.
            MeasurementError: Milvus answered that it could not.
        """
        began, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            response, status = self._answered(method, request, doing, timeout)
            code = status_code(status)
            if not code:
                return response
            if code != failures.RATE_LIMITED or time.monotonic() - began + pause > timeout:
                raise failures.of_status(
                    code, status.reason, endpoint=self.endpoint.name, doing=doing
                )
            self.limited.setdefault(method, Limited()).add(pause, status.reason)
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, 1.5 * pause)

    def _answered(self, method: str, request: Any, doing: str, timeout: float) -> tuple[Any, Any]:
        """Return a response with its status."""
        send: Callable[..., Any] = getattr(self._stub, method)
        try:
            response = send(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            failures.fail(error, endpoint=self.endpoint.name, doing=doing)
        # Some methods answer with a bare status, most with a message that holds one.
        names = response.DESCRIPTOR.fields_by_name
        return response, response.status if "status" in names else response

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


_OLD = {48: failures.DENIED_BY_QUOTA, 49: failures.RATE_LIMITED}
"""Limits as servers before 2.3 say them (``ErrorCode`` of common.proto), in later ones' numbers."""


def status_code(status: Any) -> int:
    """Return the code of a Milvus status: 0 is success.

    Servers before 2.3 fill in only ``error_code``, later ones both; either may carry the failure.
    """
    old = int(status.error_code)
    return int(getattr(status, "code", 0)) or _OLD.get(old, old)
