"""One side of a connection: heads are read, bodies are moved, on Linux without copying them.

On Linux plain bodies go through a pipe by ``splice``, so that the proxy is not what limits the
store's throughput. TLS, other systems and bodies that are damaged on the way take a buffer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Callable

_BUFFER = 1 << 20
_HEAD_LIMIT = 1 << 18
_PIPE_SIZE = 1 << 20
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ; Python names it only from 3.10 on, and not on every build."""


class ClosedError(Exception):
    """The other side is gone."""


class Stream:
    """A socket with what was read from it and not used yet.

    Args:
        plain: A connected, blocking socket, perhaps wrapped in TLS.
        hold: Called before bytes are moved; it may wait.
    """

    def __init__(self, plain: socket.socket, hold: Callable[[], None]) -> None:
        self.socket = plain
        self.hold = hold
        self.rest = bytearray()
        self._pipe: tuple[int, int] | None = None

    def read_until(self, mark: bytes) -> bytes:
        """Return what comes up to and with a mark.

        Raises:
            ClosedError: The other side closed before.
        """
        searched = 0
        while (at := self.rest.find(mark, searched)) < 0:
            searched = max(0, len(self.rest) - len(mark))
            if len(self.rest) > _HEAD_LIMIT:
                raise ClosedError("a head without end")
            self.rest += self._received(65_536)
        end = at + len(mark)
        found = bytes(self.rest[:end])
        del self.rest[:end]
        return found

    def _received(self, size: int) -> bytes:
        try:
            data = self.socket.recv(size)
        except OSError as error:
            raise ClosedError(str(error)) from None
        if not data:
            raise ClosedError("closed")
        return data

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes.

        Raises:
            ClosedError: The other side is gone.
        """
        self.hold()
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise ClosedError(str(error)) from None

    def move(self, count: int, target: Stream) -> None:
        """Move the next bytes to another stream as they are.

        Raises:
            ClosedError: One of the sides is gone.
        """
        count -= self._move_rest(count, target)
        if count and hasattr(os, "splice") and not self._wrapped(target):
            self._splice(count, target)
            return
        while count:
            data = self._received(min(count, _BUFFER))
            target.send(data)
            count -= len(data)

    def _move_rest(self, count: int, target: Stream) -> int:
        ready = min(count, len(self.rest))
        if ready:
            target.send(self.rest[:ready])
            del self.rest[:ready]
        return ready

    def _wrapped(self, target: Stream) -> bool:
        return isinstance(self.socket, ssl.SSLSocket) or isinstance(target.socket, ssl.SSLSocket)

    def _splice(self, count: int, target: Stream) -> None:
        if self._pipe is None:
            self._pipe = os.pipe()
            with contextlib.suppress(OSError, ImportError):  # a larger pipe only saves time
                import fcntl  # noqa: PLC0415  (Linux has it, and splice is Linux's)

                fcntl.fcntl(self._pipe[1], _SET_PIPE_SIZE, _PIPE_SIZE)
        out, into = self._pipe
        try:
            while count:
                self.hold()
                moved = os.splice(self.socket.fileno(), into, min(count, _PIPE_SIZE))
                if not moved:
                    raise ClosedError("closed")
                count -= moved
                while moved:
                    moved -= os.splice(out, target.socket.fileno(), moved)
        except OSError as error:
            raise ClosedError(str(error)) from None

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            ClosedError: The other side closed before.
        """
        while len(self.rest) < count:
            self.rest += self._received(min(_BUFFER, count - len(self.rest)))
        found = bytes(self.rest[:count])
        del self.rest[:count]
        return found

    def drop(self, count: int) -> None:
        """Read the next bytes and forget them."""
        while count:
            count -= len(self.take(min(count, _BUFFER)))

    def reset(self) -> None:
        """End the connection with a reset, as a crash or a firewall does."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(orderly=False)

    def close(self, *, orderly: bool = True) -> None:
        """End the connection."""
        if orderly:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.socket.close()
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None
