"""An end to every answer: a store that trickles, or never stops, must not be waited for.

A socket's timeout bounds the silence between two bytes, and so not an answer of one byte a second.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

MOST_BYTES = 64 << 20
"""More than any answer that is asked for by hand has."""


class _Bounded(io.RawIOBase):
    """What a socket receives, until a point in time."""

    def __init__(self, received: io.RawIOBase, socket_: socket.socket, seconds: float) -> None:
        self._received = received
        self._socket = socket_
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"timed out: the answer was not complete after {self._seconds:g} s")
        self._socket.settimeout(left)
        return self._received.readinto(buffer)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._received.close()
        super().close()


def with_deadline(
    connection: http.client.HTTPConnection, seconds: float
) -> http.client.HTTPConnection:
    """Let a connection's next answer take so long and no longer, from now on."""

    def response(sock: socket.socket, *args: Any, **more: Any) -> http.client.HTTPResponse:
        made = http.client.HTTPResponse(sock, *args, **more)
        buffered: Any = made.fp
        made.fp = io.BufferedReader(_Bounded(buffered.detach(), sock, seconds))
        return made

    connection.response_class = response  # type: ignore[assignment]
    return connection


def whole_body(answer: http.client.HTTPResponse, most: int) -> bytes:
    """Return an answer's body.

    Raises:
        HTTPException: It is longer than that, or broke off.
    """
    body = answer.read(most + 1)
    if len(body) > most:
        raise http.client.HTTPException(f"the answer has more than {most:,} bytes")
    if answer.length:  # a read of so many bytes does not complain of fewer
        raise http.client.IncompleteRead(body, answer.length)
    return body
